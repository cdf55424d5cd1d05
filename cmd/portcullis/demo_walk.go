package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"portcullis/oauth"
)

// walk leads an agent and two people the whole way over real HTTP and prints each step. Every value in a line was read from an
// answer. A step that does not come out as expected ends the walk with an error.
type walk struct {
	out        *printer
	agent      *demoAgent
	alice, bob demoPerson
	browser    *browser // alice's
	metadata   oauthex.AuthServerMeta
	rounds     int   // authorization requests so far
	failure    error // of a step inside the SDK, which would wrap it in its own words
	over       bool  // no more logins: what is refused stays refused
}

// demoPerson is one user of the demo.
type demoPerson struct {
	name, password string
	groups         []string
}

// errWalkOver is what the agent hears that wants to log in again after its access was revoked.
var errWalkOver = errors.New("nobody logs in again")

// run walks. The identity must be one that no agent has used before.
func (w *walk) run(ctx context.Context, endpoint string, identity *agentIdentity) (err error) {
	if w.browser, err = newBrowser(); err != nil {
		return err
	}
	w.agent = newDemoAgent(endpoint, identity, w.meetPerson)
	defer func() { err = errors.Join(err, w.agent.close()) }()
	w.out.chapter("An agent finds its way", "it knows nothing but "+endpoint)
	if err := w.agent.connect(ctx, scopeTransfer); err != nil {
		return w.blame("connect", err)
	}
	steps := []func(context.Context) error{w.showToken, w.listTools, w.allowedCalls, w.deniedTransfer, w.stepUp, w.refresh, w.revoke}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if _, leaks := identity.seen(); leaks > 0 {
		return errors.New("the agent's redirect URI received a cookie of ours")
	}
	return nil
}

// blame prefers what went wrong in a step of ours to what the SDK makes of it.
func (w *walk) blame(step string, err error) error {
	if w.failure != nil {
		err = w.failure
	}
	return fmt.Errorf("%s: %w", step, err)
}

// meetPerson is called by the SDK with the authorization URL.
func (w *walk) meetPerson(ctx context.Context, address string) error {
	if w.over {
		return errWalkOver
	}
	if w.failure != nil { // the SDK tries again with an older protocol
		return w.failure
	}
	w.rounds++
	var err error
	if w.rounds == 1 {
		err = w.firstAuthorization(ctx, address)
	} else {
		err = w.secondAuthorization(ctx, address)
	}
	w.failure = err
	return err
}

// firstAuthorization tells how the agent came here, lets bob look and refuse, and alice agree.
func (w *walk) firstAuthorization(ctx context.Context, address string) error {
	if err := w.discovery(); err != nil {
		return err
	}
	if err := w.bobDenies(ctx, address); err != nil {
		return err
	}
	w.out.chapter("alice decides", groupsOf(w.alice))
	return w.aliceAllows(ctx, address)
}

// discovery shows the SDK's first three requests.
func (w *walk) discovery() error {
	isMCP := func(x exchange) bool { return x.url.String() == w.agent.endpoint }
	x, err := w.agent.wire.last("401 of the MCP server", func(x exchange) bool { return isMCP(x) && x.status == http.StatusUnauthorized && !x.bearer })
	if err != nil {
		return err
	}
	challenge, err := bearerChallenge(x)
	if err != nil {
		return err
	}
	if challenge["error"] != "" {
		return fmt.Errorf("a request without a token was answered with error=%q, and nothing was wrong yet", challenge["error"])
	}
	w.out.step(refused, "no token", fmt.Sprint(x.status), fmt.Sprintf("wants %s and names its metadata", shortScopes(strings.Fields(challenge["scope"])...)))

	x, err = w.agent.wire.last("resource metadata", func(x exchange) bool {
		return x.url.String() == challenge["resource_metadata"] && x.status == http.StatusOK
	})
	if err != nil {
		return err
	}
	var resource oauthex.ProtectedResourceMetadata
	if err := x.decode(&resource); err != nil {
		return err
	}
	if len(resource.AuthorizationServers) == 0 {
		return errors.New("the resource metadata names no authorization server")
	}
	w.out.step(passed, "resource", fmt.Sprint(x.status), fmt.Sprintf("%s trusts %s", resource.Resource, strings.Join(resource.AuthorizationServers, " ")))

	x, err = w.agent.wire.last("server metadata", func(x exchange) bool {
		return strings.HasPrefix(x.url.Path, oauth.WellKnownAuthorizationServer) && x.status == http.StatusOK
	})
	if err != nil {
		return err
	}
	if err := x.decode(&w.metadata); err != nil {
		return err
	}
	m := w.metadata
	if !m.ClientIDMetadataDocumentSupported || !slices.Contains(m.CodeChallengeMethodsSupported, "S256") || m.RevocationEndpoint == "" {
		return fmt.Errorf("the server metadata lacks client id metadata documents, S256 or revocation: %s", x.body)
	}
	w.out.step(passed, "server", fmt.Sprint(x.status), fmt.Sprintf("issuer %s, PKCE %s, client id metadata documents", m.Issuer, strings.Join(m.CodeChallengeMethodsSupported, " ")))
	return nil
}

// bearerChallenge reads the parameters of the Bearer challenge in an answer.
func bearerChallenge(x exchange) (map[string]string, error) {
	challenges, err := oauthex.ParseWWWAuthenticate(x.header.Values("WWW-Authenticate"))
	if err != nil {
		return nil, err
	}
	for _, c := range challenges {
		if c.Scheme == "bearer" {
			return c.Params, nil
		}
	}
	return nil, fmt.Errorf("the answer %d of %s has no Bearer challenge", x.status, x.url)
}

