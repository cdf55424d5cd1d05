package oauth

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// RedirectKind tells apart where a redirect URI leads.
type RedirectKind string

// The kinds of redirect URIs.
const (
	RedirectWeb      RedirectKind = "web"      // https
	RedirectLoopback RedirectKind = "loopback" // http to this computer (RFC 8252 §7.3)
	RedirectPrivate  RedirectKind = "private"  // private-use scheme (RFC 8252 §7.1); only where policy.clients accepts it
)

const maxRedirectURIBytes = 2048

// loopbackHosts are the spellings of "this computer" that MCP clients use. Others, such as 127.1, are refused: two programs
// may take them for different hosts.
func loopbackHosts() [3]string { return [3]string{"127.0.0.1", "[::1]", "localhost"} }

// dangerousSchemes run code, read files or leave the browser. No policy can allow them.
func dangerousScheme(scheme string) bool {
	switch strings.ToLower(scheme) {
	case "javascript", "data", "file", "filesystem", "blob", "about", "vbscript", "livescript", "mocha", "intent", "content",
		"view-source", "jar", "resource", "chrome", "ws", "wss", "ftp", "ftps", "mailto", "tel", "sms", "urn", "ldap", "ssh":
		return true
	}
	return false
}

// Target is a redirect URI that was proven to belong to a client. Only ProveRedirect makes one. It is never stored; each leg
// of a flow makes it again from the raw parameter.
type Target struct {
	uri        string // as sent
	registered string
	kind       RedirectKind
}

// ProveRedirect compares what was sent with what the client registered, byte for byte (OAuth 2.1 §2.3.1, §4.1.1). The one exception is
// the port of a loopback redirect (§8.4.2, RFC 8252 §7.3), also for localhost, because MCP clients rely on it. "" stands for the only registered one.
func ProveRedirect(c *Client, sent string) (Target, error) {
	if sent == "" {
		if len(c.RedirectURIs) != 1 {
			return Target{}, InvalidRequest.Errorf("redirect_uri is missing; the client registered %d, so the request must name one", len(c.RedirectURIs)).For("redirect_uri_missing")
		}
		sent = c.RedirectURIs[0]
	}
	registered, ok := matchRedirect(c.RedirectURIs, sent)
	if !ok {
		return Target{}, InvalidRequest.Errorf("redirect_uri is not one that the client registered; it must be sent exactly as registered").For("redirect_uri_mismatch")
	}
	kind, err := redirectKind(sent)
	if err != nil {
		return Target{}, InvalidRequest.Errorf("redirect_uri cannot be used: %v", err).For("redirect_uri_invalid")
	}
	return Target{uri: sent, registered: registered, kind: kind}, nil
}

func matchRedirect(registered []string, sent string) (string, bool) {
	if slices.Contains(registered, sent) {
		return sent, true
	}
	host, rest, ok := splitLoopback(sent)
	if !ok {
		return "", false
	}
	for _, r := range registered {
		if h, tail, ok := splitLoopback(r); ok && h == host && tail == rest {
			return r, true
		}
	}
	return "", false
}

// splitLoopback takes the port out of an http loopback URI. It works on the raw bytes, because a URL parser would accept
// and repair more than it may.
func splitLoopback(raw string) (host, rest string, ok bool) {
	after, ok := strings.CutPrefix(raw, "http://")
	if !ok {
		return "", "", false
	}
	for _, h := range loopbackHosts() {
		if rest, ok := strings.CutPrefix(after, h); ok {
			rest, ok = cutPort(rest)
			return h, rest, ok && (rest == "" || rest[0] == '/' || rest[0] == '?')
		}
	}
	return "", "", false
}

// cutPort removes ":1" to ":65535" from the beginning; no port is fine too.
func cutPort(s string) (rest string, ok bool) {
	after, found := strings.CutPrefix(s, ":")
	if !found {
		return s, true
	}
	digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
	return after[digits:], validPort(after[:digits])
}

func validPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && text[0] != '0'
}

// URL is the redirect with parameters (name, value, name, value …) appended behind an existing query (RFC 6749 §3.1.2).
// Parameters without a value are left out.
func (t Target) URL(pairs ...string) string {
	var b strings.Builder
	b.WriteString(t.uri)
	separator := "?"
	if strings.Contains(t.uri, "?") {
		separator = "&"
		if last := t.uri[len(t.uri)-1]; last == '?' || last == '&' {
			separator = ""
		}
	}
	for pair := range slices.Chunk(pairs, 2) {
		if len(pair) < 2 || pair[1] == "" {
			continue
		}
		b.WriteString(separator + url.QueryEscape(pair[0]) + "=" + url.QueryEscape(pair[1]))
		separator = "&"
	}
	return b.String()
}

// Loopback tells whether the redirect stays on the person's computer over http, where any program could receive it.
func (t Target) Loopback() bool { return t.kind == RedirectLoopback }

// Registered is the registered URI that the target matched; it may differ in the loopback port.
func (t Target) Registered() string { return t.registered }

// Sent is the URI as it was sent, or the only registered one if none was.
func (t Target) Sent() string { return t.uri }

// Kind is where the redirect leads.
func (t Target) Kind() RedirectKind { return t.kind }

// PrivateUse tells whether the redirect has a scheme of an app's own, which any app on the person's device may have claimed
// (RFC 8252 §8.1).
func (t Target) PrivateUse() bool { return t.kind == RedirectPrivate }

// Host is the host (with its port) that the browser goes to, or the scheme with its colon if that is a private-use one. It is in
// lower case: a capital I could pass for a small l.
func (t Target) Host() string {
	scheme, rest, _ := strings.Cut(strings.ToLower(t.uri), ":")
	if t.kind == RedirectPrivate {
		return scheme + ":"
	}
	return authorityOf(rest)
}

