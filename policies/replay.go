package policies

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"

	"portcullis/oauth"
)

// ReplayConfig says what recorded decisions are asked again of.
type ReplayConfig struct {
	Dir       string            // of the candidate; "" = only the shipped policies
	Defaults  bool              // the shipped defaults are part of it
	Catalogue []*oauth.Resource // of today
	RecordKey []byte            // of the digests in records, see Config
	Examples  int               // evaluation ids that each group of a report holds

	// Generation finds the policies of a revision, for the catalogue that decisions of then saw. It is oauth.ErrNotFound where they
	// are gone.
	Generation func(ctx context.Context, revision string) (*oauth.PolicyGeneration, error)
	Progress   func(done int64) // called now and then, by one goroutine at a time; nil = never
}

// Replay is a candidate that recorded decisions can be asked again of.
type Replay struct {
	config ReplayConfig
	source source
	today  *reenactment
	known  *knowledge

	mu   sync.Mutex
	then *lru.Cache[string, *reenactment] // the candidate with the catalogues of then, by digest; nil = that one is gone
}

// maxThen is how many catalogues of then are held at once. Records come in the order of time, so that few are in use together; one that
// comes again is made again.
const maxThen = 8

// NewReplay loads a candidate as a server would: with its tests. What the author can mend is a *LoadError.
func NewReplay(ctx context.Context, c ReplayConfig) (*Replay, error) {
	s, problems, err := readSource(c.Dir, c.Defaults, c.Catalogue)
	if err != nil {
		return nil, err
	}
	if _, err := load(ctx, s, problems, 0); err != nil {
		return nil, err
	}
	today, err := reenact(ctx, s)
	if err != nil {
		return nil, err
	}
	then, err := lru.New[string, *reenactment](maxThen)
	return &Replay{config: c, source: s, today: today, known: today.knowledge(c.RecordKey), then: then}, err
}

// Revision is the candidate's, with the catalogue of today.
func (p *Replay) Revision() string { return p.source.revision }

// replayChunk is how many records a worker takes at once.
const replayChunk = 64

