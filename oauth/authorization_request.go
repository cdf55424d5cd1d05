package oauth

import (
	"net/url"
	"strconv"
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
			return nil, InvalidTarget.Errorf("the resource %q is not known here", cut(id, 200))
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

// seconds reads a number of seconds; nonsense counts as 0, the strictest.
func seconds(text string) time.Duration {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}

func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}
