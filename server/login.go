package server

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// loginView is the login page.
type loginView struct {
	Action    string // where the form is posted to
	Cancel    string // back to the consent page; "" = nowhere to go back to
	FormToken string
	Client    oauth.ClientView // zero when the login is for the account page
	Resource  oauth.ResourceView
	Username  string
	Why       string
	Alert     string // what was wrong with the last try
}

func interactionLogin(id, path string, s oauth.LoginStep) loginView {
	return loginView{Action: path + "/login", FormToken: s.FormToken, Client: s.Client, Resource: s.Resource, Username: s.Hint, Why: s.Why}
}

// switchUser shows the login form of a request whose person is logged in already: "not you?".
func (f *face) switchUser(c *gin.Context) {
	f.showLoginAgain(c, c.Param("id"), http.StatusOK, "", "")
}

// showLoginAgain shows the login form whatever the request needs next. A request that needs neither login nor
// consent goes on.
func (f *face) showLoginAgain(c *gin.Context, id string, status int, username, alert string) {
	step, err := f.endpoints.Authorization.Resume(c.Request.Context(), id, f.browserOf(c))
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	path := f.interactionPath(id)
	var view loginView
	switch s := step.(type) {
	case oauth.LoginStep:
		view = interactionLogin(id, path, s)
	case oauth.ConsentStep:
		view = loginView{Action: path + "/login", Cancel: path, FormToken: s.LoginToken, Client: s.Client, Resource: s.Resource}
	default:
		f.showStep(c, id, step)
		return
	}
	view.Username, view.Alert = orDefault(username, view.Username), alert
	f.renderLogin(c, status, view)
}

func (f *face) postInteractionLogin(c *gin.Context) {
	id := c.Param("id")
	values, err := postForm(c.Writer, c.Request)
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	session, err := f.endpoints.Login.Login(c.Request.Context(), f.browserOf(c), oauth.LoginForm{
		InteractionID: id,
		FormToken:     values.Get("form_token"),
		Username:      values.Get("username"),
		Password:      values.Get("password"),
	})
	if alert := f.wrongPassword(c, err); alert != nil {
		f.showLoginAgain(c, id, alert.Code.Status, values.Get("username"), alert.Description)
		return
	}
	f.loggedIn(c, session, err, f.interactionPath(id))
}

// showLogin is the login page for the account.
func (f *face) showLogin(c *gin.Context) {
	f.showAccountLogin(c, http.StatusOK, "", "")
}

func (f *face) showAccountLogin(c *gin.Context, status int, username, alert string) {
	token, browser, err := f.endpoints.Login.Begin(c.Request.Context(), f.browserOf(c))
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	f.cookies.setBrowser(c.Writer, browser)
	f.renderLogin(c, status, loginView{Action: f.pages.ui + "/login", FormToken: token, Username: username, Alert: alert})
}

func (f *face) postLogin(c *gin.Context) {
	values, err := postForm(c.Writer, c.Request)
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	session, err := f.endpoints.Login.Login(c.Request.Context(), f.browserOf(c), oauth.LoginForm{
		FormToken: values.Get("form_token"),
		Username:  values.Get("username"),
		Password:  values.Get("password"),
	})
	if alert := f.wrongPassword(c, err); alert != nil {
		f.showAccountLogin(c, alert.Code.Status, values.Get("username"), alert.Description)
		return
	}
	f.loggedIn(c, session, err, f.pages.ui+"/account")
}

// wrongPassword is the error if it is one that the person can mend in the same form.
func (f *face) wrongPassword(c *gin.Context, err error) *oauth.Error {
	var e *oauth.Error
	if !errors.As(err, &e) || e.Code != oauth.AccessDenied && e.Code != oauth.SlowDown {
		return nil
	}
	c.Set(keyFailure, e)
	retryAfter(c, e)
	return e
}

func (f *face) loggedIn(c *gin.Context, session oauth.LoggedIn, err error, next string) {
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	f.cookies.setSession(c.Writer, session)
	f.seeOther(c, next)
}

func (f *face) postLogout(c *gin.Context) {
	values, err := postForm(c.Writer, c.Request)
	if err == nil {
		err = f.endpoints.Login.Logout(c.Request.Context(), f.browserOf(c), values.Get("form_token"))
	}
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	f.cookies.dropSession(c.Writer)
	f.seeOther(c, f.pages.ui+"/logged-out")
}

func (f *face) showLoggedOut(c *gin.Context) {
	f.render(c, http.StatusOK, "loggedout", "Signed out", nil)
}
