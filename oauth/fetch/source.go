package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// SourceConfig says what a Source is.
type SourceConfig struct {
	URL      string                 // https; http only on loopback
	RootCAs  *x509.CertPool         // nil = the system's
	Token    func() (string, error) // bearer token, asked for before each fetch; nil = none
	MaxBytes int64                  // of a body
	Timeout  time.Duration          // of a whole fetch
}

// Source is one file at an address that the operator named, and not a stranger. It may therefore lie inside: any address is reached, but
// from http loopback only, as nobody else would see what is sent there. Redirects are not followed, so that the token goes nowhere else; there
// is no proxy, either.
type Source struct {
	cfg    SourceConfig
	client *http.Client
}

// NewSource makes a Source.
func NewSource(cfg SourceConfig) (*Source, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, &Error{Reason: ReasonURL, cause: errors.New("only https URLs without user information are fetched")}
	}
	dialer := &net.Dialer{Timeout: cfg.Timeout}
	if u.Scheme == "http" {
		dialer.Control = onlyLoopback
	}
	return &Source{cfg: cfg, client: newHTTP(Config{RootCAs: cfg.RootCAs, Timeout: cfg.Timeout}, dialer)}, nil
}

// Fetch gets the file, whatever its media type. The tag is the ETag of what the caller has (RFC 9110 §13.1.2), "" = nothing; nil without an error
// means that it has not changed since.
func (s *Source) Fetch(ctx context.Context, tag string) (*Document, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	request, err := s.request(ctx, tag)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		var around *url.Error // names the URL, whose query may be a secret
		if errors.As(err, &around) {
			err = around.Err
		}
		return nil, &Error{Reason: reasonOf(err), cause: err}
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNotModified && tag != "" {
		return nil, nil
	}
	doc, err := s.read(response)
	if err == nil && ctx.Err() != nil {
		return nil, &Error{Reason: ReasonTimeout, cause: ctx.Err()}
	}
	return doc, err
}

func (s *Source) request(ctx context.Context, tag string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.URL, nil)
	if err != nil {
		return nil, &Error{Reason: ReasonURL, cause: errors.New("the URL cannot be used")}
	}
	request.Header.Set("Accept", "*/*")
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", defaultUserAgent)
	if tag != "" {
		request.Header.Set("If-None-Match", tag)
	}
	if s.cfg.Token != nil {
		token, err := s.cfg.Token()
		if err != nil {
			return nil, &Error{Reason: ReasonToken, cause: err}
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}

func (s *Source) read(r *http.Response) (*Document, error) {
	switch {
	case r.StatusCode >= 300 && r.StatusCode < 400:
		return nil, &Error{Reason: ReasonRedirect, Status: r.StatusCode}
	case r.StatusCode != http.StatusOK:
		return nil, &Error{Reason: ReasonStatus, Status: r.StatusCode}
	}
	switch coding := strings.ToLower(r.Header.Get("Content-Encoding")); coding {
	case "", "identity", "gzip", "x-gzip": // some servers call the compression of a .tar.gz so, and send it as it is
	default:
		return nil, &Error{Reason: ReasonEncoding, cause: fmt.Errorf("the body is coded as %q although that was not asked for", coding)}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, s.cfg.MaxBytes+1))
	switch {
	case err != nil:
		return nil, &Error{Reason: reasonOf(err), cause: err}
	case int64(len(body)) > s.cfg.MaxBytes:
		return nil, &Error{Reason: ReasonSize, cause: fmt.Errorf("more than %d bytes", s.cfg.MaxBytes)}
	}
	return &Document{Body: body, Header: r.Header}, nil
}
