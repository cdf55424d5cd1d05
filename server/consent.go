package server

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

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
	browser := f.browserOf(c)
	step, err := f.answers.once(c.Request.Context(), answerKey(id, browser, answer), func(ctx context.Context) (oauth.Step, error) {
		return f.endpoints.Authorization.Answer(ctx, id, browser, answer)
	})
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

// repeats gives the second of two equal answers the result of the first. A double click sends the form twice, and
// the browser shows what comes back for the second: without this it would be an error page, while the code of the
// first is lost. Results are remembered for half a minute and hold at most an unredeemed code.
type repeats struct {
	flights singleflight.Group
	done    *lru.Cache[string, remembered]
}

type remembered struct {
	step  oauth.Step
	until time.Time
}

const (
	rememberFor     = 30 * time.Second
	rememberAnswers = 1000
)

func newRepeats() *repeats {
	done, err := lru.New[string, remembered](rememberAnswers)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &repeats{done: done}
}

// once calls do unless an equal answer was given a moment ago. The first click's connection may end because of the
// second, so do goes on without it.
func (r *repeats) once(ctx context.Context, key string, do func(context.Context) (oauth.Step, error)) (oauth.Step, error) {
	step, err, _ := r.flights.Do(key, func() (any, error) {
		if known, ok := r.done.Get(key); ok && time.Now().Before(known.until) {
			return known.step, nil
		}
		step, err := do(context.WithoutCancel(ctx))
		if err == nil {
			r.done.Add(key, remembered{step, time.Now().Add(rememberFor)})
		}
		return step, err
	})
	result, _ := step.(oauth.Step)
	return result, err
}

// answerKey is equal only for the same answer of the same login in the same browser to the same request.
func answerKey(id string, b oauth.Browser, a oauth.Answer) string {
	scopes := slices.Clone(a.Scopes)
	slices.Sort(scopes)
	h := sha256.New()
	for _, part := range append([]string{id, b.ID, b.SessionID, a.FormToken, map[bool]string{true: "allow"}[a.Allow]}, scopes...) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:]) // hashes never fail
		h.Write([]byte(part))
	}
	return string(h.Sum(nil))
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
