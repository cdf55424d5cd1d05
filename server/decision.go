package server

import (
	"context"
	"time"

	"portcullis/oauth"
)

// evaluate is the AuthZEN access evaluation endpoint. A denial is an answer with status 200.
func (f *face) evaluate(ctx context.Context, authorization string, r oauth.EvaluationRequest) (*oauth.EvaluationResponse, error) {
	start := time.Now()
	answer, err := f.endpoints.Decision.Evaluate(ctx, authorization, r)
	switch {
	case err != nil:
		f.metrics.decision("error", oauth.AsError(err).Code.Name, time.Since(start))
	case answer.Decision:
		f.metrics.decision(oauth.OutcomeAllowed, answer.Context.Reason, time.Since(start))
	default:
		f.metrics.decision(oauth.OutcomeDenied, answer.Context.Reason, time.Since(start))
	}
	return answer, err
}
