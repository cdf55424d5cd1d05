package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// decide asks about a call of the tool and gives the reason.
func (c *clock) decide(token string) string {
	c.t.Helper()
	request, err := http.NewRequest(http.MethodPost, timeIssuer, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.SetBasicAuth("tools", "a resource secret")
	body, err := json.Marshal(map[string]any{"action": map[string]any{"name": "tools/call"}, "resource": map[string]any{"type": "tool", "id": "notes"},
		"context": map[string]any{"access_token": token}})
	if err != nil {
		c.t.Fatal(err)
	}
	a := c.send(http.MethodPost, "/access/v1/evaluation", string(body), "Content-Type", "application/json", "Authorization", request.Header.Get("Authorization"))
	var answer struct {
		Context struct{ Reason string }
	}
	if err := json.Unmarshal([]byte(a.body.String()), &answer); err != nil || a.status != http.StatusOK {
		c.t.Fatalf("evaluation: %d %s", a.status, a.body.String())
	}
	return answer.Context.Reason
}

// TestAQuotaIsThereAgainWhenItsWindowHasPassed: calls go out of the window one after the other, to the second.
func TestAQuotaIsThereAgainWhenItsWindowHasPassed(t *testing.T) {
	dir := t.TempDir()
	rego := "package policy.tools.quota\n\ndeny contains {\"code\": \"quota\", \"message\": \"no more\"} if not mcp.usage(300) < 2\n"
	if err := os.WriteFile(filepath.Join(dir, "quota.rego"), []byte(rego), 0o600); err != nil {
		t.Fatal(err)
	}
	inBubbleWith(t, func(c *Config) { c.Policies = filePath(dir); c.Policy.Deadline = 5 * time.Second }, func(c *clock) {
		token := c.redeem(c.code()).Access
		want := func(when, reason string) {
			c.t.Helper()
			if got := c.decide(token); got != reason {
				c.t.Errorf("%s: %s, want %s", when, got, reason)
			}
		}
		want("the first", "allowed")
		time.Sleep(100 * time.Second)
		want("the second, 100 s later", "allowed")
		want("the third", "quota")
		time.Sleep(200 * time.Second)
		want("300 s after the first, whose second is still in the window", "quota")
		time.Sleep(time.Second)
		want("when the first has left the window", "allowed")
		want("and no more", "quota")
		time.Sleep(99 * time.Second)
		want("300 s after the second", "quota")
		time.Sleep(time.Second)
		want("when the second has left it, too", "allowed")
	})
}
