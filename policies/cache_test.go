package policies

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"portcullis/oauth"
)

// TestInputsOutOfBoundsAreNeverAnsweredFromMemory: also where no rule looks at what is wrong.
func TestInputsOutOfBoundsAreNeverAnsweredFromMemory(t *testing.T) {
	e := engineWith(t, nil)
	good := call("get_weather", map[string]any{"x": json.Number("1")}, "tools:weather.read")
	for range 2 {
		if got := word(decide(t, e, good)); got != "allow" {
			t.Fatal(got)
		}
	}
	for name, v := range map[string]any{"a number": json.Number("1e999999999"), "a type": 1.5, "in a list": []any{json.Number("0x1")}, "in an object": map[string]any{"y": 1}} {
		bad := call("get_weather", map[string]any{"x": v}, "tools:weather.read")
		if got := word(decide(t, e, bad)); got != codePolicyError {
			t.Errorf("%s: %q", name, got)
		}
	}
	if s := e.CacheStats(); s.Hits != 1 {
		t.Errorf("%+v", s)
	}
}

func TestPolicyErrorsAreNotRemembered(t *testing.T) {
	for name, rule := range map[string]string{
		"a built-in error":  `deny contains "no" if to_number(input.tool.arguments.x) > 5`,
		"a conflict":        "deny contains \"no\" if _x == 5\n\n_x := 1 if input.tool.arguments.x\n\n_x := 2 if input.tool.name",
		"a malformed value": `ttl_seconds := input.tool.arguments.x`,
		"a malformed code":  `deny contains {"code": input.tool.arguments.x, "message": "m"}`,
		"a large answer":    `deny contains sprintf("%d %s", [n, input.tool.arguments.x]) if some n in numbers.range(1, 5000)`,
	} {
		e := engineWith(t, map[string]string{"a.rego": payments + rule + "\n"})
		for range 3 {
			if d := decide(t, e, call("get_weather", map[string]any{"x": "a b"}, "tools:weather.read")); word(d) != codePolicyError {
				t.Errorf("%s: %+v", name, d)
			}
		}
		if s := e.CacheStats(); s.Hits != 0 || s.Entries != 0 || s.Misses != 3 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestAnswersThatFollowTheClockAreNotRemembered: the clock is in no input that a key is made of.
func TestAnswersThatFollowTheClockAreNotRemembered(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": payments + "deny contains \"closed\" if time.now_ns() >= 1800000000000000000\n"})
	for at, want := range map[int64]string{1_800_000_000: "denied", 1_800_000_001: "denied", 1_799_999_999: "allow", 1_700_000_000: "allow"} {
		for range 2 {
			v := call("get_weather", nil, "tools:weather.read")
			v.Context.Time = time.Unix(at, 0)
			v.Token.ExpiresAt = time.Unix(at+600, 0)
			if got := word(decide(t, e, v)); got != want {
				t.Errorf("at %d: %q, want %q", at, got, want)
			}
		}
	}
}

