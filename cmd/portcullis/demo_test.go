package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"portcullis/oauth"
)

// runDemo runs the command with free ports and returns its exit code and what it said.
func runDemo(t *testing.T, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, chatter bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code = run(ctx, append([]string{"demo", "--once", "--listen", "127.0.0.1:0"}, flags...), strings.NewReader(""), &out, &chatter)
	return code, out.String(), chatter.String()
}

func TestDemoWalksTheWholeWay(t *testing.T) {
	begun := time.Now()
	code, out, chatter := runDemo(t)
	if code != exitOK {
		t.Fatalf("exit %d: %s\n%s", code, chatter, out)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("it took %s, want less than 15 s", took)
	}
	rest := out
	for _, want := range []string{
		`✗ no token +401 .*metadata`, `✓ resource +200 `, `✓ server +200 .*S256`, `✓ client id +fetched +https://127\.0\.0\.1:`, `✓ authorize +200 `,
		`✓ log in +200 +bob`, `✓ consent +asked .*payments\.transfer`, `offered +calendar\.read weather\.read\n`, `withheld payments\.transfer: only members of the group staff`, `✗ deny +denied .*access_denied`,
		`✓ log in +200 +alice`, `✓ consent +asked .*payments\.transfer`, `granted .*payments\.transfer`, `withheld nothing`, `✓ token +200 +Bearer for 600 s and a refresh token`,
		`✓ tools/list +allowed +3 `, `✓ get_weather +allowed +default\.`, `✗ transfer 5000 denied +payments\.limit: transfers above 1000`, `✓ transfer 500 +allowed`,
		`✗ crm_update +403 .*insufficient_scope, needs crm\.write`, `✓ step-up +again .*union`, `asked .*calendar\.read crm\.write payments\.transfer weather\.read`, `granted .*crm\.write`, `✓ token `, `✓ crm_update +allowed`,
		`✓ refresh +200 `, `✓ get_weather +allowed`, `✓ revoke +200 `, `✗ get_weather +401 +invalid_token`,
		`consent +denied +bob`, `token\.issued +ok +alice`, `decision +denied +alice +transfer by payments\.limit`, `decision +denied +alice +crm_update insufficient_scope`,
		`token\.refreshed +ok +alice`, `token\.revoked`, `decision +denied +get_weather invalid_token`, `every step came out`,
	} {
		at := regexp.MustCompile(want).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("nothing like %q follows in order:\n%s", want, out)
		}
		rest = rest[at[1]:]
	}
	if strings.Contains(out, "\x1b") {
		t.Error("a pipe gets colours")
	}
	for line := range strings.Lines(out) {
		if utf8.RuneCountInString(line) > lineWidth+1 {
			t.Errorf("more than %d columns: %s", lineWidth, line)
		}
	}
	folder := regexp.MustCompile(`policies +(\S+)`).FindStringSubmatch(out)
	if folder == nil {
		t.Fatal("the policies' folder is not named")
	}
	if _, err := os.Stat(folder[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
}

func TestDemoKeepsItsDataAndNoticesAnEditedPolicy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	if code, _, chatter := runDemo(t, "--data", dir); code != exitOK {
		t.Fatalf("exit %d: %s", code, chatter)
	}
	if code, _, chatter := runDemo(t, "--data", dir); code != exitOK {
		t.Fatalf("a second time on the same data: exit %d: %s", code, chatter)
	}
	setTransferLimit(t, filepath.Join(dir, "policy"), "6000")
	code, out, chatter := runDemo(t, "--data", dir)
	if code != exitError || !strings.Contains(chatter, "transfer 5000: allowed is true and should be false") || !strings.Contains(chatter, "policies") {
		t.Errorf("exit %d, %s\n%s\nwant the walk to stop at the transfer that the edited policy allows", code, chatter, out)
	}
	config := filepath.Join(t.TempDir(), "portcullis.yaml")
	if err := os.WriteFile(config, []byte("issuer: http://127.0.0.1:8080\ndatabase: "+dir+"/portcullis.db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var refusal bytes.Buffer
	if code := run(t.Context(), []string{"serve", "--config", config}, strings.NewReader(""), io.Discard, &refusal); code == exitOK || !strings.Contains(refusal.String(), "demo") {
		t.Errorf("serve on a demo's database: exit %d, %s", code, refusal.String())
	}
}

func TestDemoRefusesAddressesThatOthersReach(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:70000"} {
		t.Run(address, func(t *testing.T) {
			if code, _, chatter := runDemo(t, "--listen", address); code != exitUsage || !strings.Contains(chatter, "--listen") {
				t.Errorf("exit %d, %q; want %d and what to write instead", code, chatter, exitUsage)
			}
		})
	}
}

func TestDemoTakesTheNextFreePortUnlessOneWasChosen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if code, _, chatter := runDemo(t, "--listen", taken.Addr().String()); code == exitOK || !strings.Contains(chatter, "choose another port") {
		t.Errorf("a chosen port that is taken: exit %d, %s", code, chatter)
	}
	other, err := listenFrom(taken.Addr().String(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.Addr().String() == taken.Addr().String() {
		t.Error("the same port twice")
	}
}

// startDemo brings the demo up without the walk.
func startDemo(t *testing.T) *demonstration {
	t.Helper()
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	d, err := a.prepareDemo(demoOptions{listen: "127.0.0.1:0", given: true, data: filepath.Join(t.TempDir(), "demo")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// asAlice takes an authorization URL through alice's browser. It ends at the agent's redirect URI.
func asAlice(d *demonstration) func(context.Context, string) error {
	return func(ctx context.Context, address string) error {
		b, err := newBrowser()
		if err != nil {
			return err
		}
		p, err := b.open(ctx, address)
		if err != nil {
			return err
		}
		if p, _, err = b.logIn(ctx, p, d.alice.name, d.alice.password); err != nil {
			return err
		}
		consent, err := readConsent(p)
		if err != nil {
			return err
		}
		return b.answer(ctx, consent, true)
	}
}

func setTransferLimit(t *testing.T, folder, limit string) {
	t.Helper()
	file := filepath.Join(folder, "config.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := regexp.MustCompile(`(?m)^transfer_limit:.*$`).ReplaceAll(text, []byte("transfer_limit: "+limit))
	if bytes.Equal(text, changed) {
		t.Fatalf("%s has no transfer_limit to change", file)
	}
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDemoPolicyEditChangesTheNextAnswers(t *testing.T) {
	d := startDemo(t)
	agent := newDemoAgent(d.endpoint, d.identity, asAlice(d))
	if err := agent.connect(t.Context(), scopeTransfer); err != nil {
		t.Fatal(err)
	}
	defer agent.close()
	allowed := func(amount int) bool {
		t.Helper()
		result, err := agent.call(t.Context(), "transfer", map[string]any{"amount": amount, "to": "ACME"})
		if err != nil {
			t.Fatal(err)
		}
		return decisionIn(result.Meta).Allowed && !result.IsError
	}
	if allowed(5000) || !allowed(500) {
		t.Fatal("the limit of 1000 is not in force")
	}
	for _, step := range []struct {
		limit  string
		amount int
		want   bool
	}{{"10000", 5000, true}, {"100", 500, false}} {
		setTransferLimit(t, string(d.config.Policies), step.limit)
		for deadline := time.Now().Add(10 * time.Second); allowed(step.amount) != step.want; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("with the limit %s, %d is still decided as before", step.limit, step.amount)
			}
		}
	}
	broken := filepath.Join(string(d.config.Policies), "tools", "broken.rego")
	if err := os.WriteFile(broken, []byte("package policy.tools.broken\n\nallow if {\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if allowed(500) || !allowed(50) {
			t.Fatal("a policy that does not load changed the answers")
		}
	}
}

// TestDemoIsUsableByTheGoSDKAlone uses nothing of the demo's agent but its redirect URI and its client id metadata document:
// the SDK's own OAuth support discovers, identifies the client, logs in, calls and steps up.
func TestDemoIsUsableByTheGoSDKAlone(t *testing.T) {
	d := startDemo(t)
	for name, identify := range map[string]func(*auth.AuthorizationCodeHandlerConfig){
		"client id metadata document": func(c *auth.AuthorizationCodeHandlerConfig) {
			c.ClientIDMetadataDocumentConfig = &auth.ClientIDMetadataDocumentConfig{URL: d.identity.clientID}
		},
		"dynamic registration": func(c *auth.AuthorizationCodeHandlerConfig) {
			c.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
				ClientName: "SDK", RedirectURIs: []string{d.identity.redirect}, GrantTypes: []string{"authorization_code", "refresh_token"}, TokenEndpointAuthMethod: "none"}}
		},
	} {
		t.Run(name, func(t *testing.T) { sdkAlone(t, d, identify) })
	}
	if fetches, leaks := d.identity.seen(); fetches == 0 || leaks > 0 {
		t.Errorf("the metadata document was fetched %d times, and %d cookies came to the redirect URI", fetches, leaks)
	}
}

func sdkAlone(t *testing.T, d *demonstration, identify func(*auth.AuthorizationCodeHandlerConfig)) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var requests []url.Values
	config := &auth.AuthorizationCodeHandlerConfig{
		RedirectURL:         d.identity.redirect,
		RequestRefreshToken: true,
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			u, err := url.Parse(args.URL)
			if err != nil {
				return nil, err
			}
			requests = append(requests, u.Query())
			if err := asAlice(d)(ctx, args.URL); err != nil {
				return nil, err
			}
			q, err := d.identity.answer(ctx)
			return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, err
		},
	}
	identify(config)
	handler, err := auth.NewAuthorizationCodeHandler(config)
	if err != nil {
		t.Fatal(err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "sdk", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: d.endpoint, OAuthHandler: handler}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	list, err := session.ListTools(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	if want := []string{"calendar_list", "get_weather"}; !slices.Equal(names, want) {
		t.Errorf("tools %v, want %v: the baseline scopes open no more", names, want)
	}
	for _, step := range []struct {
		tool      string
		arguments map[string]any
		want      string // the text begins with
		requests  int    // authorization requests so far
	}{
		{"get_weather", map[string]any{"city": "Bern"}, "Bern:", 1},
		{"transfer", map[string]any{"amount": 5000, "to": "ACME"}, "Denied: transfers above 1000", 1}, // no scope would help, so no step-up
		{"crm_update", map[string]any{"customer": "ACME", "note": "paid"}, "note saved", 2},
		{"transfer", map[string]any{"amount": 500, "to": "ACME"}, "500.00 sent", 3},
		{"get_weather", map[string]any{"city": "Bern"}, "Bern:", 3},
	} {
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: step.tool, Arguments: step.arguments})
		if err != nil {
			t.Fatalf("%s: %v", step.tool, err)
		}
		if got := contentText(result); !strings.HasPrefix(got, step.want) || len(requests) != step.requests {
			t.Fatalf("%s: %q after %d authorization requests, want %q after %d", step.tool, got, len(requests), step.want, step.requests)
		}
	}
	scopes, err := oauth.ParseScopes(requests[2].Get("scope"))
	if missing := scopes.Missing(oauth.NewScopes(scopeWeather, scopeCalendar, scopeCRM, scopeTransfer)); err != nil || len(missing) > 0 {
		t.Errorf("the second step-up asked for %q (%v), want the union of old and new scopes", scopes, err)
	}
}
