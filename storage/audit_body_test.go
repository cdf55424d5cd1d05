package storage

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"portcullis/oauth"
)

// encodedByLibrary is what encoding/json makes of the body of an event.
func encodedByLibrary(t *testing.T, e oauth.Event) string {
	t.Helper()
	var b bytes.Buffer
	j := json.NewEncoder(&b)
	j.SetEscapeHTML(false)
	if err := j.Encode(auditBody{
		Outcome: e.Outcome, Reason: e.Reason, SubjectID: e.SubjectID, Username: e.Username, ClientID: e.ClientID, ResourceID: e.ResourceID,
		GrantID: e.GrantID, FamilyID: e.FamilyID, JTI: e.JTI, Scopes: e.Scopes, Action: e.Action, Tool: e.Tool, DecisionID: e.DecisionID,
		Rules: e.Rules, Revision: e.Revision, IP: e.IP, RequestID: e.RequestID, Detail: e.Detail,
	}); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// oddTexts have what JSON escapes, what it replaces, and what it leaves alone.
var oddTexts = []string{"", "plain", `"`, `\`, "<&>", "\x00", "\b\f\n\r\t", "\x1f", " ", "~", "\x7f", "é", "\u2028\u2029", "\U0001f600", "\xff", "a\xc3", "\xed\xa0\x80", "\ufffd", "/", "'"}

type oddEvents struct{ *rand.Rand }

func (r oddEvents) text() string {
	text := ""
	for range r.IntN(4) {
		if r.IntN(3) == 0 {
			text += string([]byte{byte(r.IntN(256))})
			continue
		}
		text += oddTexts[r.IntN(len(oddTexts))]
	}
	return text
}

func (r oddEvents) list() (list []string) {
	for range r.IntN(4) {
		list = append(list, r.text())
	}
	return list
}

func (r oddEvents) event() oauth.Event {
	e := oauth.Event{Outcome: r.text(), Reason: r.text(), SubjectID: r.text(), Username: r.text(), ClientID: r.text(), ResourceID: r.text(),
		GrantID: r.text(), FamilyID: r.text(), JTI: r.text(), Scopes: r.list(), Action: r.text(), Tool: r.text(), DecisionID: r.text(),
		Rules: r.list(), Revision: r.text(), IP: r.text(), RequestID: r.text()}
	for range r.IntN(5) {
		if e.Detail == nil {
			e.Detail = map[string]string{}
		}
		e.Detail[r.text()] = r.text()
	}
	return e
}

func TestTheBodyOfAnEventIsWhatTheLibraryMakesOfIt(t *testing.T) {
	seed := rand.Uint64()
	r := oddEvents{rand.New(rand.NewPCG(seed, 1))}
	events := []oauth.Event{{}, fullEvent(1), {Scopes: oauth.Scopes{}, Rules: []string{}, Detail: map[string]string{}}, {Detail: map[string]string{"": ""}}}
	for range 20_000 {
		events = append(events, r.event())
	}
	for _, e := range events {
		if got, want := encodeEvent(&e), encodedByLibrary(t, e); got != want {
			t.Fatalf("seed %d\ngot  %s\nwant %s", seed, got, want)
		}
	}
	for c := range 256 {
		e := oauth.Event{Tool: string([]byte{byte(c)}), Username: string(rune(c))}
		if got, want := encodeEvent(&e), encodedByLibrary(t, e); got != want {
			t.Fatalf("byte %#x: got %s, want %s", c, got, want)
		}
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := fullEvent(1)
	b.ReportAllocs()
	for b.Loop() {
		encodeEvent(&e)
	}
}
