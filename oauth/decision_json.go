package oauth

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// AppendJSON writes the answer byte for byte as encoding/json does without its escapes for HTML, in a fraction of the time.
func (r *EvaluationResponse) AppendJSON(out []byte) ([]byte, error) {
	out = append(out, `{"decision":`...)
	out = strconv.AppendBool(out, r.Decision)
	out = append(out, `,"context":`...)
	out, err := r.Context.appendJSON(out)
	return append(out, '}'), err
}

func (c *EvaluationContext) appendJSON(out []byte) ([]byte, error) {
	o := jsonObject{out: append(out, '{')}
	o.text("evaluation_id", c.EvaluationID)
	o.member("evaluated_at")
	o.out = append(o.out, '"')
	o.out = c.EvaluatedAt.AppendFormat(o.out, time.RFC3339Nano)
	o.out = append(o.out, '"')
	o.text("reason", c.Reason)
	o.textIfAny("reason_user", c.ReasonUser)
	o.listIfAny("required_scopes", c.RequiredScopes)
	o.listIfAny("missing_scopes", c.MissingScopes)
	o.textIfAny("acr_values", c.ACRValues)
	o.numberIfAny("max_age", c.MaxAge)
	if len(c.Obligations) > 0 {
		o.any("obligations", c.Obligations)
	}
	o.numberIfAny("ttl_seconds", c.TTLSeconds)
	o.textIfAny("policy_revision", c.PolicyRevision)
	o.listIfAny("rules", c.Rules)
	if len(c.WouldFlip) > 0 {
		o.any("would_flip", c.WouldFlip)
	}
	o.textIfAny("subject", c.Subject)
	o.textIfAny("scope", c.Scope)
	if c.Tools != nil {
		o.list("tools", c.Tools)
	}
	if c.Challenge != nil {
		o.any("challenge", c.Challenge)
	}
	return append(o.out, '}'), o.err
}

// jsonObject is a JSON object that grows. Names need no escapes.
type jsonObject struct {
	out []byte
	err error
}

func (o *jsonObject) member(name string) {
	if o.out[len(o.out)-1] != '{' {
		o.out = append(o.out, ',')
	}
	o.out = append(o.out, '"')
	o.out = append(o.out, name...)
	o.out = append(o.out, '"', ':')
}

func (o *jsonObject) text(name, value string) {
	o.member(name)
	o.out = AppendJSONText(o.out, value, false)
}

func (o *jsonObject) textIfAny(name, value string) {
	if value != "" {
		o.text(name, value)
	}
}

func (o *jsonObject) numberIfAny(name string, value int64) {
	if value != 0 {
		o.member(name)
		o.out = strconv.AppendInt(o.out, value, 10)
	}
}

func (o *jsonObject) listIfAny(name string, values []string) {
	if len(values) > 0 {
		o.list(name, values)
	}
}

func (o *jsonObject) list(name string, values []string) {
	o.member(name)
	o.out = append(o.out, '[')
	for i, value := range values {
		if i > 0 {
			o.out = append(o.out, ',')
		}
		o.out = AppendJSONText(o.out, value, false)
	}
	o.out = append(o.out, ']')
}

// any is for what is rare.
func (o *jsonObject) any(name string, value any) {
	o.member(name)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		o.err = err
		return
	}
	o.out = append(o.out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
