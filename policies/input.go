package policies

import (
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// inputVersion is the version of the forms in schemas/.
const inputVersion = "1"

// requestContext is the part that all inputs share.
func (o *object) requestContext(c oauth.RequestContext) object {
	child := o.child("context", 6)
	if !c.Time.IsZero() {
		if child.needs("time") {
			child.text("time", c.Time.UTC().Format(time.RFC3339))
		}
		child.number("unix_time", c.Time.Unix())
	}
	child.text("ip", c.IP)
	child.text("user_agent", c.UserAgent)
	child.text("request_id", c.RequestID)
	return child
}

func (o *object) subject(s oauth.Subject) object {
	child := o.child("subject", 5)
	child.text("type", string(s.Kind))
	child.text("id", s.ID)
	child.text("username", s.Username)
	child.list("groups", s.Groups)
	return child
}

func (o *object) actors(actors []oauth.Actor) {
	if len(actors) == 0 {
		return
	}
	first := o.child("actor", 2)
	first.actor(actors[0])
	o.close(first)
	switch {
	case o.page != nil:
		o.pageActors(actors)
		return
	case o.sieve != nil:
		o.siftActors(actors)
		return
	}
	if o.skips("actors") {
		return
	}
	terms := make([]*ast.Term, len(actors))
	for i, a := range actors {
		actor := o.words.object(2)
		actor.actor(a)
		terms[i] = actor.term()
	}
	o.set("actors", ast.ArrayTerm(terms...))
}

func (o *object) actor(a oauth.Actor) {
	o.text("type", a.Type)
	o.text("id", a.ID)
}

// client is the part of a client that every input shows.
func (o *object) client(c *oauth.Client) object {
	child := o.child("client", 12)
	child.text("id", c.ID)
	child.text("registration", string(c.Registration))
	if child.needs("host") {
		child.text("host", c.Host())
	}
	child.text("name", c.Name)
	child.bool("trusted", c.Trusted())
	return child
}

// toolCall is schemas/tool_call.json.
func (o *object) toolCall(e oauth.Evaluation) error {
	o.text("version", inputVersion)
	o.text("id", e.ID)
	subject := o.subject(e.Subject)
	if err := subject.free("properties", e.Claimed.Properties); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	o.close(subject)
	o.actors(e.Actors)
	if e.Client != nil {
		o.close(o.client(e.Client))
	}
	o.token(e.Token)
	if err := o.authzen(e); err != nil {
		return err
	}
	if e.Tool != nil {
		if err := o.tool(e); err != nil {
			return err
		}
	}
	o.call(e.MCP)
	return nil
}

// authzen adds action, resource and context as the asking server wrote them. server is the verified caller. The
// arguments of a tool call are left out here, so that input.tool.arguments is the only place for them.
func (o *object) authzen(e oauth.Evaluation) error {
	action := o.child("action", 2)
	action.text("name", e.Action.Name)
	if err := action.free("properties", e.Action.Properties); err != nil {
		return fmt.Errorf("action: %w", err)
	}
	o.close(action)

	resource := o.child("resource", 5)
	resource.text("type", e.Resource.Type)
	resource.text("id", e.Resource.ID)
	if e.Caller != nil {
		resource.text("server", e.Caller.Key)
		resource.text("server_id", e.Caller.ID)
	}
	if err := resource.free("properties", resourceProperties(e)); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	o.close(resource)

	requested := o.requestContext(e.Context)
	if err := requested.free("properties", e.Extra); err != nil {
		return fmt.Errorf("context: %w", err)
	}
	o.close(requested)
	return nil
}

func resourceProperties(e oauth.Evaluation) map[string]any {
	properties := e.Resource.Properties
	if _, has := properties["arguments"]; !has || e.Token == nil {
		return properties
	}
	rest := make(map[string]any, len(properties))
	for key, value := range properties {
		if key != "arguments" {
			rest[key] = value
		}
	}
	return rest
}

func (o *object) token(t *oauth.TokenInfo) {
	child := o.child("token", 8)
	child.text("id", t.ID)
	child.list("scopes", t.Scopes)
	child.time("issued_at", t.IssuedAt)
	child.time("expires_at", t.ExpiresAt)
	child.text("grant_type", t.GrantType)
	child.authn(t.Authn)
	o.close(child)
}

func (o *object) authn(a oauth.Authentication) {
	o.time("auth_time", a.Time)
	o.text("acr", a.ACR)
	o.listIfAny("amr", a.AMR)
}

func (o *object) tool(e oauth.Evaluation) error {
	child := o.child("tool", 6)
	child.text("name", e.Tool.Name)
	child.text("title", e.Tool.Title)
	args := e.Args
	if args == nil {
		args = map[string]any{}
	}
	if err := child.free("arguments", args); err != nil {
		return fmt.Errorf("tool: %w", err)
	}
	a := e.Tool.Annotations
	child.annotations([4]bool{a.ReadOnly(), a.Destructive(), a.Idempotent(), a.OpenWorld()})
	child.list("scopes", e.Tool.Scopes)
	child.bool("schema_checked", e.Checked)
	o.close(child)
	return nil
}

func (o *object) annotations(h [4]bool) {
	switch {
	case o.skips("annotations"):
		return
	case o.sieve == nil && o.page == nil:
		o.set("annotations", o.words.hints[h])
		return
	}
	child := o.child("annotations", 4)
	child.hints(h)
	o.close(child)
}

func (o *object) call(c oauth.MCPCall) {
	child := o.child("mcp", 6)
	child.text("method", c.Method)
	child.text("protocol_version", c.ProtocolVersion)
	child.text("session_id", c.SessionID)
	child.text("uri", c.URI)
	child.text("prompt", c.Prompt)
	child.text("task_id", c.TaskID)
	o.close(child)
}

// access is schemas/access.json.
func (o *object) access(e oauth.Evaluation) error {
	o.text("version", inputVersion)
	o.text("id", e.ID)
	subject := o.child("subject", 3)
	subject.text("type", e.Claimed.Type)
	subject.text("id", e.Claimed.ID)
	if err := subject.free("properties", e.Claimed.Properties); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	o.close(subject)
	return o.authzen(e)
}

// scopeGrant is schemas/scope_grant.json.
func (o *object) scopeGrant(r oauth.ScopeRequest) {
	o.text("version", inputVersion)
	o.text("id", r.ID)
	o.text("stage", string(r.Stage))
	o.text("grant_type", r.GrantType)
	o.close(o.subject(r.Subject))
	o.actors(r.Actors)
	if r.Client != nil {
		client := o.client(r.Client)
		client.list("redirect_uris", r.Client.RedirectURIs)
		client.list("auth_methods", r.Client.AuthMethods)
		o.close(client)
	}
	if r.Resource != nil {
		resource := o.child("resource", 5)
		resource.text("type", "mcp_server")
		resource.text("id", r.Resource.ID)
		resource.text("server", r.Resource.Key)
		resource.text("server_id", r.Resource.ID)
		resource.text("name", r.Resource.Name)
		o.close(resource)
	}
	o.grantHistory(r)
	o.close(o.requestContext(r.Context))
}

// grantHistory is what was asked for, what there was before, and how the person logged in.
func (o *object) grantHistory(r oauth.ScopeRequest) {
	requested := o.child("requested", 4)
	requested.list("scopes", r.Requested)
	requested.bool("offline", r.Offline)
	requested.listIfAny("acr_values", r.RequestedACR)
	if r.MaxAge > 0 {
		requested.number("max_age", int64(r.MaxAge/time.Second))
	}
	o.close(requested)
	prior := o.child("prior", 2)
	prior.list("granted_scopes", r.Granted)
	prior.list("consented_scopes", r.Consented)
	o.close(prior)
	authn := o.child("authn", 3)
	authn.authn(r.Authn)
	o.close(authn)
}

// clientAdmission is schemas/client_admission.json. Before the fetch of a metadata document the lists are
// not known, and so absent.
func (o *object) clientAdmission(r oauth.ClientRequest) {
	o.text("version", inputVersion)
	o.text("id", r.ID)
	o.text("stage", string(r.Stage))
	client := o.client(r.Client)
	if r.Stage != oauth.ClientStageURL {
		client.list("redirect_uris", r.Client.RedirectURIs)
		client.list("auth_methods", r.Client.AuthMethods)
		client.list("grant_types", r.Client.GrantTypes)
		client.list("scopes", r.Client.Scope)
		client.text("client_uri", r.Client.ClientURI)
		client.text("software_id", r.Client.SoftwareID)
	}
	o.close(client)
	o.close(o.requestContext(r.Context))
}
