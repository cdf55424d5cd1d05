package policies

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"portcullis/oauth"
)

// RecordMode says whether decisions are recorded, and what the records hold of values that came from a caller.
type RecordMode string

// The modes of recording.
const (
	RecordOff    RecordMode = "off"
	RecordMasked RecordMode = "masked" // types and keyed digests instead of arguments and properties
	RecordValues RecordMode = "values" // arguments and properties as they were
)

const (
	recordVersion = 1
	usualRecord   = 8 << 10   // bytes of a record; most need no more
	maxRecorded   = 128 << 10 // bytes of an input; a larger one is withheld
)

// record is the document of a decision: everything that explain and replay know of it. The input is written by
// page.
type record struct {
	Version   int               `json:"v"`
	Kind      kind              `json:"kind"`
	ID        string            `json:"id"`
	At        int64             `json:"at"` // Unix time in ns: the clock that the policies saw
	Revision  string            `json:"revision"`
	Catalogue string            `json:"catalogue"` // digest of data.servers
	Mode      RecordMode        `json:"mode"`
	Input     json.RawMessage   `json:"input,omitempty"`
	Withheld  string            `json:"withheld,omitempty"` // why there is no input
	Removed   []string          `json:"removed,omitempty"`  // paths that data.system.log.mask removed
	Replaced  []string          `json:"replaced,omitempty"` // and those that it replaced
	ND        builtins.NDBCache `json:"nd,omitempty"`       // results of non-deterministic built-ins
	Result    outcome           `json:"result"`
	Fired     []firedRule       `json:"fired,omitempty"`
	Tried     []keptTrial       `json:"log_only,omitempty"` // flips and failures
}

// keptTrial is what a package in mode log_only would have made of the answer.
type keptTrial struct {
	Package string       `json:"package"`
	Flips   bool         `json:"flips"`
	Allow   bool         `json:"allow"`
	Granted oauth.Scopes `json:"granted_scopes,omitempty"`
	Error   string       `json:"error,omitempty"` // it failed
	Fired   []firedRule  `json:"fired,omitempty"` // of this package
}

// firedRule is an exported rule that fired, and where it stands at the revision.
type firedRule struct {
	Export  string `json:"export"`
	Package string `json:"package"`
	Rule    string `json:"rule"` // its label
	File    string `json:"file"`
	Line    int    `json:"line"`
}

// outcome is the result of a decision in short. It holds no text that a policy has written: that may quote values.
type outcome struct {
	Allow    bool             `json:"allow"`
	Reasons  []outcomeReason  `json:"reasons,omitempty"`
	Required oauth.Scopes     `json:"required_scopes,omitempty"`
	Missing  oauth.Scopes     `json:"missing_scopes,omitempty"`
	Authn    []outcomeAuthn   `json:"require_authn,omitempty"` // unmet
	Granted  oauth.Scopes     `json:"granted_scopes,omitempty"`
	Denied   []outcomeRefusal `json:"denied_scopes,omitempty"`
	Consent  oauth.Scopes     `json:"require_consent,omitempty"`
}

type outcomeReason struct {
	Code   string `json:"code"`
	Policy string `json:"policy,omitempty"` // the package, or for policy_error what went wrong
}

type outcomeAuthn struct {
	ACRValues []string `json:"acr_values,omitempty"`
	MaxAge    int64    `json:"max_age,omitempty"` // seconds
}

type outcomeRefusal struct {
	Scope string `json:"scope"`
	Code  string `json:"code"`
}

func outcomeReasons(reasons []oauth.Reason) []outcomeReason {
	var list []outcomeReason
	for _, r := range reasons {
		list = append(list, outcomeReason{Code: r.Code, Policy: r.Policy})
	}
	return list
}

func outcomeLogins(requirements []oauth.AuthnRequirement) []outcomeAuthn {
	var list []outcomeAuthn
	for _, q := range requirements {
		list = append(list, outcomeAuthn{ACRValues: q.ACRValues, MaxAge: int64(q.MaxAge / time.Second)})
	}
	return list
}

