package server

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// errorView is the error page.
type errorView struct {
	Heading string
	Advice  string // what the person can do
	Detail  string // what the program said
	Code    string
}

// renderError writes the error page. A 401 would need a challenge that browsers show as a password box, so it is a 400.
func (f *face) renderError(c *gin.Context, e *oauth.Error) {
	status := e.Code.Status
	if status == http.StatusUnauthorized {
		status = http.StatusBadRequest
	}
	view := explain(e)
	view.Detail, view.Code = e.Description, e.Code.Name
	f.render(c, status, "error", view.Heading, view)
}

// explain says in plain words what happened and what to do.
func explain(e *oauth.Error) errorView {
	say := func(heading, advice string) errorView { return errorView{Heading: heading, Advice: advice} }
	switch {
	case e.Code == misdirected:
		return say("This is not the right address", "Open this server by the name that your administrator gave you.")
	case e.Code.Status == http.StatusTooManyRequests:
		return say("Too many tries", "Wait a moment, then try again.")
	case e.Code.Status == http.StatusServiceUnavailable:
		return say("Not available at the moment", "Nothing was lost. Try again in a minute.")
	case e.Code.Status >= http.StatusInternalServerError:
		return say("Something went wrong on our side", "Try again. If it happens once more, tell your administrator the request id below.")
	}
	name := e.Code.Name
	if e.ReasonOrCode() == "redirect_uri_mismatch" { // an invalid_request (RFC 6749 §4.1.2.1), and the same for the person
		name = oauth.InvalidRedirectURI.Name
	}
	switch name { // the status may differ: a 401 of the token endpoint is a 400 on a page
	case oauth.InvalidClient.Name, oauth.UnauthorizedClient.Name, oauth.InvalidClientMetadata.Name:
		return say("This app is not known here",
			"Remove this server in your app, add it again, and connect once more. The app then introduces itself anew.")
	case oauth.InvalidRedirectURI.Name:
		return say("The app gave an address that is not its own",
			"You were not sent there, to be safe. Remove this server in your app and add it again. If that does not help, tell the app’s maker.")
	case oauth.InvalidTarget.Name:
		return say("The app asked for a server that is not known here",
			"Check the server’s address in your app, or ask your administrator whether it belongs to this sign-in service.")
	case oauth.InteractionExpired.Name:
		return say("This sign-in has ended", "It took too long, or it was answered already. Go back to your app and connect again.")
	case oauth.Forbidden.Name:
		return say("This page cannot be used here",
			"The sign-in was started in another browser or by another site. Go back to your app and connect again, and stay in the browser that opens.")
	case oauth.AccessDenied.Name:
		return say("Access is not allowed",
			"The rules of this server do not allow it. If you need it, ask your administrator and name the request id below.")
	case oauth.NotFound.Name:
		return say("There is nothing here", "The address may be mistyped or old. If an app sent you, connect again from the app.")
	}
	return say("This request cannot continue",
		"The app sent something that this server cannot accept. Go back to the app and connect again; if that does not help, remove the server there and add it anew.")
}
