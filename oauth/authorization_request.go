package oauth

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// authorizationRequest is an authorization request whose parameters are in order.
type authorizationRequest struct {
	resource *Resource
	asked    Scopes // known scopes that were asked for, or the baseline
	offline  bool   // offline_access was asked for
	acr      []string
	maxAge   time.Duration
	noPrompt bool // prompt=none
}

// parseAuthorization checks what a client may hear about by redirect, after the person has logged in.
func parseAuthorization(params url.Values, directory ResourceDirectory) (*authorizationRequest, *Error) {
	if err := checkOnce(params); err != nil {
		return nil, AsError(err)
	}
	switch {
	case params.Get("response_type") == "":
		return nil, InvalidRequest.Errorf("response_type is missing; send response_type=code")
	case params.Get("response_type") != "code":
		return nil, UnsupportedResponseType.Errorf("only response_type=code is supported")
	case params.Get("response_mode") != "" && params.Get("response_mode") != "query":
		return nil, InvalidRequest.Errorf("only response_mode=query is supported")
	case params.Has("request") || params.Has("request_uri"):
		return nil, InvalidRequest.Errorf("request objects are not supported; send the parameters themselves")
	}
	if err := checkChallenge(params.Get("code_challenge"), params.Get("code_challenge_method")); err != nil {
		return nil, AsError(err)
	}
	resource, e := requestedResource(params["resource"], directory)
	if e != nil {
		return nil, e
	}
	r := &authorizationRequest{resource: resource, noPrompt: hasWord(params.Get("prompt"), "none"),
		acr: strings.Fields(params.Get("acr_values")), maxAge: seconds(params.Get("max_age"))}
	return r, r.scopes(params.Get("scope"))
}

// requestedResource is the one resource that the request is for (RFC 8707 §2); two different ones are too many.
func requestedResource(asked []string, directory ResourceDirectory) (*Resource, *Error) {
	if len(asked) == 0 {
		if all := directory.Resources(); len(all) == 1 {
			return all[0], nil
		}
		return nil, InvalidTarget.Errorf("the parameter \"resource\" is missing")
	}
	var found *Resource
	for _, id := range asked {
		r, ok := directory.ResourceByID(id)
		switch {
		case !ok || strings.Contains(id, "#"):
			return nil, InvalidTarget.Errorf("the resource %q is not known here", Cut(id, 200))
		case found != nil && found != r:
			return nil, InvalidTarget.Errorf("ask for one resource at a time")
		}
		found = r
	}
	return found, nil
}

// scopes keeps the known ones; without a scope parameter the resource's baseline is asked for (DESIGN §9).
func (r *authorizationRequest) scopes(text string) *Error {
	asked, err := ParseScopes(text)
	if err != nil {
		return InvalidScope.Errorf("%v", err)
	}
	r.offline = asked.Has(OfflineAccess)
	asked = asked.Without(OfflineAccess)
	if len(asked) == 0 {
		r.asked = r.resource.Baseline
	} else {
		known := r.resource.ScopeNames()
		for _, s := range asked {
			if known.Has(s) {
				r.asked = append(r.asked, s)
			}
		}
	}
	if len(r.asked) == 0 {
		return InvalidScope.Errorf("none of the scopes that were asked for is known at this resource")
	}
	return nil
}

// loginAfter is the time before which a login does not count: prompt=login and max_age (OpenID Connect Core §3.1.2.1).
func loginAfter(params url.Values, now time.Time) time.Time {
	if hasWord(params.Get("prompt"), "login") {
		return now
	}
	if params.Has("max_age") {
		return now.Add(-seconds(params.Get("max_age")))
	}
	return time.Time{}
}

// knownParams are the parameters that this endpoint reads; the others are ignored (RFC 6749 §3.1) and not stored.
func knownParams() []string {
	return []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "resource", "code_challenge",
		"code_challenge_method", "prompt", "max_age", "acr_values", "login_hint", "request", "request_uri"}
}

// maxStoredParams bounds what a stranger can make us store, in bytes; a form may be longer than a URL.
const maxStoredParams = 16 << 10

// readParams keeps what is known and treats a parameter without a value as omitted (OAuth 2.1 §3.1).
func readParams(form url.Values) (url.Values, error) {
	out, size := url.Values{}, 0
	for _, name := range knownParams() {
		v := nonEmpty(form[name])
		if len(v) == 0 {
			continue
		}
		out[name] = v
		for _, one := range v {
			size += len(one)
		}
	}
	for name, v := range form { // one repeated name is kept without its values, so that the error can be told after the login
		if len(nonEmpty(v)) > 1 && !slices.Contains(knownParams(), name) {
			out[Cut(name, 40)] = []string{"", ""}
			break
		}
	}
	if size > maxStoredParams {
		return nil, InvalidRequest.Errorf("the authorization request is longer than %d bytes", maxStoredParams).For("request_too_long")
	}
	return out, nil
}
