// Package fetch is the one client for the outside. A Client fetches small JSON documents from addresses that strangers
// choose, so it trusts nothing: https only, public addresses only (checked on the connected address, after DNS), no
// redirects, no proxy, no kept connections, limits on time, headers and body. A Source fetches one file from an address that
// the operator chose.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Reasons why a fetch failed. They are for log, metrics and audit; strangers get one text for all of them.
const (
	ReasonURL            = "url"
	ReasonBusy           = "busy"
	ReasonDNS            = "dns"
	ReasonTLS            = "tls"
	ReasonPrivateAddress = "private_address"
	ReasonConnect        = "connect"
	ReasonTimeout        = "timeout"
	ReasonRedirect       = "redirect"
	ReasonStatus         = "status"
	ReasonMediaType      = "media_type"
	ReasonEncoding       = "encoding"
	ReasonSize           = "size"
	ReasonToken          = "token" // the one to be shown cannot be read
)

// Limits that no configuration changes.
const (
	maxHeaderBytes = 8 << 10
	defaultTimeout = 4 * time.Second
	defaultBody    = 64 << 10

	defaultUserAgent = "portcullis"
)

// Error is a failed fetch.
type Error struct {
	Reason string // one of the constants
	Status int    // for ReasonStatus and ReasonRedirect
	cause  error
}

func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("fetch: %s %d", e.Reason, e.Status)
	}
	return fmt.Sprintf("fetch: %s: %v", e.Reason, e.cause)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Temporary tells whether trying again later may help: the other side or the way to it is at fault, not the document.
func (e *Error) Temporary() bool {
	switch e.Reason {
	case ReasonBusy, ReasonDNS, ReasonConnect, ReasonTimeout, ReasonTLS:
		return true
	}
	return e.Reason == ReasonStatus && (e.Status >= 500 || e.Status == http.StatusTooManyRequests)
}

// Config is what Client needs.
type Config struct {
	RootCAs      *x509.CertPool // nil = the system's
	LoopbackURLs []string       // exact URLs that may lie on loopback, for development
	MaxBytes     int64          // of a body; 0 = 64 KiB
	Timeout      time.Duration  // of a whole fetch; 0 = 4 s
	UserAgent    string         // "" = "portcullis"
}

// Client fetches documents. It is safe for concurrent use.
type Client struct {
	cfg      Config
	public   *http.Client
	loopback *http.Client
	slots    *slots
}

// Document is a fetched document; a Client's is JSON.
type Document struct {
	Body   []byte
	Header http.Header // Cache-Control, Expires, Age, ETag are what callers look at
}

// New makes a client.
func New(cfg Config) *Client {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = defaultBody
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = defaultUserAgent
	}
	loopback := &net.Dialer{Timeout: cfg.Timeout, Control: onlyLoopback}
	return &Client{cfg: cfg, slots: newSlots(), public: newHTTP(cfg, publicDialer(cfg.Timeout)), loopback: newHTTP(cfg, loopback)}
}

// publicDialer reaches public addresses only. It looks at the address of the connection itself, so that it does not matter what a name
// resolved to a moment before.
func publicDialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, Control: ssrf.New(ssrf.WithAnyPort()).Safe}
}

// Listed tells whether the operator listed the exact URL as one that may lie on loopback.
func (c *Client) Listed(rawURL string) bool { return slices.Contains(c.cfg.LoopbackURLs, rawURL) }

func newHTTP(cfg Config, dialer *net.Dialer) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: maxHeaderBytes, TLSHandshakeTimeout: cfg.Timeout, TLSClientConfig: &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12}},
	}
}

var errPrivate = errors.New("the address is not allowed")

// onlyLoopback lets the development URLs reach this machine and nothing else.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !ap.Addr().Unmap().IsLoopback() {
		return errPrivate
	}
	return nil
}

// Get fetches the JSON document at an https URL. Too many fetches at the same time are ReasonBusy at once: waiting would only
// hold more.
func (c *Client) Get(ctx context.Context, rawURL string, whose Share) (*Document, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, &Error{Reason: ReasonURL, cause: errors.New("only https URLs without user information are fetched")}
	}
	done, ok := c.slots.take(u.Hostname(), whose)
	if !ok {
		return nil, &Error{Reason: ReasonBusy, cause: errors.New("too many fetches at the same time")}
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, &Error{Reason: ReasonURL, cause: err}
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", c.cfg.UserAgent)
	client := c.public
	if c.Listed(rawURL) {
		client = c.loopback
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, &Error{Reason: reasonOf(err), cause: err}
	}
	defer func() { _ = response.Body.Close() }()
	doc, err := c.read(response)
	if err == nil && ctx.Err() != nil { // a body that was cut off by the deadline can end like a whole one
		return nil, &Error{Reason: ReasonTimeout, cause: ctx.Err()}
	}
	return doc, err
}

func (c *Client) read(r *http.Response) (*Document, error) {
	switch {
	case r.StatusCode >= 300 && r.StatusCode < 400:
		return nil, &Error{Reason: ReasonRedirect, Status: r.StatusCode}
	case r.StatusCode != http.StatusOK:
		return nil, &Error{Reason: ReasonStatus, Status: r.StatusCode}
	case !isJSON(r.Header.Get("Content-Type")):
		return nil, &Error{Reason: ReasonMediaType, cause: fmt.Errorf("content type %q", r.Header.Get("Content-Type"))}
	case r.Header.Get("Content-Encoding") != "" && !strings.EqualFold(r.Header.Get("Content-Encoding"), "identity"):
		return nil, &Error{Reason: ReasonEncoding, cause: errors.New("the body is compressed although that was not asked for")}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, c.cfg.MaxBytes+1))
	switch {
	case err != nil:
		return nil, &Error{Reason: reasonOf(err), cause: err}
	case int64(len(body)) > c.cfg.MaxBytes:
		return nil, &Error{Reason: ReasonSize, cause: fmt.Errorf("more than %d bytes", c.cfg.MaxBytes)}
	}
	return &Document{Body: body, Header: r.Header}, nil
}

// isJSON accepts application/json and application/<x>+json.
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json"))
}

func reasonOf(err error) string {
	var dns *net.DNSError
	var address *net.AddrError // the name has no address
	var timeout net.Error
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.Is(err, errPrivate), errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedPort), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, ssrf.ErrInvalidHostPort):
		return ReasonPrivateAddress
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ReasonTimeout
	case errors.As(err, &dns), errors.As(err, &address):
		return ReasonDNS
	case errors.As(err, &verify), errors.As(err, &record), errors.As(err, &alert), strings.Contains(err.Error(), "tls:"):
		return ReasonTLS
	case strings.Contains(err.Error(), "server response headers exceeded"):
		return ReasonSize
	}
	return ReasonConnect
}
