package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// inputVersion is the version of the forms in schemas/.
const inputVersion = "1"

// object collects the members of one object. What is not known is left out: an absent fact makes a condition
// fail, while null would compare (null < 0 is true in Rego).
type object [][2]*ast.Term

func (o *object) set(key string, value *ast.Term) {
	*o = append(*o, [2]*ast.Term{ast.InternedTerm(key), value})
}

// text leaves "" out.
func (o *object) text(key, value string) {
	if value != "" {
		o.set(key, ast.StringTerm(value))
	}
}

// list writes an empty list for nil: there are none, and that is known.
func (o *object) list(key string, values []string) {
	terms := make([]*ast.Term, len(values))
	for i, v := range values {
		terms[i] = ast.StringTerm(v)
	}
	o.set(key, ast.ArrayTerm(terms...))
}

// listIfAny leaves an empty list out: nothing is known.
func (o *object) listIfAny(key string, values []string) {
	if len(values) > 0 {
		o.list(key, values)
	}
}

func (o *object) bool(key string, value bool) { o.set(key, ast.InternedTerm(value)) }

func (o *object) number(key string, value int64) {
	o.set(key, ast.NumberTerm(json.Number(strconv.FormatInt(value, 10))))
}

// time writes Unix seconds and leaves the zero time out.
func (o *object) time(key string, t time.Time) {
	if !t.IsZero() {
		o.number(key, t.Unix())
	}
}

// free writes an object from outside and leaves nil out.
func (o *object) free(key string, value map[string]any) error {
	if value == nil {
		return nil
	}
	t, err := termOf(value, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	o.set(key, t)
	return nil
}

func (o *object) nested(key string, child object) {
	if len(child) > 0 {
		o.set(key, child.term())
	}
}

func (o object) term() *ast.Term  { return ast.ObjectTerm(o...) }
func (o object) value() ast.Value { return ast.NewObject(o...) }

// Bounds of values from outside. The decision endpoint bounds the whole request before.
const (
	maxDepth        = 32
	maxNumberLength = 400 // digits, sign, point and exponent
	maxExponent     = 400
)

// termOf turns a decoded value into a term, without JSON between: numbers stay as they were written.
func termOf(v any, depth int) (*ast.Term, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		return ast.NullTerm(), nil
	case bool:
		return ast.InternedTerm(v), nil
	case string:
		return ast.StringTerm(v), nil
	case json.Number:
		return numberOf(v)
	case map[string]any:
		pairs := make([][2]*ast.Term, 0, len(v))
		for key, member := range v {
			t, err := termOf(member, depth+1)
			if err != nil {
				return nil, err
			}
			pairs = append(pairs, [2]*ast.Term{ast.StringTerm(key), t})
		}
		return ast.ObjectTerm(pairs...), nil
	case []any:
		terms := make([]*ast.Term, len(v))
		for i, element := range v {
			t, err := termOf(element, depth+1)
			if err != nil {
				return nil, err
			}
			terms[i] = t
		}
		return ast.ArrayTerm(terms...), nil
	}
	return nil, fmt.Errorf("a value of type %T cannot be decided on; numbers must be json.Number", v)
}

// numberOf bounds a number: comparing 1e999999999 exactly would take gigabytes.
func numberOf(n json.Number) (*ast.Term, error) {
	text := string(n)
	if len(text) > maxNumberLength {
		return nil, errors.New("a number is too long")
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		if e, err := strconv.Atoi(text[i+1:]); err != nil || e > maxExponent || e < -maxExponent {
			return nil, errors.New("a number is out of range")
		}
	}
	if !json.Valid([]byte(text)) {
		return nil, errors.New("a number is malformed")
	}
	return ast.NumberTerm(n), nil
}

// requestContext is the part that all inputs share.
func requestContext(c oauth.RequestContext) object {
	var o object
	if !c.Time.IsZero() {
		o.text("time", c.Time.UTC().Format(time.RFC3339))
		o.number("unix_time", c.Time.Unix())
	}
	o.text("ip", c.IP)
	o.text("user_agent", c.UserAgent)
	o.text("request_id", c.RequestID)
	return o
}

func subjectOf(s oauth.Subject) object {
	var o object
	o.text("type", string(s.Kind))
	o.text("id", s.ID)
	o.text("username", s.Username)
	o.list("groups", s.Groups)
	return o
}

func (o *object) actors(actors []oauth.Actor) {
	if len(actors) == 0 {
		return
	}
	terms := make([]*ast.Term, len(actors))
	for i, a := range actors {
		var actor object
		actor.text("type", a.Type)
		actor.text("id", a.ID)
		terms[i] = actor.term()
	}
	o.set("actor", terms[0])
	o.set("actors", ast.ArrayTerm(terms...))
}

// clientOf is the part of a client that every input shows.
func clientOf(c *oauth.Client) object {
	var o object
	o.text("id", c.ID)
	o.text("registration", string(c.Registration))
	o.text("host", c.Host())
	o.text("name", c.Name)
	o.bool("trusted", c.Trusted())
	return o
}

func versioned(id string) object {
	var o object
	o.text("version", inputVersion)
	o.text("id", id)
	return o
}

// toolCallInput is schemas/tool_call.json.
func toolCallInput(e oauth.Evaluation) (ast.Value, error) {
	o := versioned(e.ID)
	subject := subjectOf(e.Subject)
	if err := subject.free("properties", e.Claimed.Properties); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	o.nested("subject", subject)
	o.actors(e.Actors)
	if e.Client != nil {
		o.nested("client", clientOf(e.Client))
	}
	o.nested("token", tokenOf(e.Token))
	if err := o.authzen(e); err != nil {
		return nil, err
	}
	if e.Tool != nil {
		tool, err := toolOf(e)
		if err != nil {
			return nil, err
		}
		o.nested("tool", tool)
	}
	o.nested("mcp", callOf(e.MCP))
	return o.value(), nil
}

