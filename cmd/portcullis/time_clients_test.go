package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/oauth"
)

// publisher serves one client id metadata document from outside of the bubble.
type publisher struct {
	*httptest.Server
	mu      sync.Mutex
	body    string
	header  http.Header
	fetches int
}

// newPublisher publishes a client with the redirect URIs, and cache headers in pairs.
func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fetches++
		for name, values := range p.header {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(p.body))
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) id() string { return p.URL + "/client.json" }

func (p *publisher) publish(t *testing.T, name, redirect string, header http.Header) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"client_id": p.id(), "client_name": name, "redirect_uris": []string{redirect},
		"grant_types": []string{"authorization_code", "refresh_token"}, "token_endpoint_auth_method": "none"})
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body, p.header = string(text), header
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

// inBubbleOf runs rows in which the publisher's client asks.
func inBubbleOf(t *testing.T, p *publisher, rows func(c *clock)) {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	inBubbleWith(t, func(c *Config) {
		c.CIMD.CAFile, c.CIMD.LoopbackURLs = filePath(ca), []string{p.id()}
		c.Registration.Mode = "open"
	}, func(c *clock) {
		c.client = p.id()
		rows(c)
	})
}

// M7: whatever its publisher says, a document is asked for again after a minute at the earliest and a day at the latest.
func TestADocumentIsFreshBetweenAMinuteAndADay(t *testing.T) {
	for name, row := range map[string]struct {
		header      http.Header
		fresh, over time.Duration // since the fetch: not asked again, asked again
	}{
		"ten years":           {http.Header{"Cache-Control": {"public, max-age=315360000"}}, 24*time.Hour - time.Second, 24*time.Hour + time.Second},
		"expires in a decade": {http.Header{"Expires": {"Mon, 01 Jan 2035 00:00:00 GMT"}}, 24*time.Hour - time.Second, 24*time.Hour + time.Second},
		"no time at all":      {http.Header{"Cache-Control": {"max-age=0"}}, 59 * time.Second, 61 * time.Second},
		"not to be stored":    {http.Header{"Cache-Control": {"no-store"}, "Vary": {"*"}}, 59 * time.Second, 61 * time.Second},
		"expired long ago":    {http.Header{"Expires": {"0"}}, 59 * time.Second, 61 * time.Second},
		"five minutes":        {http.Header{"Cache-Control": {"max-age=300"}}, 299 * time.Second, 301 * time.Second},
		"nothing said":        {nil, time.Hour - time.Second, time.Hour + time.Second},
	} {
		t.Run("M7 "+name, func(t *testing.T) {
			p := newPublisher(t)
			p.publish(t, "Agent", "http://127.0.0.1/cb", row.header)
			inBubbleOf(t, p, func(c *clock) {
				c.code() // a client that was never used would end by itself
				time.Sleep(row.fresh)
				c.begin()
				if n := p.count(); n != 1 {
					t.Errorf("%d fetches after %v, want 1", n, row.fresh)
				}
				time.Sleep(row.over - row.fresh)
				c.begin()
				if n := p.count(); n != 2 {
					t.Errorf("%d fetches after %v, want 2", n, row.over)
				}
			})
		})
	}
}

// M8: a document that changes between the login and the answer gets no code for its new address, and none for the old one once the change is known.
func TestADocumentThatChangesBeforeTheAnswerGetsNoCode(t *testing.T) {
	p := newPublisher(t)
	p.publish(t, "Agent", "http://127.0.0.1/cb", http.Header{"Cache-Control": {"no-store"}})
	inBubbleOf(t, p, func(c *clock) {
		allow := func(path, formToken string) *answer {
			return c.do(http.MethodPost, path+"/consent", url.Values{"form_token": {formToken}, "action": {"allow"}, "scope": {"tools:notes.read"}})
		}
		firstPath, firstToken := c.login()
		secondPath, secondToken := c.login()
		p.publish(t, "Agent", "https://evil.example/cb", nil)
		if to := allow(firstPath, firstToken).header.Get("Location"); !strings.HasPrefix(to, "http://127.0.0.1:9/cb?code=") {
			t.Errorf("while the document is fresh the code goes to %q, want the address that the person saw", to)
		}
		time.Sleep(61 * time.Second)
		if a := c.begin(); a.status != http.StatusBadRequest || a.header.Get("Location") != "" {
			t.Errorf("an authorization request with the old address: %d to %q", a.status, a.header.Get("Location"))
		}
		a := allow(secondPath, secondToken)
		if a.status != http.StatusBadRequest || a.header.Get("Location") != "" || strings.Contains(a.body.String(), "code=") {
			t.Errorf("the answer on the old page: %d to %q", a.status, a.header.Get("Location"))
		}
	})
}

