package storage

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"testing"

	"portcullis/oauth"
)

// A Change that apply does not know compiles. So its cases are compared with the receivers of change().
func TestApplyKnowsEveryChange(t *testing.T) {
	var receivers, cases []string
	inspect(t, "../oauth/ledger.go", func(n ast.Node) {
		if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == "change" && f.Recv != nil {
			receivers = append(receivers, f.Recv.List[0].Type.(*ast.Ident).Name)
		}
	})
	inspect(t, "apply.go", func(n ast.Node) {
		if c, ok := n.(*ast.CaseClause); ok {
			for _, e := range c.List {
				cases = append(cases, e.(*ast.SelectorExpr).Sel.Name)
			}
		}
	})
	slices.Sort(receivers)
	slices.Sort(cases)
	if len(receivers) == 0 || !slices.Equal(receivers, cases) {
		t.Errorf("changes %v\napply   %v", receivers, cases)
	}
}

func inspect(t *testing.T, path string, visit func(ast.Node)) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool { visit(n); return true })
}

func TestAChangeThatIsNoneIsRefused(t *testing.T) {
	s := open(t, testConfig(t))
	if err := s.Commit(t.Context(), event("1"), nil); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	verified(t, s.Reader, 0)
	if err := s.Commit(t.Context()); err != nil {
		t.Errorf("no changes: %v", err)
	}
}

// same compares what was read with what was written.
func same[T any](t *testing.T, got *T, err error, want T) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

func notFound(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, oauth.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
}

func aGrant(id string) oauth.Grant {
	return oauth.Grant{ID: id, UserID: "u1", ClientID: "c1", Resource: "https://r.example/mcp", Scopes: oauth.NewScopes("a:1", "b:2"),
		ClientDigest: "d1", RedirectURI: "http://127.0.0.1/cb", CreatedAt: second(0), LastUsedAt: second(0)}
}

func aFamily(id, grant string) oauth.Family {
	return oauth.Family{ID: id, GrantID: grant, Scopes: oauth.NewScopes("a:1"), JKT: "jkt", RedirectURI: "http://127.0.0.1:1234/cb", AuthTime: second(-5), ACR: "pwd", AMR: []string{"pwd", "otp"},
		CreatedAt: second(1), ExpiresAt: second(1000)}
}

func aRefresh(family string, generation int) oauth.Refresh {
	return oauth.Refresh{Hash: digest(family + string(rune('0'+generation))), FamilyID: family, Generation: generation, CreatedAt: second(1), ExpiresAt: second(500)}
}

func aCode(name, grant string) oauth.Code {
	return oauth.Code{Hash: digest(name), GrantID: grant, RedirectURI: "http://127.0.0.1:1234/cb", Challenge: "ch", Scopes: oauth.NewScopes("a:1"), Offline: true,
		AuthTime: second(-5), ACR: "pwd", AMR: []string{"pwd"}, ExpiresAt: second(60)}
}

// What ends with a user, client, resource or grant, and what stays.
func TestEndingReachesWhatDependsOnIt(t *testing.T) {
	other := aGrant("other")
	other.UserID, other.ClientID, other.Resource = "u2", "c2", "https://other.example/mcp"
	for name, end := range map[string]oauth.Change{
		"user":     oauth.DisableUser{ID: "u1", Reason: "why", At: second(50)},
		"client":   oauth.DisableClient{ID: "c1", Reason: "why", At: second(50)},
		"resource": oauth.DisableResource{ID: "https://r.example/mcp", Reason: "why", At: second(50)},
		"grant":    oauth.EndGrant{ID: "g1", Reason: "why", At: second(50)},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, testConfig(t))
			commit(t, s, oauth.SaveUser{User: oauth.User{ID: "u1", Name: "alice"}}, oauth.SaveClient{Client: oauth.Client{ID: "c1"}},
				oauth.SaveResource{Resource: oauth.Resource{ID: "https://r.example/mcp"}},
				oauth.SaveSession{Session: oauth.Session{Hash: digest("s1"), UserID: "u1"}}, oauth.SaveSession{Session: oauth.Session{Hash: digest("s2"), UserID: "u2"}},
				oauth.SaveGrant{Grant: aGrant("g1")}, oauth.SaveFamily{Family: aFamily("f1", "g1")}, oauth.SaveRefresh{Refresh: aRefresh("f1", 1)},
				oauth.SaveFamily{Family: aFamily("f0", "g1")}, oauth.EndFamily{ID: "f0", Reason: "earlier", At: second(40)},
				oauth.RotateRefresh{Hash: aRefresh("f1", 1).Hash, UsedAt: second(2), WindowEnds: second(300), Sealed: []byte("sealed"), Next: aRefresh("f1", 2)},
				oauth.SaveGrant{Grant: other}, oauth.SaveFamily{Family: aFamily("f2", "other")})
			commit(t, s, end)
			state := readRefresh(t, s, 1)
			if state.Grant.EndReason != "why" || !state.Grant.EndedAt.Equal(second(50)) {
				t.Errorf("grant: %+v", state.Grant)
			}
			if state.Family.EndReason != "why" || !state.Family.EndedAt.Equal(second(50)) || state.Refresh.Successor != nil {
				t.Errorf("family: %+v, successor %q", state.Family, state.Refresh.Successor)
			}
			earlier, err := s.TokenState(t.Context(), "", "other", "f0", "")
			if err != nil || earlier.Family.EndReason != "earlier" || !earlier.Grant.Live() {
				t.Errorf("%v %+v", err, earlier)
			}
			if kept, err := s.TokenState(t.Context(), "", "other", "f2", ""); err != nil || !kept.Family.EndedAt.IsZero() {
				t.Errorf("another's family: %v %+v", err, kept)
			}
			conflict(t, s, oauth.SaveFamily{Family: aFamily("f3", "g1")})
			_, err = s.Session(t.Context(), digest("s1"))
			if gone := errors.Is(err, oauth.ErrNotFound); gone != (name == "user") {
				t.Errorf("session gone: %v", gone)
			}
			if _, err := s.Session(t.Context(), digest("s2")); err != nil {
				t.Errorf("another's session: %v", err)
			}
			if name != "grant" { // what was disabled gets nothing new
				conflict(t, s, oauth.SaveGrant{Grant: aGrant("g9")})
			}
			if name == "user" {
				conflict(t, s, oauth.SaveSession{Session: oauth.Session{Hash: digest("s3"), UserID: "u1"}})
			}
		})
	}
}

func TestUseOnce(t *testing.T) {
	s := open(t, testConfig(t))
	commit(t, s, oauth.UseOnce{Scope: "dpop", ID: "1", ExpiresAt: second(1)})
	conflict(t, s, oauth.UseOnce{Scope: "dpop", ID: "1", ExpiresAt: second(9)})
	commit(t, s, oauth.UseOnce{Scope: "assertion", ID: "1", ExpiresAt: second(1)})
}