// Run asks all records again. The order of the records makes no difference to the report, but for the choice of examples.
func (p *Replay) Run(ctx context.Context, records iter.Seq2[oauth.DecisionRecord, error]) (*ReplayReport, error) {
	t := newTally(p.config.Examples)
	chunks := make(chan []oauth.DecisionRecord)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		defer close(chunks)
		return deal(ctx, records, chunks)
	})
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() error {
			for chunk := range chunks {
				for i := range chunk {
					v, err := p.ask(ctx, &chunk[i])
					if err != nil {
						return err
					}
					t.add(v)
				}
				t.tell(p.config.Progress)
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	return t.report(p.source.revision), nil
}

// deal hands the records out in chunks.
func deal(ctx context.Context, records iter.Seq2[oauth.DecisionRecord, error], chunks chan<- []oauth.DecisionRecord) error {
	send := func(chunk []oauth.DecisionRecord) error {
		select {
		case chunks <- chunk:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var chunk []oauth.DecisionRecord
	for d, err := range records {
		if err != nil {
			return err
		}
		if chunk = append(chunk, d); len(chunk) == replayChunk {
			if err := send(chunk); err != nil {
				return err
			}
			chunk = nil
		}
	}
	if len(chunk) == 0 {
		return nil
	}
	return send(chunk)
}

// verdict is what became of one record.
type verdict struct {
	id, client, server, what string
	unknown                  string       // why nobody can say
	lost, gained             bool         // allowed → denied, denied → allowed; a grant can be both
	losing, gaining          string       // the rules that make the difference
	lostScopes, gainedScopes oauth.Scopes // of a grant
	elsewhere                bool         // it was asked with a catalogue that is not today's
}

// ask asks one record again. An error is a fault of the storage; what nobody can say is a verdict.
func (p *Replay) ask(ctx context.Context, d *oauth.DecisionRecord) (verdict, error) {
	v := verdict{id: d.ID}
	r, err := readRecord(d.Document)
	if err != nil {
		v.unknown = "the record cannot be read"
		return v, nil
	}
	v.describe(r)
	switch r.Withheld {
	case "":
	case withheldRequest: // no policies were asked, and none would be
		return v, nil
	default:
		v.unknown = "the input is not in the record: " + r.Withheld
		return v, nil
	}
	a, unknown, err := p.candidate(ctx, r)
	if err != nil || unknown != "" {
		v.unknown = unknown
		return v, err
	}
	v.elsewhere = a != p.today
	input, missing := p.known.fill(r, a.reads[r.Kind])
	if len(missing) > 0 {
		switch a.certainWithout(r, input, missing) {
		case uncertain:
			v.unknown = needs(missing)
			return v, nil
		case denied:
			v.lost, v.losing = r.Result.Allow, "denied, whatever the values are that the record keeps back"
			return v, nil
		}
	}
	now, fired, err := a.again(r, input)
	if err != nil {
		v.unknown = err.Error()
		return v, nil
	}
	v.compare(r, now, fired)
	return v, nil
}

// describe says what the decision was about.
func (v *verdict) describe(r *recorded) {
	v.client, v.server = r.text("client", "id"), r.text("resource", "server")
	switch r.Kind {
	case kindScopes:
		v.what = r.text("stage")
	case kindClients:
		v.what = "admission at " + r.text("stage")
	default:
		if v.what = r.text("tool", "name"); v.what == "" {
			v.what = strings.TrimSpace(r.text("action", "name") + " " + r.text("resource", "id"))
		}
	}
}

// candidate is the candidate with the catalogue that the decision saw: a flip must come from the policies.
func (p *Replay) candidate(ctx context.Context, r *recorded) (a *reenactment, unknown string, err error) {
	reads := p.today.reads[r.Kind]
	for _, name := range reads.calls {
		if !slices.Contains(repeatable(), name) {
			return nil, "the candidate calls " + name + ", whose answer of then is not recorded", nil
		}
	}
	if !reads.servers || r.Catalogue == p.source.catalogue {
		return p.today, "", nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a, tried := p.then.Get(r.Catalogue)
	if !tried {
		if a, err = p.withCatalogueOf(ctx, r); err != nil {
			return nil, "", err
		}
		p.then.Add(r.Catalogue, a)
	}
	if a == nil {
		return nil, "the catalogue of then is not kept any more, and the candidate reads data.servers", nil
	}
	return a, "", nil
}

// repeatable are the changing built-ins that answer the same again: they are recorded, or follow from operands and clock.
func repeatable() []string { return append(recordedBuiltins(), "io.jwt.decode_verify") }

// withCatalogueOf is the candidate with the catalogue of a record, or nil if that is gone.
func (p *Replay) withCatalogueOf(ctx context.Context, r *recorded) (*reenactment, error) {
	g, err := p.config.Generation(ctx, r.Revision)
	switch {
	case errors.Is(err, oauth.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	old, err := openStored(r.Revision, g.Document)
	if err != nil || old.catalogue != r.Catalogue {
		return nil, nil // as good as gone
	}
	s := p.source
	s.servers, s.served, s.resources = old.servers, old.served, nil // without the tools of today nothing is typed by them
	s.name()
	a, err := reenact(ctx, s)
	if IsLoadError(err) {
		return nil, nil // the candidate does not fit the catalogue of then
	}
	return a, err
}

func needs(missing []hiddenPlace) string {
	names := make([]string, len(missing))
	for i, h := range missing {
		names[i] = h.path.String() + " (" + h.why + ")"
	}
	return "the candidate can read what the record keeps back: " + strings.Join(names, ", ")
}

// compare finds out whether the answer flips, and by which rules.
func (v *verdict) compare(r *recorded, now outcome, fired fired) {
	if r.Kind != kindScopes {
		v.lost, v.gained = r.Result.Allow && !now.Allow, !r.Result.Allow && now.Allow
	} else {
		before, after := r.effective(r.Result), r.effective(now)
		v.lostScopes, v.gainedScopes = without(before, after), without(after, before)
		v.lost, v.gained = len(v.lostScopes) > 0, len(v.gainedScopes) > 0
	}
	if v.lost {
		v.losing = against(r, now, fired, v.lostScopes)
	}
	if v.gained {
		v.gaining = against(r, r.Result, r.Fired, v.gainedScopes)
	}
}

// without are the scopes of a that are not in b, by name.
func without(a, b oauth.Scopes) oauth.Scopes {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// against names the rules that deny, or withhold these scopes.
func against(r *recorded, o outcome, f fired, scopes oauth.Scopes) string {
	var exports, words []string
	switch {
	case len(o.Reasons) > 0 && o.Reasons[0].Code == codePolicyError:
		words = append(words, codePolicyError+": "+o.Reasons[0].Policy)
	case len(o.Reasons) > 0 && !slices.ContainsFunc(f, func(x firedRule) bool { return x.Export == "deny" || x.Export == "end_grant" }):
		words = append(words, "no package allows it")
	case len(o.Reasons) > 0:
		exports = append(exports, "deny", "end_grant")
	case r.Kind == kindScopes:
		exports, words = againstScopes(r, o, scopes)
	case len(o.Missing) > 0:
		exports = append(exports, "required_scopes")
	default:
		exports = append(exports, "require_authn")
	}
	for _, x := range f {
		if slices.Contains(exports, x.Export) {
			words = append(words, fmt.Sprintf("%s (%s:%d)", x.Rule, x.File, x.Line))
		}
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ", ")
}

func againstScopes(r *recorded, o outcome, scopes oauth.Scopes) (exports, words []string) {
	if !r.interactive() && len(o.Authn) > 0 {
		return []string{"require_authn"}, nil
	}
	unasked := r.unasked(o)
	for _, s := range scopes {
		i := slices.IndexFunc(o.Denied, func(d outcomeRefusal) bool { return d.Scope == s && d.Code != "not_granted" })
		switch {
		case i >= 0:
			exports = append(exports, "deny_scope")
		case !r.interactive() && unasked.Has(s) && o.Granted.Has(s):
			exports = append(exports, "require_consent")
		default:
			words = append(words, "no package grants it")
		}
	}
	return exports, words
}
