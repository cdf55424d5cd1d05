package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// Config is what the public listener needs.
type Config struct {
	Issuer         string          // as in the metadata: no trailing slash, a path is allowed
	Endpoints      oauth.Endpoints // a nil part is a 404
	Hosts          []string        // further Host headers that are answered, with or without a port; anything else is 421
	TrustedProxies []string        // addresses or CIDRs whose X-Forwarded-For is believed; empty = none
	Log            *slog.Logger    // nil = slog.Default()
	Metrics        *Metrics        // nil = none
	Brand          string          // the name on the pages; "" = "Portcullis"

	// AuthorizePerMinute limits authorization requests per IPv4 address or IPv6 /64, with a burst of the same size:
	// each of them writes a row before anybody has logged in. 0 = 120.
	AuthorizePerMinute int
}

// face is the public listener's state: everything that handlers share.
type face struct {
	endpoints oauth.Endpoints
	base      string // the issuer's path, "" or "/tenant1"
	hosts     hostList
	log       *slog.Logger
	metrics   *Metrics
	pages     *pages
	cookies   cookies
	begins    *oauth.Limiter
	fixed     http.Header // of every answer
	rooms     rooms
}

// New makes the handler of the public listener.
func New(cfg Config) (http.Handler, error) {
	f, err := newFace(cfg)
	if err != nil {
		return nil, err
	}
	engine, err := newEngine(cfg.TrustedProxies)
	if err != nil {
		return nil, err
	}
	f.routes(engine)
	return engine, nil
}

func newFace(cfg Config) (*face, error) {
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil || issuer.Host == "" || issuer.Scheme != "https" && issuer.Scheme != "http" {
		return nil, fmt.Errorf("issuer %q must be an absolute http or https URL", cfg.Issuer)
	}
	if strings.HasSuffix(issuer.Path, "/") || issuer.RawQuery != "" || issuer.Fragment != "" {
		return nil, errors.New("the issuer must have no trailing slash, no query and no fragment")
	}
	perMinute := cfg.AuthorizePerMinute
	if perMinute < 1 {
		perMinute = 120
	}
	f := &face{
		endpoints: cfg.Endpoints,
		base:      issuer.Path,
		hosts:     newHostList(issuer, cfg.Hosts),
		log:       cfg.Log,
		metrics:   cfg.Metrics,
		begins:    oauth.NewLimiter(perMinute, time.Minute, perMinute, limitedAddresses),
		fixed:     fixedHeaders(issuer.Scheme == "https"),
	}
	if f.log == nil {
		f.log = slog.Default()
	}
	f.cookies = newCookies(issuer.Scheme == "https", f.base)
	if f.pages, err = loadPages(f.base+oauth.PathUI, orDefault(cfg.Brand, "Portcullis")); err != nil {
		return nil, err
	}
	return f, nil
}

// newEngine is Gin with nothing of its own switched on: no logger, no recovery, no redirects, no believed proxies.
func newEngine(proxies []string) (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.HandleMethodNotAllowed = true
	engine.RemoteIPHeaders = []string{"X-Forwarded-For"} // a client can send X-Real-IP through a proxy that does not know it
	if err := engine.SetTrustedProxies(proxies); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	return engine, nil
}

