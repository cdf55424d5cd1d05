package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The scopes of the demo.
const (
	scopeWeather  = "tools:weather.read"
	scopeCalendar = "tools:calendar.read"
	scopeCRM      = "tools:crm.write"
	scopeTransfer = "tools:payments.transfer"
)

// demoTool is one tool of the sample server. The server registers it with the SDK, the operator with Portcullis.
type demoTool struct {
	name, title, description string
	scope                    string
	readOnly, destructive    bool
	schema                   map[string]any
	add                      func(*mcp.Server, *mcp.Tool)
}

// register adds the tool to a server of the SDK, which validates the arguments once more.
func (t demoTool) register(s *mcp.Server) {
	destructive := t.destructive
	t.add(s, &mcp.Tool{Name: t.name, Title: t.title, Description: t.description, InputSchema: t.schema,
		Annotations: &mcp.ToolAnnotations{Title: t.title, ReadOnlyHint: t.readOnly, DestructiveHint: &destructive}})
}

// configured is the tool's entry in the operator's catalogue. Only this vouches for the annotations.
func (t demoTool) configured() ToolConfig {
	readOnly, destructive := t.readOnly, t.destructive
	return ToolConfig{Name: t.name, Title: t.title, Description: t.description, Scopes: []string{t.scope}, InputSchema: t.schema,
		Annotations: AnnotationsConfig{ReadOnlyHint: &readOnly, DestructiveHint: &destructive}}
}

type weatherIn struct {
	City string `json:"city"`
}

type calendarIn struct {
	Day string `json:"day"`
}

type crmIn struct {
	Customer string `json:"customer"`
	Note     string `json:"note"`
}

type transferIn struct {
	Amount float64 `json:"amount"`
	To     string  `json:"to"`
}

// demoTools are tools as any author writes them: none of them knows of scopes, tokens or policies. They are samples and
// answer without a calendar, a bank or the weather behind them.
func demoTools() []demoTool {
	text := map[string]any{"type": "string", "minLength": json.Number("1"), "maxLength": json.Number("200")}
	return []demoTool{
		{name: "get_weather", title: "Weather", description: "The weather in a city today", scope: scopeWeather, readOnly: true,
			schema: objectSchema(map[string]any{"city": text}, "city"), add: tool(func(in weatherIn) string {
				return in.City + ": 14 °C, light rain"
			})},
		{name: "calendar_list", title: "Calendar", description: "The appointments of a day", scope: scopeCalendar, readOnly: true,
			schema: objectSchema(map[string]any{"day": text}), add: tool(func(calendarIn) string {
				return "10:00 stand-up; 14:30 review with ACME"
			})},
		{name: "crm_update", title: "Update a customer", description: "Adds a note to a customer's record", scope: scopeCRM,
			schema: objectSchema(map[string]any{"customer": text, "note": text}, "customer", "note"), add: tool(func(crmIn) string {
				return "note saved"
			})},
		{name: "transfer", title: "Transfer money", description: "Sends money to somebody; it cannot be taken back", scope: scopeTransfer, destructive: true,
			schema: objectSchema(map[string]any{"amount": map[string]any{"type": "number"}, "to": text}, "amount", "to"), add: tool(func(in transferIn) string {
				return fmt.Sprintf("%.2f sent to %s", in.Amount, in.To)
			})},
	}
}

// objectSchema is the JSON Schema of a tool's arguments.
func objectSchema(properties map[string]any, required ...string) map[string]any {
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		names := make([]any, len(required))
		for i, name := range required {
			names[i] = name
		}
		schema["required"] = names
	}
	return schema
}

func tool[In any](run func(In) string) func(*mcp.Server, *mcp.Tool) {
	return func(s *mcp.Server, t *mcp.Tool) {
		mcp.AddTool(s, t, func(_ context.Context, _ *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: run(in)}}}, nil, nil
		})
	}
}
