package tests

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answer is one HTTP answer, read to the end.
type answer struct {
	t      testing.TB
	what   string // the request, for messages
	status int
	header http.Header
	body   string
}

// browser is a person's browser, or with no jar a program: it keeps cookies and follows no redirect by itself.
type browser struct {
	t      testing.TB
	s      *server
	client *http.Client
}

// places gives each browser an address of its own, since the server limits what one address or its block may start.
var places atomic.Uint32

func (s *server) browser(t testing.TB) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := s.program(t)
	b.client.Jar = jar
	return b
}

// program is a client without cookies.
func (s *server) program(t testing.TB) *browser {
	dial := net.Dialer{Timeout: 5 * time.Second, LocalAddr: place()}
	transport := &http.Transport{MaxIdleConnsPerHost: 32, TLSClientConfig: &tls.Config{RootCAs: s.roots}, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dial.DialContext(ctx, network, addr)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, s: s, client: &http.Client{Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// place is the next loopback address, or the usual one on systems that have only that.
func place() net.Addr {
	n := places.Add(1)
	addr := &net.TCPAddr{IP: net.IPv4(127, byte(n>>8)+7, byte(n), 1)} // a /24 of its own
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: addr.IP})
	if err != nil {
		return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	}
	l.Close()
	return addr
}

// do sends a request to a path of the server or to a whole URL.
func (b *browser) do(method, target, body string, header http.Header) *answer {
	b.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.s.issuer + target
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
		r.Header.Del("Host")
	}
	got, err := b.client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, 4<<20))
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, target, err)
	}
	return &answer{t: b.t, what: method + " " + target, status: got.StatusCode, header: got.Header, body: string(text)}
}

func (b *browser) get(target string) *answer {
	b.t.Helper()
	return b.do(http.MethodGet, target, "", nil)
}

// post sends a form. Further headers come in pairs.
func (b *browser) post(target string, form url.Values, header ...string) *answer {
	b.t.Helper()
	return b.raw(target, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

// raw posts a body as it is.
func (b *browser) raw(target, body string, header ...string) *answer {
	b.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return b.do(http.MethodPost, target, body, h)
}

// want fails the test unless the answer has one of the statuses.
func (a *answer) want(status ...int) *answer {
	a.t.Helper()
	for _, s := range status {
		if a.status == s {
			return a
		}
	}
	a.t.Fatalf("%s: status %d, want %v\n%s", a.what, a.status, status, tail(a.body, 2000))
	return nil
}

// wantError checks an error of RFC 6749 §5.2.
func (a *answer) wantError(status int, code string) *answer {
	a.t.Helper()
	if got := a.text("error"); a.status != status || got != code {
		a.t.Errorf("%s: %d %q, want %d %q\n%s", a.what, a.status, got, status, code, tail(a.body, 1000))
	}
	return a
}

// wantPage checks that the answer is a page of ours and leads nowhere.
func (a *answer) wantPage(status int) *answer {
	a.t.Helper()
	kind := a.header.Get("Content-Type")
	if a.status != status || !strings.HasPrefix(kind, "text/html") || a.header.Get("Location") != "" {
		a.t.Errorf("%s: %d %s Location %q, want a page with status %d\n%s", a.what, a.status, kind, a.header.Get("Location"), status, tail(a.body, 1000))
	}
	return a
}

// wantErrorPage is wantPage for a page that names an error.
func (a *answer) wantErrorPage(status int, code string) *answer {
	a.t.Helper()
	if a.wantPage(status); !strings.Contains(a.body, "<dt>Error</dt><dd><code>"+code+"</code></dd>") {
		a.t.Errorf("%s: the page does not name the error %q\n%s", a.what, code, tail(a.body, 1000))
	}
	return a
}

// json is the value at a path such as "context.challenge.status" or "keys.0.kid"; nil if there is none.
func (a *answer) json(path string) any {
	a.t.Helper()
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil
	}
	if path == "" {
		return v
	}
	for part := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// text is a JSON value as text: strings as they are, everything else as JSON, nothing as "".
func (a *answer) text(path string) string {
	a.t.Helper()
	return textOf(a.json(path))
}

func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// sameJSON compares a value with JSON text or, if that is none, with plain text.
func sameJSON(got any, want string) bool {
	decoder := json.NewDecoder(strings.NewReader(want))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) == nil && !decoder.More() && reflect.DeepEqual(got, v) {
		return true
	}
	return got != nil && textOf(got) == want
}

var (
	inputTag  = regexp.MustCompile(`<input\b[^>]*>`)
	attribute = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

// inputs are the input elements of a page with their attributes.
func (a *answer) inputs() []map[string]string {
	var out []map[string]string
	for _, tag := range inputTag.FindAllString(a.body, -1) {
		m := map[string]string{}
		for _, pair := range attribute.FindAllStringSubmatch(tag, -1) {
			m[pair[1]] = html.UnescapeString(pair[2])
		}
		out = append(out, m)
	}
	return out
}

// field is the value of the first input with the name, "" if there is none.
func (a *answer) field(name string) string {
	for _, in := range a.inputs() {
		if in["name"] == name {
			return in["value"]
		}
	}
	return ""
}

// boxes are the scopes that the consent page offers.
func (a *answer) boxes() []string {
	var out []string
	for _, in := range a.inputs() {
		if in["type"] == "checkbox" && in["name"] == "scope" {
			out = append(out, in["value"])
		}
	}
	return out
}

// location is the parsed Location header.
func (a *answer) location() *url.URL {
	a.t.Helper()
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		a.t.Fatalf("%s: Location: %v", a.what, err)
	}
	return u
}
