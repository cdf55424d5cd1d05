package policies

import (
	"encoding/json"
	"strconv"

	"portcullis/oauth"
)

// appendHead writes the record without its input, byte for byte as encoding/json does, and without reflection but for what is rare.
func (r *record) appendHead(out []byte) ([]byte, error) {
	h := head{out: append(out, `{"v":`...)}
	h.out = strconv.AppendInt(h.out, int64(r.Version), 10)
	h.text("kind", string(r.Kind))
	h.text("id", r.ID)
	h.name("at")
	h.out = strconv.AppendInt(h.out, r.At, 10)
	h.text("revision", r.Revision)
	h.text("catalogue", r.Catalogue)
	h.text("mode", string(r.Mode))
	h.textIfAny("withheld", r.Withheld)
	h.textsIfAny("removed", r.Removed)
	h.textsIfAny("replaced", r.Replaced)
	if len(r.ND) > 0 {
		h.any("nd", r.ND)
	}
	h.name("result")
	h.outcome(&r.Result)
	h.fired(r.Fired)
	if len(r.Tried) > 0 {
		h.any("log_only", r.Tried)
	}
	return append(h.out, '}'), h.err
}

// head is a JSON object that grows. Names need no escapes.
type head struct {
	out []byte
	err error
}

func (h *head) name(name string) {
	if h.out[len(h.out)-1] != '{' {
		h.out = append(h.out, ',')
	}
	h.out = append(h.out, '"')
	h.out = append(h.out, name...)
	h.out = append(h.out, '"', ':')
}

func (h *head) text(name, value string) {
	h.name(name)
	h.out = oauth.AppendJSONText(h.out, value, true)
}

func (h *head) textIfAny(name, value string) {
	if value != "" {
		h.text(name, value)
	}
}

func (h *head) textsIfAny(name string, values []string) {
	if len(values) == 0 {
		return
	}
	h.name(name)
	for i, v := range values {
		h.element(i)
		h.out = oauth.AppendJSONText(h.out, v, true)
	}
	h.out = append(h.out, ']')
}

// element begins the element i of a list.
func (h *head) element(i int) {
	if i == 0 {
		h.out = append(h.out, '[')
		return
	}
	h.out = append(h.out, ',')
}

// any is for what is rare.
func (h *head) any(name string, value any) {
	h.name(name)
	text, err := json.Marshal(value)
	if err != nil {
		h.err = err
	}
	h.out = append(h.out, text...)
}

func (h *head) outcome(o *outcome) {
	h.out = append(h.out, `{"allow":`...)
	h.out = strconv.AppendBool(h.out, o.Allow)
	for i, r := range o.Reasons {
		if i == 0 {
			h.name("reasons")
		}
		h.element(i)
		h.out = append(h.out, '{')
		h.text("code", r.Code)
		h.textIfAny("policy", r.Policy)
		h.end(i, len(o.Reasons))
	}
	h.textsIfAny("required_scopes", o.Required)
	h.textsIfAny("missing_scopes", o.Missing)
	if len(o.Authn) > 0 {
		h.any("require_authn", o.Authn)
	}
	h.textsIfAny("granted_scopes", o.Granted)
	if len(o.Denied) > 0 {
		h.any("denied_scopes", o.Denied)
	}
	h.textsIfAny("require_consent", o.Consent)
	h.out = append(h.out, '}')
}

// end ends the object that is element i of a list of n, and the list with the last one.
func (h *head) end(i, n int) {
	if h.out = append(h.out, '}'); i == n-1 {
		h.out = append(h.out, ']')
	}
}

func (h *head) fired(rules []firedRule) {
	for i, f := range rules {
		if i == 0 {
			h.name("fired")
		}
		h.element(i)
		h.out = append(h.out, '{')
		h.text("export", f.Export)
		h.text("package", f.Package)
		h.text("rule", f.Rule)
		h.text("file", f.File)
		h.name("line")
		h.out = strconv.AppendInt(h.out, int64(f.Line), 10)
		h.end(i, len(rules))
	}
}
