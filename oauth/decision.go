package oauth

import (
	"context"
	"time"
)

// Decider decides calls: verify token → catalogue → arguments → policy → record → answer.
type Decider struct{}

// EvaluationRequest is an AuthZEN Authorization API 1.0 access evaluation request.
type EvaluationRequest struct {
	Subject  *AuthZENSubject  `json:"subject"`
	Action   *AuthZENAction   `json:"action"`
	Resource *AuthZENResource `json:"resource"`
	Context  map[string]any   `json:"context,omitzero"`
}

// EvaluationResponse is the answer. A denial is an answer too.
type EvaluationResponse struct {
	Decision bool              `json:"decision"`
	Context  EvaluationContext `json:"context"`
}

// EvaluationContext says why, and what the asking server should do.
type EvaluationContext struct {
	EvaluationID   string       `json:"evaluation_id"`
	EvaluatedAt    time.Time    `json:"evaluated_at"`
	Reason         string       `json:"reason"`                // machine word, safe for the agent
	ReasonUser     string       `json:"reason_user,omitempty"` // for people
	RequiredScopes Scopes       `json:"required_scopes,omitempty"`
	MissingScopes  Scopes       `json:"missing_scopes,omitempty"`
	ACRValues      string       `json:"acr_values,omitempty"` // space-separated (RFC 9470 §3)
	MaxAge         int64        `json:"max_age,omitempty"`    // seconds
	Obligations    []Obligation `json:"obligations,omitempty"`
	TTLSeconds     int64        `json:"ttl_seconds,omitempty"`
	PolicyRevision string       `json:"policy_revision"`
	Rules          []string     `json:"rules,omitempty"`
	Subject        string       `json:"subject,omitempty"` // sub of the verified token
	Scope          string       `json:"scope,omitempty"`   // scopes of the verified token
	Challenge      *Challenge   `json:"challenge,omitempty"`
}

// Challenge is ready to be copied into the MCP server's own answer.
type Challenge struct {
	Status          int    `json:"status"`
	WWWAuthenticate string `json:"www_authenticate"`
}

// Evaluate decides one call for the resource that authenticates with the Authorization header.
func (d *Decider) Evaluate(ctx context.Context, authorization string, r EvaluationRequest) (*EvaluationResponse, error) {
	return nil, ServerError.Errorf("not built yet")
}
