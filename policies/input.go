package policies

import (
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// inputVersion is the version of the forms in schemas/.
const inputVersion = "1"

// requestContext is the part that all inputs share.
func (w *words) requestContext(c oauth.RequestContext) object {
	o := w.object(6)
	if !c.Time.IsZero() {
		o.text("time", c.Time.UTC().Format(time.RFC3339))
		o.number("unix_time", c.Time.Unix())
	}
	o.text("ip", c.IP)
	o.text("user_agent", c.UserAgent)
	o.text("request_id", c.RequestID)
	return o
}

func (w *words) subject(s oauth.Subject) object {
	o := w.object(5)
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
		actor := o.words.object(2)
		actor.text("type", a.Type)
		actor.text("id", a.ID)
		terms[i] = actor.term()
	}
	o.set("actor", terms[0])
	o.set("actors", ast.ArrayTerm(terms...))
}

// clientOf is the part of a client that every input shows.
func (w *words) client(c *oauth.Client) object {
	o := w.object(6)
	o.text("id", c.ID)
	o.text("registration", string(c.Registration))
	o.text("host", c.Host())
	o.text("name", c.Name)
	o.bool("trusted", c.Trusted())
	return o
}

func (w *words) document(id string) object {
	o := w.object(12)
	o.text("version", inputVersion)
	o.text("id", id)
	return o
}

// toolCallInput is schemas/tool_call.json.
func (w *words) toolCallInput(e oauth.Evaluation) (ast.Value, error) {
	o := w.document(e.ID)
	subject := w.subject(e.Subject)
	if err := subject.free("properties", e.Claimed.Properties); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	o.nested("subject", subject)
	o.actors(e.Actors)
	if e.Client != nil {
		o.nested("client", w.client(e.Client))
	}
	o.nested("token", w.token(e.Token))
	if err := o.authzen(e); err != nil {
		return nil, err
	}
	if e.Tool != nil {
		tool, err := w.tool(e)
		if err != nil {
			return nil, err
		}
		o.nested("tool", tool)
	}
	o.nested("mcp", w.call(e.MCP))
	return o.value(), nil
}

// authzen adds action, resource and context as the asking server wrote them. server is the verified caller. The
// arguments of a tool call are left out here, so that input.tool.arguments is the only place for them.
func (o *object) authzen(e oauth.Evaluation) error {
	w := o.words
	action, resource := w.object(2), w.object(5)
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
	requested := w.requestContext(e.Context)
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

func (w *words) token(t *oauth.TokenInfo) object {
	o := w.object(8)
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

func (w *words) tool(e oauth.Evaluation) (object, error) {
	o := w.object(6)
	o.text("name", e.Tool.Name)
	o.text("title", e.Tool.Title)
	args := e.Args
	if args == nil {
		args = map[string]any{}
	}
	if err := o.free("arguments", args); err != nil {
		return object{}, err
	}
	a := e.Tool.Annotations
	o.set("annotations", w.hints[[4]bool{a.ReadOnly(), a.Destructive(), a.Idempotent(), a.OpenWorld()}])
	o.list("scopes", e.Tool.Scopes)
	o.bool("schema_checked", e.Checked)
	return o, nil
}

func (w *words) call(c oauth.MCPCall) object {
	o := w.object(3)
	o.text("method", c.Method)
	o.text("protocol_version", c.ProtocolVersion)
	o.text("session_id", c.SessionID)
	o.text("uri", c.URI)
	o.text("prompt", c.Prompt)
	o.text("task_id", c.TaskID)
	return o
}

// accessInput is schemas/access.json.
func (w *words) accessInput(e oauth.Evaluation) (ast.Value, error) {
	o := w.document(e.ID)
	subject := w.object(3)
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
func (w *words) scopeGrantInput(r oauth.ScopeRequest) ast.Value {
	o := w.document(r.ID)
	o.text("stage", string(r.Stage))
	o.text("grant_type", r.GrantType)
	o.nested("subject", w.subject(r.Subject))
	o.actors(r.Actors)
	if r.Client != nil {
		client := w.client(r.Client)
		client.list("redirect_uris", r.Client.RedirectURIs)
		client.list("auth_methods", r.Client.AuthMethods)
		o.nested("client", client)
	}
	if r.Resource != nil {
		resource := w.object(5)
		resource.text("type", "mcp_server")
		resource.text("id", r.Resource.ID)
		resource.text("server", r.Resource.Key)
		resource.text("server_id", r.Resource.ID)
		resource.text("name", r.Resource.Name)
		o.nested("resource", resource)
	}
	requested, prior, authn := w.object(4), w.object(2), w.object(3)
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
	o.nested("context", w.requestContext(r.Context))
	return o.value()
}

// clientAdmissionInput is schemas/client_admission.json. Before the fetch of a metadata document the lists are
// not known, and so absent.
func (w *words) clientAdmissionInput(r oauth.ClientRequest) ast.Value {
	o := w.document(r.ID)
	o.text("stage", string(r.Stage))
	client := w.client(r.Client)
	if r.Stage != oauth.ClientStageURL {
		client.list("redirect_uris", r.Client.RedirectURIs)
		client.list("auth_methods", r.Client.AuthMethods)
		client.list("grant_types", r.Client.GrantTypes)
		client.list("scopes", r.Client.Scope)
		client.text("client_uri", r.Client.ClientURI)
		client.text("software_id", r.Client.SoftwareID)
	}
	o.nested("client", client)
	o.nested("context", w.requestContext(r.Context))
	return o.value()
}
