package storage

import (
	"strings"
	"testing"

	"portcullis/oauth"
)

func aGeneration(revision string, at int64) oauth.PolicyGeneration {
	return oauth.PolicyGeneration{Revision: revision, ActivatedAt: second(at), Bundle: "bundle of " + revision, Document: []byte("files of " + revision)}
}

// kept are the revisions that are kept, newest first.
func kept(t *testing.T, r *Reader) string {
	t.Helper()
	list, err := r.PolicyGenerations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var revisions []string
	for _, g := range list {
		if g.ActivatedAt.IsZero() || g.Document != nil {
			t.Errorf("listed as %+v", g)
		}
		revisions = append(revisions, g.Revision)
	}
	return strings.Join(revisions, " ")
}

func TestTheLastGenerationsAreKept(t *testing.T) {
	s := open(t, testConfig(t))
	save := func(revision string, at int64) {
		commit(t, s, oauth.SavePolicyGeneration{Generation: aGeneration(revision, at), Keep: 3}, event(revision))
	}
	for i, revision := range []string{"a", "b", "c"} {
		save(revision, int64(10+i))
	}
	if got := kept(t, s.Reader); got != "c b a" {
		t.Fatalf("kept %q", got)
	}
	save("a", 20) // put in force again: it is the newest, and nothing goes
	if got := kept(t, s.Reader); got != "a c b" {
		t.Fatalf("kept %q", got)
	}
	g, err := s.PolicyGeneration(t.Context(), "a")
	same(t, g, err, aGeneration("a", 20))
	for range 5 { // restarts with the same policies push nothing out
		save("a", 21)
	}
	save("d", 30)
	if got := kept(t, s.Reader); got != "d a c" {
		t.Errorf("kept %q", got)
	}
	_, err = s.PolicyGeneration(t.Context(), "b")
	notFound(t, err)
	verified(t, s.Reader, 10)
}

func TestTheLastBundleIsKept(t *testing.T) {
	s := open(t, testConfig(t))
	_, err := s.PolicyBundle(t.Context())
	notFound(t, err)
	for i, b := range []oauth.PolicyBundle{{Revision: "7", Number: 7, VerifiedBy: "key", TakenAt: second(10)}, {Revision: "2026-11-24T18:00:00Z", Number: 1 << 60, TakenAt: second(20)},
		{Revision: "3", Number: 3, TakenAt: second(30)}} {
		commit(t, s, oauth.SavePolicyBundle{Bundle: b}, event(b.Revision))
		got, err := s.PolicyBundle(t.Context())
		same(t, got, err, b)
		verified(t, s.Reader, int64(i+1))
	}
}