// bobDenies shows what the same request looks like for somebody who is not staff, and that a refusal reaches the agent.
func (w *walk) bobDenies(ctx context.Context, address string) error {
	browser, err := newBrowser()
	if err != nil {
		return err
	}
	start, err := browser.open(ctx, address)
	if err != nil {
		return err
	}
	asked, err := url.Parse(address)
	if err != nil {
		return err
	}
	fetches, _ := w.agent.identity.seen()
	if fetches == 0 {
		return fmt.Errorf("%q: the client id metadata document was not fetched", start.title())
	}
	w.out.step(passed, "client id", "fetched", asked.Query().Get("client_id")+" by Portcullis")
	w.out.step(passed, "authorize", fmt.Sprint(start.status), fmt.Sprintf("for %s, PKCE %s", asked.Query().Get("resource"), asked.Query().Get("code_challenge_method")))

	w.out.chapter("bob looks at it first", groupsOf(w.bob))
	consent, err := w.logIn(ctx, browser, start, w.bob)
	if err != nil {
		return err
	}
	w.showConsent(consent, asked.Query().Get("scope"), "offered")
	if len(consent.withheld) == 0 {
		return errors.New("nothing was withheld from bob, who is not in the group staff" + policyHint)
	}
	if err := browser.answer(ctx, consent, false); err != nil {
		return err
	}
	q, err := w.agent.identity.answer(ctx)
	if err != nil {
		return err
	}
	if q.Get("error") != "access_denied" || q.Get("iss") != w.metadata.Issuer || q.Get("state") != asked.Query().Get("state") {
		return fmt.Errorf("a denied consent came back as %v", q)
	}
	w.out.step(refused, "deny", "denied", fmt.Sprintf("the agent hears %s (%s)", q.Get("error"), q.Get("error_description")))
	return nil
}

// policyHint ends errors that an edited policy explains.
const policyHint = "; do the policies in the data directory still say what the demo wrote?"

func groupsOf(p demoPerson) string {
	if len(p.groups) == 0 {
		return "in no group"
	}
	return "in the group " + strings.Join(p.groups, ", ")
}

// logIn goes from the first page to the consent page.
func (w *walk) logIn(ctx context.Context, b *browser, p *page, who demoPerson) (*consentPage, error) {
	next, asked, err := b.logIn(ctx, p, who.name, who.password)
	if err != nil {
		return nil, err
	}
	if asked {
		w.out.step(passed, "log in", fmt.Sprint(next.status), who.name+" with a password")
	}
	return readConsent(next)
}

// showConsent prints what was asked for, and what the consent page offers and withholds.
func (w *walk) showConsent(c *consentPage, asked, word string) {
	w.out.step(passed, "consent", "asked", shortScopes(strings.Fields(asked)...))
	w.out.more(word, shortScopes(c.offered...))
	if len(c.withheld) == 0 {
		w.out.more("withheld", "nothing")
	}
	for _, s := range c.withheld {
		w.out.more("withheld", shortScopes(s.name)+": "+s.reason)
	}
}

// aliceAllows agrees to everything that is offered.
func (w *walk) aliceAllows(ctx context.Context, address string) error {
	start, err := w.browser.open(ctx, address)
	if err != nil {
		return err
	}
	consent, err := w.logIn(ctx, w.browser, start, w.alice)
	if err != nil {
		return err
	}
	if len(consent.withheld) > 0 {
		return fmt.Errorf("%s was withheld from alice: %s%s", consent.withheld[0].name, consent.withheld[0].reason, policyHint)
	}
	asked, err := url.Parse(address)
	if err != nil {
		return err
	}
	w.showConsent(consent, asked.Query().Get("scope"), "granted")
	return w.browser.answer(ctx, consent, true)
}

// tokenAnswer is RFC 6749 §5.1, without the secrets.
type tokenAnswer struct {
	Type    string `json:"token_type"`
	Expires int64  `json:"expires_in"`
	Scope   string `json:"scope"`
}

func (w *walk) showToken(context.Context) error {
	x, err := w.agent.wire.last("token", func(x exchange) bool { return x.url.String() == w.metadata.TokenEndpoint && x.status == http.StatusOK })
	if err != nil {
		return err
	}
	var t tokenAnswer
	if err := x.decode(&t); err != nil {
		return err
	}
	kind := "no refresh token"
	if token, err := w.agent.tokens.Token(); err == nil && token.RefreshToken != "" {
		kind = "a refresh token"
	}
	w.out.step(passed, "token", fmt.Sprint(x.status), fmt.Sprintf("%s for %d s and %s", t.Type, t.Expires, kind))
	w.out.more("scope", shortScopes(strings.Fields(t.Scope)...))
	return nil
}

func (w *walk) listTools(ctx context.Context) error {
	w.out.chapter("The agent works", "the MCP server asks the decision endpoint before each call")
	list, err := w.agent.session.ListTools(ctx, &mcp.ListToolsParams{})
	if err != nil {
		return w.blame("tools/list", err)
	}
	var names []string
	for _, t := range list.Tools {
		names = append(names, t.Name)
	}
	if slices.Contains(names, "crm_update") || !slices.Contains(names, "get_weather") {
		return fmt.Errorf("tools/list shows %v; it should show what the token's scopes open", names)
	}
	w.out.step(passed, "tools/list", "allowed", fmt.Sprintf("%d that the token opens: %s", len(names), strings.Join(names, ", ")))
	return nil
}
