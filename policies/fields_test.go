package policies

import (
	"fmt"
	"slices"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// TestRequiredFieldsAreAlwaysThere: also in the barest question that a server asks, or warnings about absent values would lie.
func TestRequiredFieldsAreAlwaysThere(t *testing.T) {
	files, err := shippedFiles(true)
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := schemaDocuments(files)
	if err != nil {
		t.Fatal(err)
	}
	bare := call("transfer", nil)
	now := bare.Context.Time
	bare.Client = &oauth.Client{ID: "c", Registration: oauth.RegistrationStatic}
	bare.Subject = oauth.Subject{Kind: oauth.SubjectService, ID: "c"}
	bare.Token = &oauth.TokenInfo{ID: "jti", IssuedAt: now, ExpiresAt: now}
	bare.Context = oauth.RequestContext{Time: now}
	listing := bare
	listing.Tool, listing.Args, listing.MCP = nil, nil, oauth.MCPCall{Method: "tools/list"}
	grant := oauth.ScopeRequest{ID: "d", Stage: oauth.StageRefresh, GrantType: "refresh_token", Subject: bare.Subject, Client: bare.Client, Resource: bare.Caller, Context: bare.Context}
	admission := oauth.ClientRequest{ID: "d", Stage: oauth.ClientStageURL, Client: bare.Client, Context: bare.Context}
	w := newWords()
	for _, tc := range []struct {
		name, schema string
		document     ast.Value
	}{
		{"a call", "tool_call", documentOf(t, w, func(o *object) error { return o.toolCall(bare) })},
		{"a list", "tool_call", documentOf(t, w, func(o *object) error { return o.toolCall(listing) })},
		{"an evaluation", "access", documentOf(t, w, func(o *object) error { return o.access(bare) })},
		{"a grant", "scope_grant", documentOf(t, w, func(o *object) error { o.scopeGrant(grant); return nil })},
		{"a client", "client_admission", documentOf(t, w, func(o *object) error { o.clientAdmission(admission); return nil })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plain, err := ast.JSON(tc.document)
			if err != nil {
				t.Fatal(err)
			}
			if n := demand(t, "input", schemas[tc.schema].(map[string]any), plain); n < 8 {
				t.Errorf("only %d fields are required", n)
			}
		})
	}
}

// demand counts the required fields and reports those that a value lacks.
func demand(t *testing.T, at string, schema map[string]any, value any) int {
	object, ok := value.(map[string]any)
	if !ok {
		return 0
	}
	required, _ := schema["required"].([]any)
	for _, key := range required {
		if _, there := object[key.(string)]; !there {
			t.Errorf("%s.%s is required and absent", at, key)
		}
	}
	n := len(required)
	properties, _ := schema["properties"].(map[string]any)
	for key, child := range properties {
		if member, there := object[key]; there {
			n += demand(t, at+"."+key, child.(map[string]any), member)
		}
	}
	return n
}

// TestEnumsAreTheWordsOfTheProtocol: a word that is missing from a schema would make a right policy an error.
func TestEnumsAreTheWordsOfTheProtocol(t *testing.T) {
	files, err := shippedFiles(true)
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := schemaDocuments(files)
	if err != nil {
		t.Fatal(err)
	}
	registrations := []any{oauth.RegistrationStatic, oauth.RegistrationDCR, oauth.RegistrationCIMD}
	subjects := []any{oauth.SubjectUser, oauth.SubjectService}
	grants := []any{oauth.StageAuthorize, oauth.StageToken, oauth.StageRefresh, oauth.StageProbe}
	clients := []any{oauth.ClientStageRegister, oauth.ClientStageURL, oauth.ClientStageDocument}
	for _, tc := range []struct {
		schema string
		path   inputPath
		want   []any
	}{
		{"tool_call", inputPath{"client", "registration"}, registrations},
		{"scope_grant", inputPath{"client", "registration"}, registrations},
		{"client_admission", inputPath{"client", "registration"}, registrations},
		{"tool_call", inputPath{"subject", "type"}, subjects},
		{"scope_grant", inputPath{"subject", "type"}, subjects},
		{"scope_grant", inputPath{"stage"}, grants},
		{"client_admission", inputPath{"stage"}, clients},
		{anyInput, inputPath{"stage"}, append(slices.Clone(clients), grants...)},
		{anyInput, inputPath{"subject", "type"}, nil}, // a plain evaluation may say anything
	} {
		got, _ := fieldAt(schemas[tc.schema].(map[string]any), tc.path).schema["enum"].([]any)
		if fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s %s: got %v, want %v", tc.schema, tc.path, got, tc.want)
		}
	}
}