// TestCallersCannotChangeWhatIsRemembered: what one does with its decision is its own affair.
func TestCallersCannotChangeWhatIsRemembered(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": payments + `obligations contains {"id": "o", "type": "t", "properties": {"a": {"b": ["c"]}}}

ttl_seconds := 60

require_authn contains {"acr_values": ["mfa", "pwd"]}

require_authn contains {"acr_values": ["mfa"], "max_age": 5} if input.subject.username == "mallory"

deny contains {"code": "no", "message": "no"} if input.tool.arguments.x
`})
	for _, v := range []oauth.Evaluation{
		call("get_weather", nil, "tools:weather.read"), call("get_weather", nil), call("get_weather", map[string]any{"x": true}),
		func() oauth.Evaluation {
			v := call("get_weather", nil, "tools:weather.read")
			v.Subject.Username = "mallory"
			return v
		}(),
	} {
		want := fmt.Sprintf("%+v", decide(t, e, v))
		for range 3 {
			d := decide(t, e, v)
			if got := fmt.Sprintf("%+v", d); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			scribble(reflect.ValueOf(&d))
		}
	}
	if s := e.CacheStats(); s.Hits < 12 {
		t.Errorf("%+v", s)
	}
}

// scribble overwrites everything that can be reached.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			scribble(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			scribble(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribble(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			scribble(v.MapIndex(key))
			v.SetMapIndex(key, reflect.ValueOf("scribbled"))
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString("scribbled")
		}
	}
}

// TestMemoryOfAllQuestions: the same question about scopes, clients and plain evaluations is answered from memory, and
// another revision remembers nothing.
func TestMemoryOfAllQuestions(t *testing.T) {
	dir := demoDir(t)
	write(t, dir, map[string]string{"b.rego": "package policy.access.x\n\nallow if input.subject.id == \"usr_1\"\n"})
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	plain := withoutMemory(e, "")
	access := call("get_weather", nil)
	access.Token = nil
	asks := []func(*Engine) (any, error){
		func(e *Engine) (any, error) { return e.Decide(context.Background(), access) },
		func(e *Engine) (any, error) {
			return e.Decide(context.Background(), call("get_weather", nil, "tools:weather.read"))
		},
		func(e *Engine) (any, error) {
			return e.GrantScopes(context.Background(), scopeRequest(demoResource().ScopeNames(), "staff"))
		},
		func(e *Engine) (any, error) {
			return e.GrantScopes(context.Background(), scopeRequest(demoResource().ScopeNames()))
		},
		func(e *Engine) (any, error) {
			return e.Admit(context.Background(), oauth.ClientRequest{Client: &oauth.Client{ID: "x", Registration: oauth.RegistrationDCR, RedirectURIs: []string{"x:y"}}})
		},
	}
	all := func() {
		for _, ask := range asks {
			same(t, e, plain, ask)
		}
	}
	all()
	all()
	if s := e.CacheStats(); s.Misses != 5 || s.Hits != 5 || s.Entries != 5 || s.NotCacheable != 0 {
		t.Errorf("%+v", s)
	}
	write(t, dir, map[string]string{"config.yaml": "transfer_limit: 5\n"})
	if _, err := e.Reload(context.Background(), []*oauth.Resource{demoResource()}); err != nil {
		t.Fatal(err)
	}
	if s := e.CacheStats(); s.Entries != 0 {
		t.Errorf("after a reload: %+v", s)
	}
	plain = withoutMemory(e, "")
	all()
	if s := e.CacheStats(); s.Misses != 10 || s.Hits != 5 {
		t.Errorf("after a reload: %+v", s)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if input.tool.arguments.x == 5\n"}), Cache: 3, Catalogue: []*oauth.Resource{demoResource()}})
	ask := func(n int) { decide(t, e, call("transfer", map[string]any{"x": json.Number(fmt.Sprint(n))})) }
	for _, n := range []int{1, 2, 3, 1, 4} { // 4 drives out 2, which was asked for longest ago
		ask(n)
	}
	before := e.CacheStats()
	ask(1)
	ask(2)
	if after := e.CacheStats(); before.Entries != 3 || after.Entries != 3 || after.Hits-before.Hits != 1 || after.Misses-before.Misses != 1 {
		t.Errorf("%+v, then %+v", before, after)
	}
	off := engineFrom(t, Config{Defaults: true, Cache: -1, Catalogue: []*oauth.Resource{demoResource()}})
	for range 2 {
		decide(t, off, call("get_weather", nil))
	}
	if s := off.CacheStats(); s.Hits != 0 || s.Entries != 0 || s.NotCacheable != 2 {
		t.Errorf("switched off: %+v", s)
	}
}

// TestLoginsAreComparedAnew: an answer from memory still looks at the age and kind of this token's login.
func TestLoginsAreComparedAnew(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": payments + "require_authn contains {\"max_age\": 300, \"acr_values\": [\"mfa\"]}\n\nttl_seconds := 600\n"})
	v := call("get_weather", nil, "tools:weather.read")
	for _, tc := range []struct {
		name string
		age  time.Duration
		acr  string
		left time.Duration
		want string
		ttl  time.Duration
	}{
		{"fresh", 300 * time.Second, "mfa", time.Hour, "allow", 600 * time.Second},
		{"a second later", 301 * time.Second, "mfa", time.Hour, "authn", 0},
		{"another kind of login", time.Second, "pwd", time.Hour, "authn", 0},
		{"a token that ends soon", time.Second, "mfa", time.Minute, "allow", time.Minute},
	} {
		now := v.Context.Time
		v.Token.Authn = oauth.Authentication{Time: now.Add(-tc.age), ACR: tc.acr}
		v.Token.ExpiresAt = now.Add(tc.left)
		if d := decide(t, e, v); word(d) != tc.want || d.TTL != tc.ttl {
			t.Errorf("%s: %+v", tc.name, d)
		}
	}
	if s := e.CacheStats(); s.Misses != 1 || s.Hits != 3 {
		t.Errorf("%+v", s)
	}
}

func TestMemoryForManyAtOnce(t *testing.T) {
	e := engineFrom(t, Config{Dir: demoDir(t), Defaults: true, Cache: 4, Catalogue: []*oauth.Resource{demoResource()}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				amount := 990 + (i+j)%20
				want := "allow"
				if amount > 1000 {
					want = "payments.limit"
				}
				d, err := e.Decide(context.Background(), call("transfer", map[string]any{"amount": json.Number(fmt.Sprint(amount))}, "tools:payments.transfer"))
				if err != nil || word(d) != want {
					t.Errorf("%d: %+v %v", amount, d, err)
				}
			}
		})
	}
	wg.Wait()
	if s := e.CacheStats(); s.Hits+s.Misses != 800 || s.Entries > 4 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkDecideFromMemory(b *testing.B) {
	e := engineFrom(b, Config{Dir: demoDir(b), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	v := call("transfer", map[string]any{"amount": json.Number("900"), "to": "ACME"}, "tools:payments.transfer", "tools:weather.read")
	b.ReportAllocs()
	for b.Loop() {
		if d := decide(b, e, v); !d.Allow {
			b.Fatal(d)
		}
	}
	if s := e.CacheStats(); s.Misses != 1 {
		b.Fatal(s)
	}
}
