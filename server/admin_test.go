package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func newAdmin(t *testing.T, cfg AdminConfig) http.Handler {
	t.Helper()
	cfg.Log = orDefault(cfg.Log, quiet())
	h, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const adminURL = "http://127.0.0.1:9090"

func TestHealthSaysNoMore(t *testing.T) {
	broken := errors.New("disk on fire")
	var fault error
	h := newAdmin(t, AdminConfig{Checks: map[string]func(context.Context) error{
		"storage": func(context.Context) error { return fault },
		"policy":  func(context.Context) error { return nil },
	}})
	if w := do(h, "GET", adminURL+"/readyz", ""); w.Code != 200 || w.Body.String() != `{"status":"ok"}` {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
	fault = broken
	if w := do(h, "GET", adminURL+"/readyz", ""); w.Code != 503 || w.Body.String() != `{"status":"unavailable"}` {
		t.Errorf("not ready: %d %s", w.Code, w.Body)
	}
	if w := do(h, "GET", adminURL+"/livez", ""); w.Code != 200 {
		t.Errorf("a broken disk does not make the process dead: %d", w.Code)
	}
}

func TestAdminAnswersLoopbackNamesOnly(t *testing.T) {
	h := newAdmin(t, AdminConfig{Hosts: []string{"metrics.internal"}, Metrics: NewMetrics(MetricsConfig{})})
	for host, want := range map[string]int{
		"127.0.0.1:9090": 200, "localhost:1": 200, "[::1]:9090": 200, "metrics.internal:9090": 200,
		"evil.test": 421, "127.0.0.1.evil.test": 421, "localhost.evil.test:9090": 421,
	} {
		for _, path := range []string{"/livez", "/metrics"} {
			if w := do(h, "GET", "http://"+host+path, ""); w.Code != want {
				t.Errorf("%s%s: %d, want %d", host, path, w.Code, want)
			}
		}
	}
}

func TestAdminHasNothingElse(t *testing.T) {
	h := newAdmin(t, AdminConfig{})
	for _, path := range []string{"/", "/metrics", "/ui/login", "/authorize", "/debug/pprof/"} {
		if w := do(h, "GET", adminURL+path, ""); w.Code != 404 || w.Header().Get("Content-Type") != typeJSON {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
	if w := do(h, "POST", adminURL+"/readyz", ""); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestMetricsCountWithoutStrangersWords(t *testing.T) {
	m := NewMetrics(MetricsConfig{
		Commits: func() float64 { return 7 }, Groups: func() float64 { return 3 }, Revision: func() string { return "rev-1" }, Stale: func() float64 { return 2 },
		Cache: func() (uint64, uint64, uint64) { return 5, 4, 1 },
	})
	h := newHandler(t, Config{Endpoints: allEndpoints(), Metrics: m})
	do(h, "GET", "/.well-known/oauth-authorization-server", "")
	do(h, "GET", "/made-up-path-1", "")
	do(h, "GET", "/ui/i/made-up-id", "")
	m.token("refresh_token", "ok")
	m.token("made-up-grant", "unsupported_grant_type")
	m.decision("allowed", "ok", time.Millisecond)
	for i := range 300 {
		m.decision("denied", "computed "+strings.Repeat("x", i%50)+string(rune('a'+i%26)), time.Millisecond)
	}
	text := do(newAdmin(t, AdminConfig{Metrics: m}), "GET", adminURL+"/metrics", "").Body.String()
	for _, want := range []string{
		`portcullis_http_requests_total{route="/.well-known/oauth-authorization-server",status="200"} 1`,
		`portcullis_http_requests_total{route="none",status="404"} 1`,
		`portcullis_token_requests_total{grant_type="refresh_token",outcome="ok"} 1`,
		`portcullis_token_requests_total{grant_type="other",outcome="unsupported_grant_type"} 1`,
		`portcullis_decisions_total{outcome="allowed",reason="ok"} 1`,
		`portcullis_decision_seconds_count 301`,
		`portcullis_storage_commits_total 7`, `portcullis_storage_groups_total 3`, `portcullis_policy_info{revision="rev-1"} 1`, `portcullis_policy_stale_tools 2`,
		`portcullis_policy_questions_total{cache="hit"} 5`, `portcullis_policy_questions_total{cache="miss"} 4`, `portcullis_policy_questions_total{cache="not_cacheable"} 1`,
		`go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(text, "made-up") {
		t.Error("a stranger chose a label")
	}
	if n := strings.Count(text, "portcullis_decisions_total{"); n > 102 {
		t.Errorf("%d reasons: labels are not bounded", n)
	}
	var none *Metrics
	none.request("/", 200)
	none.token("x", "y")
	none.decision("x", "y", 0)
}
