package tests

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Parallel calls never exceed a quota: of fifty at a time over HTTP ten are allowed, each is on record, and the quota outlives a restart.
func TestParallelCallsNeverExceedAQuota(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	s.writePolicy("tools/quota.rego", `package policy.tools.quota

deny contains {"code": "quota", "message": "ten calls a day"} if {
	input.tool.name == "calendar_list"
	not mcp.usage(86400) < 10
}
`)
	s.run()
	b := s.browser(t)
	token := b.tokens(ask()).text("access_token")
	var allowed, denied atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch b.decide(token, "calendar_list", `{}`).text("context.reason") {
			case "allowed":
				allowed.Add(1)
			case "quota":
				denied.Add(1)
			}
		})
	}
	all.Wait()
	if allowed.Load() != 10 || denied.Load() != 40 {
		t.Errorf("%d were allowed and %d denied, want 10 and 40", allowed.Load(), denied.Load())
	}
	types := s.auditTypes()
	if types["decision allowed"] != 10 || types["decision denied"] != 40 {
		t.Errorf("on record: %v", types)
	}
	s.stop()
	s.run()
	b.decide(token, "calendar_list", `{}`).wantDecision(false, "quota")
}
