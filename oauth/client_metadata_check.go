package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxClientURLBytes    = 512
	maxKeptDocumentBytes = 8 << 10 // as much as a registration may send
)

// Bounds of how long a document counts as fresh, whatever its cache headers say (RFC 9111), and the time when they say nothing.
const (
	minDocumentFresh     = time.Minute
	maxDocumentFresh     = 24 * time.Hour
	defaultDocumentFresh = time.Hour
)

// CheckClientIDURL says what is wrong with a client id that is the URL of a metadata document
// (draft-ietf-oauth-client-id-metadata-document §3): https, a path, no dot segments, no fragment, no user information. It is compared as
// it is and never normalised.
func CheckClientIDURL(raw string) error {
	if len(raw) > maxClientURLBytes {
		return fmt.Errorf("it may have at most %d bytes", maxClientURLBytes)
	}
	rest, ok := strings.CutPrefix(raw, "https:")
	if !ok {
		return errors.New("it must begin with https://")
	}
	if err := checkRedirectText(raw); err != nil {
		return err
	}
	if err := checkAuthority(rest); err != nil {
		return err
	}
	if authority := authorityOf(rest); authority != strings.ToLower(authority) || strings.HasSuffix(authority, ":443") {
		return errors.New("its host must be in lower case and without the port 443, so that there is one spelling of it")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("it is not a valid URL")
	}
	if u.Path == "" || u.Path == "/" {
		return errors.New("it must have a path, such as https://client.example/oauth/client.json")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return errors.New("its path must have no dot segments")
		}
	}
	return nil
}

// clientDocument has the members of a metadata document that matter here (RFC 7591 §2); others are ignored.
type clientDocument struct {
	ClientID     string         `json:"client_id"`
	ClientName   string         `json:"client_name"`
	RedirectURIs []string       `json:"redirect_uris"`
	AuthMethod   string         `json:"token_endpoint_auth_method"`
	AuthMethods  []string       `json:"token_endpoint_auth_methods_supported"`
	GrantTypes   []string       `json:"grant_types"`
	Responses    []string       `json:"response_types"`
	Scope        string         `json:"scope"`
	ClientURI    string         `json:"client_uri"`
	LogoURI      string         `json:"logo_uri"`
	TosURI       string         `json:"tos_uri"`
	PolicyURI    string         `json:"policy_uri"`
	JWKSURI      string         `json:"jwks_uri"`
	SoftwareID   string         `json:"software_id"`
	Secret       jsontext.Value `json:"client_secret"`
	SecretEnd    jsontext.Value `json:"client_secret_expires_at"`
	JWKS         *struct {
		Keys []map[string]any `json:"keys"`
	} `json:"jwks"`
}

// readClientDocument turns a metadata document into a client. The URL of the document is the client's id.
func readClientDocument(id string, body []byte) (*Client, *Error) {
	var doc clientDocument
	if err := DecodeStrict(body, &doc); err != nil {
		return nil, badDocument("cimd_json", "it cannot be read: %v", err)
	}
	if doc.ClientID != id {
		return nil, badDocument("cimd_client_id_mismatch", "its client_id is not the URL that it was fetched from; both must be equal to the byte")
	}
	if doc.ClientName == "" || len(doc.ClientName) > maxClientNameBytes {
		return nil, badDocument("cimd_client_name", "client_name must have 1 to %d bytes", maxClientNameBytes)
	}
	for _, check := range []func(clientDocument) *Error{checkDocumentRedirects, checkDocumentSecrets, checkDocumentMethods, checkDocumentURIs} {
		if e := check(doc); e != nil {
			return nil, e
		}
	}
	scope, err := ParseScopes(doc.Scope)
	if err != nil {
		return nil, badDocument("cimd_scope", "%v", err)
	}
	grants, ok := usableGrantTypes(doc.GrantTypes)
	if !ok || !usableResponseTypes(doc.Responses) {
		return nil, badDocument("cimd_grant_types", "it must use the grant type authorization_code and the response type code")
	}
	c := &Client{ID: id, Name: doc.ClientName, Registration: RegistrationCIMD, Source: SourceSelf, RedirectURIs: distinct(doc.RedirectURIs), AuthMethods: []string{AuthMethodNone},
		GrantTypes: grants, Scope: scope, ClientURI: doc.ClientURI, SoftwareID: doc.SoftwareID}
	if c.Document = keptDocument(c); len(c.Document) > maxKeptDocumentBytes {
		return nil, badDocument("cimd_size", "what is used of it has more than %d KiB", maxKeptDocumentBytes>>10)
	}
	c.Digest = clientDigest(c)
	return c, nil
}

// keptDocument is a document with the members that are used here and no other: what is stored, so that a new policy can be
// asked about the document as it was, and strangers do not choose how much of the disk that takes.
func keptDocument(c *Client) []byte {
	text, err := json.Marshal(map[string]any{"client_id": c.ID, "client_name": c.Name, "redirect_uris": c.RedirectURIs, "grant_types": c.GrantTypes,
		"scope": c.Scope.String(), "client_uri": c.ClientURI, "software_id": c.SoftwareID})
	if err != nil {
		panic("oauth: texts have no JSON: " + err.Error())
	}
	return text
}

