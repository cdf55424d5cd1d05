package server

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// accountView is the account page.
type accountView struct {
	oauth.Account
	Notice string // what was just done
	Alert  string // what was wrong with the password form
}

// home sends a person who opens the server's own address to the account page.
func (f *face) home(c *gin.Context) { f.seeOther(c, f.pages.ui+"/account") }

func (f *face) showAccount(c *gin.Context) {
	notice := ""
	switch c.Query("done") {
	case "password":
		notice = "Your password was changed. You were signed out everywhere else."
	case "revoked":
		notice = "The agent was disconnected. Its access ended at once."
	}
	f.renderAccount(c, http.StatusOK, notice, "")
}

func (f *face) renderAccount(c *gin.Context, status int, notice, alert string) {
	account, err := f.endpoints.Account.Show(c.Request.Context(), f.browserOf(c))
	if f.toLogin(c, err) {
		return
	}
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	f.render(c, status, "account", "Your account", accountView{Account: *account, Notice: notice, Alert: alert})
}

// toLogin sends a person without a live session to the login page.
func (f *face) toLogin(c *gin.Context, err error) bool {
	var e *oauth.Error
	if f.endpoints.Login == nil || !errors.As(err, &e) || e.Code != oauth.LoginRequired {
		return false
	}
	f.cookies.dropSession(c.Writer)
	f.seeOther(c, f.pages.ui+"/login")
	return true
}

func (f *face) postPassword(c *gin.Context) {
	values, err := postForm(c.Writer, c.Request)
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	err = f.endpoints.Account.ChangePassword(c.Request.Context(), f.browserOf(c), values.Get("form_token"),
		values.Get("old_password"), values.Get("new_password"), values.Get("again"))
	var e *oauth.Error
	mendable := errors.As(err, &e) && (e.Code == oauth.AccessDenied || e.Code == oauth.InvalidRequest || e.Code == oauth.SlowDown)
	switch {
	case mendable:
		c.Set(keyFailure, e)
		retryAfter(c, e)
		f.renderAccount(c, e.Code.Status, "", e.Description)
	case f.toLogin(c, err):
	case err != nil:
		f.fail(c, err, challengeNone)
	default:
		f.seeOther(c, f.pages.ui+"/account?done=password")
	}
}

func (f *face) postRevokeGrant(c *gin.Context) {
	values, err := postForm(c.Writer, c.Request)
	if err == nil {
		err = f.endpoints.Account.Revoke(c.Request.Context(), f.browserOf(c), values.Get("form_token"), c.Param("id"))
	}
	switch {
	case f.toLogin(c, err):
	case err != nil:
		f.fail(c, err, challengeNone)
	default:
		f.seeOther(c, f.pages.ui+"/account?done=revoked")
	}
}
