package server

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// cookies are the two cookies of a browser: one that binds interactions to it, and its login session.
//
// On https both have the __Host- prefix, so no other host can set them. On a loopback issuer without TLS, cookies
// are shared by all ports of the host; there they live only below the paths that need them, so that a client's
// callback on another port receives none, and they end with the browser.
type cookies struct {
	secure   bool
	browser  string
	session  string
	browsers []string // paths of the browser cookie
	sessions string   // path of the session cookie
}

func newCookies(secure bool, base string) cookies {
	if secure {
		return cookies{true, "__Host-portcullis_browser", "__Host-portcullis_session", []string{"/"}, "/"}
	}
	ui := base + oauth.PathUI
	return cookies{false, "portcullis_browser", "portcullis_session", []string{ui, base + oauth.PathAuthorize}, ui}
}

// read is the value of a cookie. Two of one name are none: somebody else planted one of them.
func (k cookies) read(r *http.Request, name string) string {
	if found := r.CookiesNamed(name); len(found) == 1 {
		return found[0].Value
	}
	return ""
}

func (k cookies) set(w http.ResponseWriter, name, value, path string, end time.Time) {
	c := &http.Cookie{Name: name, Value: value, Path: path, Secure: k.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	switch {
	case value == "":
		c.MaxAge = -1
	case k.secure && !end.IsZero():
		c.MaxAge = max(1, int(time.Until(end)/time.Second))
	}
	http.SetCookie(w, c)
}

func (k cookies) setBrowser(w http.ResponseWriter, id string) {
	for _, path := range k.browsers {
		k.set(w, k.browser, id, path, time.Time{})
	}
}

func (k cookies) setSession(w http.ResponseWriter, s oauth.LoggedIn) {
	k.set(w, k.session, s.SessionID, k.sessions, s.ExpiresAt)
}

func (k cookies) dropSession(w http.ResponseWriter) {
	k.set(w, k.session, "", k.sessions, time.Time{})
}

// browserOf is what is known of the browser that asks.
func (f *face) browserOf(c *gin.Context) oauth.Browser {
	return oauth.Browser{
		ID:        f.cookies.read(c.Request, f.cookies.browser),
		SessionID: f.cookies.read(c.Request, f.cookies.session),
		IP:        c.ClientIP(),
		UserAgent: userAgent(c.Request),
		RequestID: requestID(c),
	}
}