func callOutcome(d oauth.Decision) outcome {
	return outcome{Allow: d.Allow, Reasons: outcomeReasons(d.Reasons), Required: d.RequiredScopes, Missing: d.MissingScopes, Authn: outcomeLogins(d.RequireAuthn)}
}

// grantOutcome keeps of the login requirements those that the login does not meet.
func grantOutcome(d oauth.ScopeDecision, r oauth.ScopeRequest) outcome {
	o := outcome{Allow: d.Allow, Reasons: outcomeReasons(d.Reasons), Granted: d.Granted, Consent: d.RequireConsent}
	now := at(r.Context)
	o.Authn = outcomeLogins(slices.DeleteFunc(slices.Clone(d.RequireAuthn), func(q oauth.AuthnRequirement) bool { return q.Met(r.Authn, now) }))
	for _, refused := range d.Denied {
		o.Denied = append(o.Denied, outcomeRefusal{Scope: refused.Scope, Code: refused.Code})
	}
	return o
}

// recorder makes the records of one engine.
type recorder struct {
	mode    RecordMode
	digests *digests // nil = off
}

func newRecorder(c Config) (recorder, error) {
	switch c.Record {
	case "", RecordOff:
		return recorder{}, nil
	case RecordMasked, RecordValues:
		if len(c.RecordKey) < sha256.Size {
			return recorder{}, fmt.Errorf("policies: records of decisions need a key of %d bytes", sha256.Size)
		}
		return recorder{c.Record, newDigests(c.RecordKey)}, nil
	}
	return recorder{}, fmt.Errorf("policies: there is no way of recording named %q", c.Record)
}

// keep makes the record of a decision, or none when recording is off. write makes the input, if it can be made. A mask that
// fails loses a part of the record, never the decision.
func (e *Engine) keep(g *generation, k kind, id string, at time.Time, write func(*object) error, answer result, o outcome) *oauth.DecisionRecord {
	if e.records.digests == nil {
		return nil
	}
	r := record{Version: recordVersion, Kind: k, ID: id, At: at.UnixNano(), Revision: g.revision, Catalogue: g.catalogue, Mode: e.records.mode,
		ND: answer.nd, Result: o, Fired: answer.fired, Tried: answer.kept}
	document, err := r.document(write, e.masksFor(g, k, id, write), e.records.digests)
	if err != nil {
		e.log.Error("decision not recorded", slog.String("decision", id), slog.Any("error", err))
		return nil
	}
	return &oauth.DecisionRecord{ID: id, Time: at, Kind: string(k), Revision: g.revision, Document: document}
}

// withheldRequest is why there is no input when the policies were not asked at all.
const withheldRequest = "the request could not be turned into an input"

// document writes the record with its input. A nil tree withholds the input.
func (r *record) document(write func(*object) error, masks *maskNode, d *digests) ([]byte, error) {
	room := d.rooms.Get().(*[]byte)
	defer d.rooms.Put(room)
	p := page{out: (*room)[:0], digests: d}
	switch {
	case masks == nil:
		r.Withheld, r.ND = "data.system.log.mask could not be evaluated", nil
	case masks.removed, masks.replaced:
		r.Withheld = "data.system.log.mask keeps the whole input back"
	default:
		o := p.document(masks)
		switch err := write(&o); {
		case err != nil:
			p.removed, p.replaced, r.Withheld = nil, nil, withheldRequest
		case len(p.out) > maxRecorded:
			p.removed, p.replaced, r.Withheld = nil, nil, "the input is larger than "+strconv.Itoa(maxRecorded)+" bytes"
		default:
			p.out = append(p.out, '}')
		}
	}
	r.Removed, r.Replaced = p.removed, p.replaced
	input := len(p.out)
	out, err := r.appendHead(p.out)
	if err != nil {
		return nil, err
	}
	if cap(out) <= 4*usualRecord {
		*room = out
	}
	head := out[input:]
	if r.Withheld != "" {
		return slices.Clone(head), nil
	}
	const begin, end = `,"input":`, "}"
	document := make([]byte, 0, len(out)+len(begin))
	document = append(append(document, head[:len(head)-1]...), begin...)
	return append(append(document, out[:input]...), end...), nil
}