func badDocument(reason, format string, args ...any) *Error {
	return InvalidClient.Errorf("the client's metadata document cannot be used: "+format, args...).For(reason)
}

func checkDocumentRedirects(doc clientDocument) *Error {
	if n := len(doc.RedirectURIs); n == 0 || n > maxRedirectURIs {
		return badDocument("cimd_redirect_uris", "redirect_uris must have 1 to %d entries", maxRedirectURIs)
	}
	for i, uri := range doc.RedirectURIs {
		if err := CheckRedirectURI(uri); err != nil {
			return badDocument("cimd_redirect_uris", "redirect_uris/%d: %v", i, err)
		}
	}
	return nil
}

// checkDocumentSecrets refuses shared secrets and private keys: everybody can read the document.
func checkDocumentSecrets(doc clientDocument) *Error {
	if doc.Secret != nil || doc.SecretEnd != nil {
		return badDocument("cimd_client_secret", "client_secret and client_secret_expires_at have no place in a public document")
	}
	for _, m := range append(slices.Clone(doc.AuthMethods), doc.AuthMethod) {
		if strings.HasPrefix(m, "client_secret_") {
			return badDocument("cimd_auth_method", "%s needs a shared secret, which a public document cannot hold; use none", CleanText(m, 40))
		}
	}
	if doc.JWKS == nil {
		return nil
	}
	for _, key := range doc.JWKS.Keys {
		for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, private := key[member]; private {
				return badDocument("cimd_private_key", "jwks holds a private or symmetric key; replace that key, it is public now")
			}
		}
	}
	return nil
}

// checkDocumentMethods reads the list of methods, else the single one, else none (SEP-3149). Of these this server can use none.
func checkDocumentMethods(doc clientDocument) *Error {
	methods := doc.AuthMethods
	switch {
	case len(methods) > 0:
	case doc.AuthMethod != "":
		methods = []string{doc.AuthMethod}
	default:
		return nil
	}
	if !slices.Contains(methods, AuthMethodNone) {
		return badDocument("cimd_auth_method", "of its methods of client authentication this server supports none; list none in token_endpoint_auth_methods_supported")
	}
	return nil
}

func checkDocumentURIs(doc clientDocument) *Error {
	for _, one := range [][2]string{{"client_uri", doc.ClientURI}, {"logo_uri", doc.LogoURI}, {"tos_uri", doc.TosURI}, {"policy_uri", doc.PolicyURI}, {"jwks_uri", doc.JWKSURI}} {
		if one[1] != "" && !httpsURL(one[1]) {
			return badDocument("cimd_uri", "%s must be an https URL", one[0])
		}
	}
	return nil
}

func httpsURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && len(raw) <= maxRedirectURIBytes && u.Scheme == "https" && u.User == nil && u.Host != "" && checkAuthority("//"+u.Host) == nil
}

// usableGrantTypes are those of a client's grant types that this server knows for clients that people use. None stands for
// authorization_code (RFC 7591 §2); without that one there is nothing to do here.
func usableGrantTypes(wanted []string) ([]string, bool) {
	if len(wanted) == 0 {
		return []string{"authorization_code"}, true
	}
	var usable []string
	for _, g := range []string{"authorization_code", "refresh_token"} {
		if slices.Contains(wanted, g) {
			usable = append(usable, g)
		}
	}
	return usable, slices.Contains(usable, "authorization_code")
}

func usableResponseTypes(wanted []string) bool {
	return len(wanted) == 0 || slices.Contains(wanted, "code")
}

// distinct keeps the first of equal texts.
func distinct(texts []string) []string {
	var out []string
	for _, t := range texts {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// documentFresh is how long a fetched document need not be fetched again (RFC 9111 §4.2), within our bounds.
func documentFresh(h http.Header, now time.Time) time.Duration {
	fresh := defaultDocumentFresh
	control := cacheControl(h)
	age, found := control["s-maxage"]
	if !found {
		age, found = control["max-age"]
	}
	expires, err := http.ParseTime(h.Get("Expires"))
	switch _, noStore := control["no-store"]; {
	case noStore:
		fresh = 0
	case found:
		fresh = deltaSeconds(age) - deltaSeconds(h.Get("Age"))
	case h.Get("Expires") != "" && err != nil:
		fresh = 0
	case h.Get("Expires") != "":
		fresh = expires.Sub(now)
	}
	if _, revalidate := control["no-cache"]; revalidate {
		fresh = 0
	}
	return min(max(fresh, minDocumentFresh), maxDocumentFresh)
}

func cacheControl(h http.Header) map[string]string {
	directives := map[string]string{}
	for part := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		directives[strings.ToLower(name)] = strings.Trim(value, `"`)
	}
	return directives
}

// deltaSeconds reads RFC 9111 §1.2.2: what cannot be read counts as 0, what is greater than 2^31 as that.
func deltaSeconds(text string) time.Duration {
	const most = 1 << 31
	n, err := strconv.ParseUint(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		n = most
	case err != nil:
		return 0
	}
	return time.Duration(min(n, most)) * time.Second
}
