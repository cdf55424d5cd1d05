//go:build unix

package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"portcullis/oauth"
	"portcullis/policies"
	"portcullis/server"
)

// benchResources is a server with one tool whose arguments have a schema, beside the others.
func benchResources() []oauth.Resource {
	yes := true
	resources := testResources()
	r := &resources[0]
	r.Scopes = append(r.Scopes, oauth.ScopeInfo{Name: "tools:payments.transfer", Description: "Move money"})
	r.Tools = append(r.Tools, oauth.Tool{Name: "transfer", Title: "Transfer", Scopes: oauth.NewScopes("tools:payments.transfer"), Annotations: oauth.Annotations{DestructiveHint: &yes},
		InputSchema: map[string]any{"type": "object", "required": []any{"amount"}, "properties": map[string]any{
			"amount": map[string]any{"type": "number"}, "to": map[string]any{"type": "string"}, "memo": map[string]any{"type": "string"}}}})
	return resources
}

// benchWorld serves the demo's rules beside the shipped ones. cache is how many answers are remembered, below 0 none.
func benchWorld(b *testing.B, cache int, record policies.RecordMode) (w *world, access string) {
	dir := b.TempDir()
	files, err := policies.DemoFiles()
	must(b, err)
	must(b, os.CopyFS(dir, files))
	w = worldWith(b, benchResources(), policies.Config{Dir: dir, Defaults: true, Cache: cache, Deadline: 5 * time.Second, Record: record, RecordKey: make([]byte, 32)},
		server.NewMetrics(server.MetricsConfig{}))
	person := w.browser()
	person.get(authorizePath("scope", "tools:weather.read tools:payments.transfer"))
	person.login("alice")
	person.submit("/consent", "action", "allow", "scope", "tools:weather.read", "scope", "tools:payments.transfer")
	return w, w.redeem(person.answered().Get("code"))["access_token"].(string)
}

// evaluationBody is what an MCP server sends for a transfer.
func evaluationBody(b *testing.B, access string, amount int) []byte {
	data, err := json.Marshal(map[string]any{
		"action":   map[string]any{"name": "tools/call"},
		"resource": map[string]any{"type": "tool", "id": "transfer", "properties": map[string]any{"arguments": map[string]any{"amount": amount, "to": "ACME", "memo": "July"}}},
		"context":  map[string]any{"access_token": access},
	})
	must(b, err)
	return data
}

// computed is what this process has computed so far: steadier than the clock on a busy machine.
func computed(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDecision is a whole decision: from the handler through token, catalogue, arguments, policy and record to the audit
// row on disk, with 32 callers at a time.
func BenchmarkDecision(b *testing.B) {
	for _, cache := range []int{-1, policies.DefaultCache} {
		for _, record := range []policies.RecordMode{policies.RecordOff, policies.RecordMasked} {
			w, access := benchWorld(b, cache, record)
			for name, amount := range map[string]int{"allowed": 0, "denied": 100_000} {
				b.Run(fmt.Sprintf("%s/cached=%v/record=%s", name, cache > 0, record), func(b *testing.B) { w.benchDecision(b, access, amount, amount == 0) })
			}
		}
	}
}

func (w *world) benchDecision(b *testing.B, access string, amount int, want bool) {
	bodies := make([][]byte, 900)
	for i := range bodies {
		bodies[i] = evaluationBody(b, access, amount+i+1)
	}
	wanted := []byte(`"decision":` + strconv.FormatBool(want))
	var next atomic.Int64
	before := computed(b)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest(http.MethodPost, w.url+"/access/v1/evaluation", bytes.NewReader(bodies[next.Add(1)%int64(len(bodies))]))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+resourceSecret)
			answer := httptest.NewRecorder()
			w.handler.ServeHTTP(answer, r)
			if answer.Code != http.StatusOK || !bytes.Contains(answer.Body.Bytes(), wanted) {
				b.Errorf("%d %s", answer.Code, answer.Body)
				return
			}
		}
	})
	b.ReportMetric(float64((computed(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}
