package server

import (
	"errors"
	"slices"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// postConsent takes the person's answer.
func (f *face) postConsent(c *gin.Context) {
	id := c.Param("id")
	values, err := postForm(c.Writer, c.Request)
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	action := values.Get("action")
	if action != "allow" && action != "deny" {
		f.fail(c, oauth.InvalidRequest.Errorf("the form says neither allow nor deny"), challengeNone)
		return
	}
	answer := oauth.Answer{FormToken: values.Get("form_token"), Allow: action == "allow", Scopes: values["scope"]}
	step, err := f.endpoints.Authorization.Answer(c.Request.Context(), id, f.browserOf(c), answer)
	if f.askAgain(c, id, answer, err) {
		return
	}
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	f.showStep(c, id, step)
}

// askAgain shows the consent page once more when the person can mend the answer there: nothing was ticked, say.
func (f *face) askAgain(c *gin.Context, id string, answer oauth.Answer, err error) bool {
	var e *oauth.Error
	if !errors.As(err, &e) || e.Code != oauth.InvalidScope {
		return false
	}
	step, err := f.endpoints.Authorization.Resume(c.Request.Context(), id, f.browserOf(c))
	consent, isConsent := step.(oauth.ConsentStep)
	if err != nil || !isConsent {
		return false
	}
	c.Set(keyFailure, e)
	f.renderConsent(c, e.Code.Status, consentView{
		ConsentStep: consent, Action: f.interactionPath(id), Alert: e.Description, Answered: true, Ticked: answer.Scopes,
	})
	return true
}

// consentView is the consent page.
type consentView struct {
	oauth.ConsentStep
	Action   string // the interaction's path
	Alert    string
	Answered bool     // an answer was given and refused: show its ticks
	Ticked   []string // what was ticked
}

// scopeGroup is the scopes of one kind.
type scopeGroup struct {
	Kind, Title, Hint string
	Scopes            []oauth.ConsentScope
}

// Groups sorts the scopes by what they can do: the harmless first.
func (v consentView) Groups() []scopeGroup {
	groups := []scopeGroup{
		{Kind: "read", Title: "Read", Hint: "Can look, changes nothing."},
		{Kind: "write", Title: "Write", Hint: "Can add and change things."},
		{Kind: "destructive", Title: "Destructive", Hint: "Can delete, overwrite or spend. Think twice."},
	}
	for _, s := range v.Scopes {
		i := 1
		switch {
		case s.Destructive:
			i = 2
		case s.ReadOnly:
			i = 0
		}
		groups[i].Scopes = append(groups[i].Scopes, s)
	}
	return slices.DeleteFunc(groups, func(g scopeGroup) bool { return len(g.Scopes) == 0 })
}

// Delta tells whether the client holds some of the scopes already, so that the new ones deserve a mark.
func (v consentView) Delta() bool {
	return slices.ContainsFunc(v.Scopes, func(s oauth.ConsentScope) bool { return s.Held })
}

// IsTicked tells whether a checkbox is ticked when the page is shown.
func (v consentView) IsTicked(scope string) bool {
	return !v.Answered || slices.Contains(v.Ticked, scope)
}

func (f *face) renderConsent(c *gin.Context, status int, view consentView) {
	f.render(c, status, "consent", "Allow access?", view)
}
