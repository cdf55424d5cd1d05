package tests

import (
	"strings"
	"sync"
	"testing"
)

// G4: a tool whose input schema refers to itself, and a caller who sends arguments whose check would take years. The calls are denied, and those beside
// them are decided.
func TestArgumentsThatTakeForEverAreDenied(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	s.editConfig(func(text string) string {
		const before = "      - name: calendar_list\n"
		if !strings.Contains(text, before) {
			t.Fatal("main.yaml has no such tool")
		}
		return strings.Replace(text, before, `      - name: filter
        scopes: ["office:calendar.read"]
        annotations: {readOnlyHint: true}
        inputSchema:
          type: object
          properties: {where: {$ref: "#/$defs/part"}}
          $defs:
            part: {anyOf: [{type: integer}, {type: array, items: {$ref: "#/$defs/part"}}, {type: array, items: {$ref: "#/$defs/part"}}]}
`+before, 1)
	})
	s.run()
	b := s.browser(t)
	token := b.tokens(ask()).text("access_token")
	b.decide(token, "filter", `{"where":[[1,2],3]}`).wantDecision(true, "allowed")
	b.decide(token, "filter", `{"where":[["x"],3]}`).wantDecision(false, "arguments_invalid")
	bomb := `{"where":` + strings.Repeat("[", 25) + `"x"` + strings.Repeat("]", 25) + `}`
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() { b.decide(token, "filter", bomb).wantDecision(false, "arguments_too_complex") })
	}
	for range 20 {
		b.decide(token, "calendar_list", `{"day":"monday"}`).wantDecision(true, "allowed")
		b.decide(token, "filter", `{"where":[[1,2],3]}`).wantDecision(true, "allowed")
	}
	wait.Wait()
	for range 2 {
		b.decide(token, "filter", bomb).wantDecision(false, "arguments_too_complex")
	}
}
