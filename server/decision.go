package server

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// callerFirst refuses strangers before their text is read: to decode one costs a thousand times as much as to compare a secret.
func (f *face) callerFirst(c *gin.Context) {
	start := time.Now()
	authorization, err := authorizationHeader(c.Request)
	if err == nil {
		err = f.endpoints.Decision.KnowsCaller(c.Request.Context(), authorization)
	}
	if err != nil {
		f.metrics.decision("error", oauth.AsError(err).Code.Name, time.Since(start))
		f.fail(c, err, challengeResource)
	}
}

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
