package server

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// authorize is the authorization endpoint (RFC 6749 §3.1): it keeps the request and sends the browser to our pages.
func (f *face) authorize(c *gin.Context) {
	params, err := authorizeParams(c)
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	begun, err := f.endpoints.Authorization.Begin(c.Request.Context(), params, f.browserOf(c))
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	f.cookies.setBrowser(c.Writer, begun.BrowserID)
	f.seeOther(c, f.interactionPath(begun.InteractionID))
}

func authorizeParams(c *gin.Context) (url.Values, error) {
	if c.Request.Method == http.MethodGet {
		return parseParams(c.Request.URL.RawQuery)
	}
	return postForm(c.Writer, c.Request)
}

// showInteraction shows what a pending request needs next.
func (f *face) showInteraction(c *gin.Context) {
	id := c.Param("id")
	step, err := f.endpoints.Authorization.Resume(c.Request.Context(), id, f.browserOf(c))
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	f.showStep(c, id, step)
}

func (f *face) showStep(c *gin.Context, id string, step oauth.Step) {
	switch s := step.(type) {
	case oauth.LoginStep:
		f.renderLogin(c, http.StatusOK, interactionLogin(id, f.interactionPath(id), s))
	case oauth.ConsentStep:
		f.renderConsent(c, http.StatusOK, consentView{ConsentStep: s, Action: f.interactionPath(id)})
	case oauth.RedirectStep:
		f.redirectStep(c, s)
	default:
		f.fail(c, oauth.ServerError.Errorf("an unexpected step"), challengeNone)
	}
}

// redirectStep sends the browser to the client: with 303 only, so that no form is posted on (RFC 9700 §4.12).
func (f *face) redirectStep(c *gin.Context, s oauth.RedirectStep) {
	if s.Confirm {
		f.renderRedirect(c, s)
		return
	}
	f.seeOther(c, s.URL)
}

func (f *face) seeOther(c *gin.Context, location string) {
	c.Header("Location", location)
	c.Status(http.StatusSeeOther)
	c.Writer.WriteHeaderNow()
}

func (f *face) interactionPath(id string) string {
	return f.pages.ui + "/i/" + url.PathEscape(id)
}