// authorityOf is what stands between "//" and the path.
func authorityOf(afterScheme string) string {
	authority := strings.TrimPrefix(afterScheme, "//")
	if i := strings.IndexAny(authority, "/?"); i >= 0 {
		return authority[:i]
	}
	return authority
}

// CheckRedirectURI says what is wrong with a redirect URI that a client wants to register. Private-use schemes pass; see
// RedirectKindOf and policy.clients for whether they are accepted.
func CheckRedirectURI(raw string) error {
	_, err := redirectKind(raw)
	return err
}

// RedirectKindOf is where a redirect URI leads, "" if CheckRedirectURI refuses it.
func RedirectKindOf(raw string) RedirectKind {
	kind, err := redirectKind(raw)
	if err != nil {
		return ""
	}
	return kind
}

func redirectKind(raw string) (RedirectKind, error) {
	if err := checkRedirectText(raw); err != nil {
		return "", err
	}
	scheme, rest, found := strings.Cut(raw, ":")
	if !found || !validScheme(scheme) {
		return "", errors.New("it must be an absolute URI such as https://app.example/callback")
	}
	if dangerousScheme(scheme) {
		return "", fmt.Errorf("the scheme %q is never allowed", strings.ToLower(scheme))
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("it is not a valid URI")
	}
	if err := checkRedirectQuery(u.RawQuery); err != nil {
		return "", err
	}
	switch scheme {
	case "https":
		return RedirectWeb, checkAuthority(rest)
	case "http":
		if _, _, ok := splitLoopback(raw); !ok {
			return "", errors.New("http is allowed only to 127.0.0.1, [::1] or localhost, with a port from 1 to 65535 or none; use https")
		}
		return RedirectLoopback, nil
	}
	if lower := strings.ToLower(scheme); lower == "http" || lower == "https" {
		return "", errors.New("write the scheme in lower case")
	}
	if !strings.HasPrefix(rest, "/") || strings.Contains(authorityOf(rest), "@") {
		return "", errors.New(`a private-use scheme must be followed by ":/" and hold no user information`)
	}
	return RedirectPrivate, nil
}

// checkRedirectText refuses everything that two programs may read differently, before any parser sees it.
func checkRedirectText(raw string) error {
	if raw == "" || len(raw) > maxRedirectURIBytes {
		return fmt.Errorf("it must have 1 to %d bytes", maxRedirectURIBytes)
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f {
			return errors.New("it must consist of printable ASCII characters without blanks")
		}
	}
	switch {
	case strings.Contains(raw, "#"):
		return errors.New("it must have no fragment, not even an empty one (RFC 6749 §3.1.2)")
	case strings.ContainsAny(raw, `\"<>^{|}`+"`"):
		return errors.New("it has a character that URIs do not allow")
	case strings.Contains(raw, "*"):
		return errors.New("wildcards are not supported; register each redirect URI")
	}
	return nil
}

func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}

// checkAuthority looks at "//host[:port]…" of a https URI: a host name or address in its plain spelling, no user information.
func checkAuthority(rest string) error {
	if !strings.HasPrefix(rest, "//") {
		return errors.New(`"https:" must be followed by "//" and a host`)
	}
	authority := authorityOf(rest)
	if strings.Contains(authority, "@") {
		return errors.New("it must hold no user information")
	}
	host := authority
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host = authority[:i]
		if !validPort(authority[i+1:]) {
			return errors.New("its port must be 1 to 65535")
		}
	}
	if !validHost(host) {
		return errors.New("its host must be a host name or an address")
	}
	return nil
}

func validHost(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && strings.Trim(inner, "0123456789abcdefABCDEF:.") == ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return len(host) <= 253
}

// checkRedirectQuery keeps the names of our own answer free, or a client would read the wrong one of two.
func checkRedirectQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("its query is not well-formed")
	}
	for _, name := range []string{"code", "state", "iss", "error", "error_description", "error_uri", "response"} {
		if values.Has(name) {
			return fmt.Errorf("its query must not hold the parameter %q, which the answer adds", name)
		}
	}
	return nil
}

// AwayFrom refuses a redirect that would carry our cookies to the client. On http loopback a browser tells cookies apart by host and
// path, not by port (RFC 6265 §8.5), sends them to https as well, and the server may answer under several loopback names; so no callback on this
// machine may lie below our own pages there. With https the cookies are __Host- ones.
func (t Target) AwayFrom(issuer string) error {
	own, err := url.Parse(issuer)
	callback, bad := url.Parse(t.uri)
	switch {
	case err != nil || bad != nil:
		return InvalidRequest.Errorf("redirect_uri cannot be read").For("redirect_uri_invalid")
	case own.Scheme != "http" || t.kind == RedirectPrivate || !onThisMachine(callback):
		return nil
	}
	where := path.Clean("/" + callback.Path) // as a browser resolves dot segments, escaped ones too
	for _, page := range []string{own.Path + PathUI, own.Path + PathAuthorize} {
		if where == page || strings.HasPrefix(where, page+"/") {
			return InvalidRequest.Errorf("redirect_uri lies below %s, where this server's own pages are; use another path for the callback", page).For("redirect_uri_own_pages")
		}
	}
	return nil
}

// onThisMachine tells whether an address has one of the names under which an http loopback issuer is reached.
func onThisMachine(u *url.URL) bool {
	for _, h := range loopbackHosts() {
		if strings.EqualFold(u.Hostname(), strings.Trim(h, "[]")) {
			return true
		}
	}
	return false
}