// routes is the whole route table. Well-known paths stand before the issuer's path (RFC 8414 §3.1), everything else
// below it; the appended forms of the well-known paths are answered too, because clients try them.
func (f *face) routes(r *gin.Engine) {
	r.Use(f.identify, f.logAccess, f.recoverPanic, f.secureHeaders, f.checkHost, f.limitURL)
	r.NoRoute(f.noRoute)
	r.NoMethod(f.noMethod)

	e, base := f.endpoints, f.base
	if e.Metadata != nil {
		for _, path := range wellKnown(oauth.WellKnownAuthorizationServer, base) {
			f.open(r, path, http.MethodGet, document(e.Metadata.AuthorizationServer))
		}
		f.open(r, base+oauth.PathJWKS, http.MethodGet, document(e.Metadata.JWKS))
		f.open(r, oauth.WellKnownProtectedResource, http.MethodGet, f.protectedResource)
		f.open(r, oauth.WellKnownProtectedResource+"/*path", http.MethodGet, f.protectedResource)
		if e.Decision != nil {
			for _, path := range wellKnown(oauth.WellKnownAuthZEN, base) {
				f.open(r, path, http.MethodGet, document(e.Metadata.AuthZEN))
			}
		}
		// This server issues no ID tokens, so it has no OpenID Connect discovery document; a document without the three
		// members that OpenID Connect demands makes clients fail, a clean 404 makes them use RFC 8414.
		for _, path := range wellKnown(oauth.WellKnownOpenID, base) {
			f.open(r, path, http.MethodGet, f.noRoute)
		}
	}
	if e.Token != nil {
		f.open(r, base+oauth.PathToken, http.MethodPost, form(f, challengeClient, f.token))
	}
	if e.Revocation != nil {
		f.open(r, base+oauth.PathRevoke, http.MethodPost, form(f, challengeClient, f.revoke))
	}
	if e.Registration != nil {
		f.open(r, base+oauth.PathRegister, http.MethodPost, body(f, registrationBody, e.Registration.Register))
	}
	if e.Introspection != nil {
		r.POST(base+oauth.PathIntrospect, form(f, challengeResource, e.Introspection.Introspect))
	}
	if e.Decision != nil {
		r.POST(base+oauth.PathEvaluation, f.callerFirst, body(f, evaluationBody, f.evaluate))
	}
	f.pageRoutes(r)
}

// pageRoutes are the routes that a browser visits. None of them has CORS.
func (f *face) pageRoutes(r *gin.Engine) {
	e, base := f.endpoints, f.base
	ui := r.Group(base + oauth.PathUI)
	forms := ui.Group("", f.sameOrigin)
	if e.Authorization != nil {
		r.GET(base+oauth.PathAuthorize, f.limitBegin, f.authorize)
		r.POST(base+oauth.PathAuthorize, f.limitBegin, f.authorize)
		ui.GET("/i/:id", f.showInteraction)
		ui.GET("/i/:id/switch", f.switchUser)
		forms.POST("/i/:id/consent", f.postConsent)
	}
	if e.Authorization != nil && e.Login != nil {
		forms.POST("/i/:id/login", f.postInteractionLogin)
	}
	if e.Login != nil {
		ui.GET("/login", f.showLogin)
		ui.GET("/logged-out", f.showLoggedOut)
		forms.POST("/login", f.postLogin)
		forms.POST("/logout", f.postLogout)
	}
	if e.Account != nil {
		r.GET(base+"/", f.home)
		ui.GET("/account", f.showAccount)
		forms.POST("/account/password", f.postPassword)
		forms.POST("/account/grants/:id/revoke", f.postRevokeGrant)
	}
	if e.Authorization != nil || e.Login != nil || e.Account != nil {
		ui.GET("/static/:file", f.staticFile)
		ui.HEAD("/static/:file", f.staticFile)
	}
}

// wellKnown are the places of a well-known document: inserted before the issuer's path and, for clients that try
// it, appended to the path.
func wellKnown(path, base string) []string {
	if base == "" {
		return []string{path}
	}
	return []string{path + base, base + path}
}

// HTTPServer is a server with the limits that every listener of ours has.
func HTTPServer(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
}

// hostList are the Host headers that are answered.
type hostList struct {
	exact map[string]bool // host or host:port, lower case, default port dropped
	names map[string]bool // any port
	port  string          // the scheme's default port
}

func newHostList(issuer *url.URL, more []string) hostList {
	l := hostList{exact: map[string]bool{}, names: map[string]bool{}, port: ":443"}
	if issuer.Scheme == "http" {
		l.port = ":80"
	}
	l.exact[l.normal(issuer.Host)] = true
	for _, h := range more {
		if _, _, err := net.SplitHostPort(h); err == nil {
			l.exact[l.normal(h)] = true
		} else {
			l.names[strings.ToLower(strings.Trim(h, "[]"))] = true
		}
	}
	return l
}

func (l hostList) normal(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), l.port)
}

// has tells whether a Host header is one of ours.
func (l hostList) has(host string) bool {
	if l.exact[l.normal(host)] {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return l.names[strings.ToLower(strings.Trim(name, "[]"))]
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
