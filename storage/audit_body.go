package storage

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"portcullis/oauth"
)

// usualBody is how many bytes most bodies of events need at most.
const usualBody = 640

// encodeEvent writes the JSON of an auditBody, byte for byte what encoding/json makes of it, in half the time. It is the same for
// the same event (maps are sorted), and never fails on odd text: invalid UTF-8 is replaced.
func encodeEvent(e *oauth.Event) string {
	var b eventBody
	b.Grow(usualBody)
	b.WriteByte('{')
	b.text("outcome", e.Outcome)
	b.text("reason", e.Reason)
	b.text("subject", e.SubjectID)
	b.text("username", e.Username)
	b.text("client", e.ClientID)
	b.text("resource", e.ResourceID)
	b.text("grant", e.GrantID)
	b.text("family", e.FamilyID)
	b.text("jti", e.JTI)
	b.list("scopes", e.Scopes)
	b.text("action", e.Action)
	b.text("tool", e.Tool)
	b.text("decision", e.DecisionID)
	b.list("rules", e.Rules)
	b.text("policy_revision", e.Revision)
	b.text("ip", e.IP)
	b.text("request_id", e.RequestID)
	b.detail(e.Detail)
	b.WriteByte('}')
	return b.String()
}

// eventBody is a JSON object that grows. Members that are empty are left out.
type eventBody struct{ strings.Builder }

// name begins a member. Names need no escapes.
func (b *eventBody) name(name string) {
	if b.Len() > 1 {
		b.WriteByte(',')
	}
	b.WriteByte('"')
	b.WriteString(name)
	b.WriteString(`":`)
}

func (b *eventBody) text(name, value string) {
	if value != "" {
		b.name(name)
		b.quote(value)
	}
}

func (b *eventBody) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	b.name(name)
	for i, value := range values {
		b.WriteByte(opener(i, '['))
		b.quote(value)
	}
	b.WriteByte(']')
}

func (b *eventBody) detail(values map[string]string) {
	if len(values) == 0 {
		return
	}
	b.name("detail")
	keys := make([]string, 0, 8)
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		b.WriteByte(opener(i, '{'))
		b.quote(key)
		b.WriteByte(':')
		b.quote(values[key])
	}
	b.WriteByte('}')
}

// opener stands before an element: the bracket before the first one, else a comma.
func opener(i int, bracket byte) byte {
	if i == 0 {
		return bracket
	}
	return ','
}

// quote writes a JSON string. What is not plain ASCII is left to encoding/json.
func (b *eventBody) quote(text string) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b.quoteOdd(text)
			return
		}
	}
	b.WriteByte('"')
	b.WriteString(text)
	b.WriteByte('"')
}

func (b *eventBody) quoteOdd(text string) {
	var out bytes.Buffer
	j := json.NewEncoder(&out)
	j.SetEscapeHTML(false)
	_ = j.Encode(text) // a string and a buffer cannot fail
	b.Write(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}
