package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// opaServer runs `opa run --server` with the policies of a site: the shipped ones as they lie in the repository, the author's, and
// the data that Portcullis gives to them. Its log level is error: at its default it writes two lines for each request.
func (b *bench) opaServer(tools int) (target, error) {
	dir := filepath.Join(b.dir, "opa")
	if err := copyRego(filepath.Join(b.source, "../../policies/rego"), filepath.Join(dir, "shipped")); err != nil {
		return target{}, err
	}
	if err := copyRego(filepath.Join(b.source, "../../policies/stock"), filepath.Join(dir, "shipped/lib")); err != nil {
		return target{}, err // it does not know mcp.usage: what an export has in the place of lib/usage.rego
	}
	if err := copyRego(filepath.Join(b.source, "policy"), filepath.Join(dir, "author")); err != nil {
		return target{}, err
	}
	data, err := json.Marshal(map[string]any{"config": companyConfig(), "servers": map[string]any{"office": serverData(tools)}})
	if err != nil {
		return target{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, "data.json"), data, 0o600); err != nil {
		return target{}, err
	}
	address, err := freeAddress()
	if err != nil {
		return target{}, err
	}
	p, err := launch(dir, "opa", nil, b.opa, "run", "--server", "--addr", address, "--log-level", "error", "--disable-telemetry",
		filepath.Join(dir, "shipped"), filepath.Join(dir, "author"), filepath.Join(dir, "data.json"))
	if err != nil {
		return target{}, err
	}
	b.onExit(p.stop)
	return target{address, p.pid()}, p.until("it was ready", func() bool {
		answer, err := http.Get("http://" + address + "/health")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// copyRego copies the policies and leaves their tests out.
func copyRego(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".rego") || strings.HasSuffix(path, "_test.rego") {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, rest)), 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rest), text, 0o600)
	})
}

// serverData is data.servers of one server, as Portcullis makes it.
func serverData(tools int) map[string]any {
	all := map[string]any{}
	for i := range tools {
		t := toolOf(i)
		all[t.name] = map[string]any{"title": fmt.Sprintf("Tool %d", i), "scopes": []string{t.scope}, "annotations": annotations(t)}
	}
	scopes := map[string]any{}
	for _, s := range []string{"read", "write", "pay", "admin"} {
		scopes["tools:"+s] = map[string]any{"description": s, "risk": "", "destructive": s == "admin"}
	}
	return map[string]any{"id": resource, "name": "Office", "scopes": scopes, "wildcard_scopes": []string{}, "tools": all}
}

func annotations(t tool) map[string]any {
	return map[string]any{"readOnlyHint": t.readOnly, "destructiveHint": t.destructive, "idempotentHint": t.readOnly, "openWorldHint": true}
}

// opaRequest is the question as somebody would put it who has verified the token, found the tool and read the clock already.
func (s sample) opaRequest(host string, now int64) []byte {
	t := toolOf(s.tool)
	input := map[string]any{
		"version":  "1",
		"subject":  map[string]any{"type": "user", "id": fmt.Sprint("usr_", s.person()), "username": fmt.Sprint("p", s.person()), "groups": groupsOf(s.person())},
		"client":   map[string]any{"id": "cli", "registration": "static", "name": "Command line", "trusted": true},
		"token":    map[string]any{"id": fmt.Sprint("tok_", s.token), "scopes": scopesOf(s.token), "auth_time": now, "acr": "pwd"},
		"action":   map[string]any{"name": "tools/call"},
		"resource": map[string]any{"type": "tool", "id": t.name, "server": "office"},
		"tool":     map[string]any{"name": t.name, "scopes": []string{t.scope}, "annotations": annotations(t), "arguments": s.arguments(), "schema_checked": true},
		"mcp":      map[string]any{"method": "tools/call"},
		"context":  map[string]any{"unix_time": now, "ip": "127.0.0.1"},
	}
	body, err := json.Marshal(map[string]any{"input": input})
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return post(host, "/v1/data/mcp/authz/tools/decision", kindJSON, nil, string(body))
}
