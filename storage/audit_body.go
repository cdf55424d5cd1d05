package storage

import (
	"slices"

	"portcullis/oauth"
)

// usualBody is how many bytes most bodies of events need at most.
const usualBody = 2 << 10

// encodeEvent writes the JSON of an auditBody, byte for byte what encoding/json makes of it, in half the time. It is the same for
// the same event (maps are sorted), and never fails on odd text: invalid UTF-8 is replaced.
func encodeEvent(e *oauth.Event) string {
	var room [usualBody]byte
	b := eventBody(append(room[:0], '{'))
	b = b.text("outcome", e.Outcome).text("reason", e.Reason)
	b = b.text("subject", e.SubjectID).text("username", e.Username).text("client", e.ClientID).text("resource", e.ResourceID)
	b = b.text("grant", e.GrantID).text("family", e.FamilyID).text("jti", e.JTI).list("scopes", e.Scopes)
	b = b.text("action", e.Action).text("tool", e.Tool).text("decision", e.DecisionID)
	b = b.list("rules", e.Rules).text("policy_revision", e.Revision)
	b = b.text("ip", e.IP).text("request_id", e.RequestID).detail(e.Detail)
	return string(append(b, '}'))
}

// eventBody is a JSON object that grows. Members that are empty are left out. Its methods return it as append does, so that its room
// can lie on the stack.
type eventBody []byte

// name begins a member. Names need no escapes.
func (b eventBody) name(name string) eventBody {
	if len(b) > 1 {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func (b eventBody) text(name, value string) eventBody {
	if value == "" {
		return b
	}
	return b.name(name).quote(value)
}

func (b eventBody) list(name string, values []string) eventBody {
	if len(values) == 0 {
		return b
	}
	b = b.name(name)
	for i, value := range values {
		b = append(b, opener(i, '[')).quote(value)
	}
	return append(b, ']')
}

func (b eventBody) detail(values map[string]string) eventBody {
	if len(values) == 0 {
		return b
	}
	b = b.name("detail")
	keys := make([]string, 0, 8)
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		b = append(append(b, opener(i, '{')).quote(key), ':').quote(values[key])
	}
	return append(b, '}')
}

// opener stands before an element: the bracket before the first one, else a comma.
func opener(i int, bracket byte) byte {
	if i == 0 {
		return bracket
	}
	return ','
}

func (b eventBody) quote(text string) eventBody { return oauth.AppendJSONText(b, text, false) }
