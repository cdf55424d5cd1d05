package oauth

import (
	"reflect"
	"strings"
	"testing"
)

// TestTriedPackagesStandInAnswerAndAudit: the answer names flips only; the row has the failures, too, and is bounded.
func TestTriedPackagesStandInAnswerAndAudit(t *testing.T) {
	list := []Tried{
		{Package: "policy.tools.a", Flips: true, Rules: []string{"a.deny"}},
		{Package: "policy.tools.b", Error: "eval_conflict_error at b.rego:5"},
		{Package: "policy.scopes.c", Flips: true, Allow: true, Granted: NewScopes("a:b", "a:c")},
	}
	want := []WouldFlip{{"policy.tools.a", "denied"}, {"policy.scopes.c", "allowed"}}
	if got := wouldFlip(list); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := wouldFlip(list[1:2]); got != nil {
		t.Errorf("a failure is not for callers: %+v", got)
	}
	var e Event
	e.noteTried(list)
	wantDetail := map[string]string{
		"would_flip":     "policy.tools.a denied (a.deny); policy.scopes.c allowed (a:b a:c)",
		"log_only_error": "policy.tools.b: eval_conflict_error at b.rego:5",
	}
	if !reflect.DeepEqual(e.Detail, wantDetail) {
		t.Errorf("%q", e.Detail)
	}
	e.noteTried([]Tried{{Package: "policy.tools." + strings.Repeat("x", 5000), Flips: true}})
	if n := len(e.Detail["would_flip"]); n > 1010 {
		t.Errorf("%d bytes", n)
	}
	var none Event
	if none.noteTried(nil); none.Detail != nil {
		t.Errorf("%q", none.Detail)
	}
}