// M8: also another name, for which the person did not answer, ends what was begun before the change was known.
func TestADocumentThatChangesItsNameBeforeTheAnswerGetsNoCode(t *testing.T) {
	p := newPublisher(t)
	p.publish(t, "Agent", "http://127.0.0.1/cb", http.Header{"Cache-Control": {"no-store"}})
	inBubbleOf(t, p, func(c *clock) {
		path, formToken := c.login()
		p.publish(t, "Bank", "http://127.0.0.1/cb", nil)
		time.Sleep(61 * time.Second)
		if a := c.begin(); a.status != http.StatusSeeOther {
			t.Errorf("a request of the client with its new name: %d", a.status)
		}
		a := c.do(http.MethodPost, path+"/consent", url.Values{"form_token": {formToken}, "action": {"allow"}, "scope": {"tools:notes.read"}})
		if a.status != http.StatusBadRequest || a.header.Get("Location") != "" || !strings.Contains(a.body.String(), "interaction_expired") {
			t.Errorf("the answer on the old page: %d to %q", a.status, a.header.Get("Location"))
		}
	})
}

// M8: a grant stands on the address that it was given for. When the document no longer lists it, refreshing ends; another name does not end it.
func TestARefreshNeedsTheRedirectURIOfItsConsent(t *testing.T) {
	p := newPublisher(t)
	p.publish(t, "Agent", "http://127.0.0.1/cb", http.Header{"Cache-Control": {"no-store"}})
	inBubbleOf(t, p, func(c *clock) {
		tokens := c.redeem(c.code())
		p.publish(t, "Agent with another name", "http://127.0.0.1/cb", http.Header{"Cache-Control": {"no-store"}})
		time.Sleep(61 * time.Second)
		fresh := c.refresh(tokens.Refresh)
		if fresh.Refresh == "" {
			t.Fatalf("another name ended the refresh token: %s", fresh.Error)
		}
		p.publish(t, "Agent", "https://evil.example/cb", nil)
		time.Sleep(61 * time.Second)
		if got := c.refresh(fresh.Refresh); got.Error != "invalid_grant" {
			t.Errorf("the redirect URI is gone: %+v", got)
		}
	})
}

// D2: a registration that nobody uses ends after a day and is swept; one that somebody uses stays.
func TestARegistrationThatNobodyUsesEndsAfterADay(t *testing.T) {
	inBubbleWith(t, func(c *Config) { c.Registration.Mode = "open" }, func(c *clock) {
		register := func(name string) string {
			a := c.send(http.MethodPost, "/register", fmt.Sprintf(`{"client_name":%q,"token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1/cb"]}`, name),
				"Content-Type", "application/json")
			var answer struct {
				ID string `json:"client_id"`
			}
			if err := json.Unmarshal([]byte(a.body.String()), &answer); err != nil || a.status != http.StatusCreated {
				t.Fatalf("register: %d %s", a.status, a.body.String())
			}
			return answer.ID
		}
		unused, used := register("unused"), register("used")
		c.client = used
		tokens := c.redeem(c.code())
		c.client = unused
		time.Sleep(24*time.Hour - time.Minute)
		if a := c.begin(); a.status != http.StatusSeeOther {
			t.Errorf("a minute before its end: %d", a.status)
		}
		time.Sleep(2 * time.Minute)
		if a := c.begin(); a.status != http.StatusBadRequest {
			t.Errorf("a minute after its end: %d", a.status)
		}
		if got := c.redeem("x"); got.Error != "invalid_client" {
			t.Errorf("a minute after its end: %+v", got)
		}
		if _, err := c.parts.store.Housekeeping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.parts.store.Client(t.Context(), unused); !errors.Is(err, oauth.ErrNotFound) {
			t.Errorf("the row of the unused client: %v", err)
		}
		c.client = used
		if got := c.refresh(tokens.Refresh); got.Refresh == "" {
			t.Errorf("the used client ended too: %+v", got)
		}
	})
}