// authzen adds action, resource and context as the asking server wrote them. server is the verified caller. The
// arguments of a tool call are left out here, so that input.tool.arguments is the only place for them.
func (o *object) authzen(e oauth.Evaluation) error {
	var action, resource object
	action.text("name", e.Action.Name)
	resource.text("type", e.Resource.Type)
	resource.text("id", e.Resource.ID)
	if e.Caller != nil {
		resource.text("server", e.Caller.Key)
		resource.text("server_id", e.Caller.ID)
	}
	properties := e.Resource.Properties
	if _, has := properties["arguments"]; has && e.Token != nil {
		rest := make(map[string]any, len(properties))
		for key, value := range properties {
			if key != "arguments" {
				rest[key] = value
			}
		}
		properties = rest
	}
	requested := requestContext(e.Context)
	if err := errors.Join(
		action.free("properties", e.Action.Properties),
		resource.free("properties", properties),
		requested.free("properties", e.Extra),
	); err != nil {
		return err
	}
	o.nested("action", action)
	o.nested("resource", resource)
	o.nested("context", requested)
	return nil
}

func tokenOf(t *oauth.TokenInfo) object {
	var o object
	o.text("id", t.ID)
	o.list("scopes", t.Scopes)
	o.time("issued_at", t.IssuedAt)
	o.time("expires_at", t.ExpiresAt)
	o.text("grant_type", t.GrantType)
	o.authn(t.Authn)
	return o
}

func (o *object) authn(a oauth.Authentication) {
	o.time("auth_time", a.Time)
	o.text("acr", a.ACR)
	o.listIfAny("amr", a.AMR)
}

func toolOf(e oauth.Evaluation) (object, error) {
	var o object
	o.text("name", e.Tool.Name)
	o.text("title", e.Tool.Title)
	args := e.Args
	if args == nil {
		args = map[string]any{}
	}
	if err := o.free("arguments", args); err != nil {
		return nil, err
	}
	var hints object
	a := e.Tool.Annotations
	hints.bool("readOnlyHint", a.ReadOnly())
	hints.bool("destructiveHint", a.Destructive())
	hints.bool("idempotentHint", a.Idempotent())
	hints.bool("openWorldHint", a.OpenWorld())
	o.nested("annotations", hints)
	o.list("scopes", e.Tool.Scopes)
	o.bool("schema_checked", e.Checked)
	return o, nil
}

func callOf(c oauth.MCPCall) object {
	var o object
	o.text("method", c.Method)
	o.text("protocol_version", c.ProtocolVersion)
	o.text("session_id", c.SessionID)
	o.text("uri", c.URI)
	o.text("prompt", c.Prompt)
	o.text("task_id", c.TaskID)
	return o
}

// accessInput is schemas/access.json.
func accessInput(e oauth.Evaluation) (ast.Value, error) {
	o := versioned(e.ID)
	var subject object
	subject.text("type", e.Claimed.Type)
	subject.text("id", e.Claimed.ID)
	if err := subject.free("properties", e.Claimed.Properties); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	o.nested("subject", subject)
	if err := o.authzen(e); err != nil {
		return nil, err
	}
	return o.value(), nil
}

// scopeGrantInput is schemas/scope_grant.json.
func scopeGrantInput(r oauth.ScopeRequest) ast.Value {
	o := versioned(r.ID)
	o.text("stage", string(r.Stage))
	o.text("grant_type", r.GrantType)
	o.nested("subject", subjectOf(r.Subject))
	o.actors(r.Actors)
	if r.Client != nil {
		client := clientOf(r.Client)
		client.list("redirect_uris", r.Client.RedirectURIs)
		client.list("auth_methods", r.Client.AuthMethods)
		o.nested("client", client)
	}
	if r.Resource != nil {
		var resource object
		resource.text("type", "mcp_server")
		resource.text("id", r.Resource.ID)
		resource.text("server", r.Resource.Key)
		resource.text("server_id", r.Resource.ID)
		resource.text("name", r.Resource.Name)
		o.nested("resource", resource)
	}
	var requested, prior, authn object
	requested.list("scopes", r.Requested)
	requested.bool("offline", r.Offline)
	requested.listIfAny("acr_values", r.RequestedACR)
	if r.MaxAge > 0 {
		requested.number("max_age", int64(r.MaxAge/time.Second))
	}
	prior.list("granted_scopes", r.Granted)
	prior.list("consented_scopes", r.Consented)
	authn.authn(r.Authn)
	o.nested("requested", requested)
	o.nested("prior", prior)
	o.nested("authn", authn)
	o.nested("context", requestContext(r.Context))
	return o.value()
}

// clientAdmissionInput is schemas/client_admission.json. Before the fetch of a metadata document the lists are
// not known, and so absent.
func clientAdmissionInput(r oauth.ClientRequest) ast.Value {
	o := versioned(r.ID)
	o.text("stage", string(r.Stage))
	client := clientOf(r.Client)
	if r.Stage != oauth.ClientStageURL {
		client.list("redirect_uris", r.Client.RedirectURIs)
		client.list("auth_methods", r.Client.AuthMethods)
		client.list("grant_types", r.Client.GrantTypes)
		client.list("scopes", r.Client.Scope)
		client.text("client_uri", r.Client.ClientURI)
		client.text("software_id", r.Client.SoftwareID)
	}
	o.nested("client", client)
	o.nested("context", requestContext(r.Context))
	return o.value()
}
