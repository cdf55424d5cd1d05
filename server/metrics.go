package server

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// MetricsConfig are the figures that other rooms keep. A nil func is left out.
type MetricsConfig struct {
	Commits  func() float64 // storage: commits so far
	Groups   func() float64 // storage: fsynced groups of commits so far
	Revision func() string  // policies: the active revision

	Stale func() float64 // policies: tools that are denied, since rules no longer fit their entry in the catalogue

	Flips func() []FlipCount // policies: answers that would have been other ones

	// policies: answers that shadow policies were asked about, too, dropped because they were slow, and passed because they never loaded
	Shadow func() (evaluated, dropped, unloaded uint64)

	// policies: questions answered from memory, evaluated, and evaluated because the answer changes with time
	Cache func() (hits, misses, notCacheable uint64)
}

// FlipCount counts answers that policies on trial would have changed.
type FlipCount struct {
	Mode    string // log_only or shadow
	Kind    string // of the question
	Package string // of a few; "" = all of them together
	WouldBe string // allowed, denied or error
	Count   uint64
}

// Metrics counts what happens, in a registry of its own. Its labels never hold client ids or anything else that
// strangers choose. A nil *Metrics counts nothing.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	decisions *prometheus.CounterVec
	limits    *prometheus.CounterVec
	latency   prometheus.Histogram
	reasons   words
}

// NewMetrics makes the counters of one process.
func NewMetrics(cfg MetricsConfig) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_http_requests_total", Help: "HTTP requests by route and status.",
		}, []string{"route", "status"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_token_requests_total", Help: "Token requests by grant type and outcome.",
		}, []string{"grant_type", "outcome"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_decisions_total", Help: "Decisions on calls by outcome and reason.",
		}, []string{"outcome", "reason"}),
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "portcullis_limited_total", Help: "Requests refused for their frequency (429), by limit.",
		}, []string{"reason"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "portcullis_decision_seconds", Help: "Time that a decision took, its audit row included.",
			Buckets: []float64{.00025, .0005, .001, .002, .003, .005, .01, .025, .05, .1, .25, 1},
		}),
		reasons: words{limit: 100},
	}
	m.registry.MustRegister(m.requests, m.tokens, m.decisions, m.limits, m.latency,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registerFigures(cfg)
	return m
}

// registerFigures adds what other rooms count.
func (m *Metrics) registerFigures(cfg MetricsConfig) {
	if cfg.Commits != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "portcullis_storage_commits_total", Help: "Commits of the ledger.",
		}, cfg.Commits))
	}
	if cfg.Groups != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "portcullis_storage_groups_total", Help: "Groups of commits that shared one fsync.",
		}, cfg.Groups))
	}
	if cfg.Revision != nil {
		m.registry.MustRegister(revisionInfo{
			prometheus.NewDesc("portcullis_policy_info", "The active policy revision; the value is always 1.", []string{"revision"}, nil),
			cfg.Revision,
		})
	}
	if cfg.Stale != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "portcullis_policy_stale_tools", Help: "Tools that are denied (catalogue_stale), since rules no longer fit their entry in the catalogue.",
		}, cfg.Stale))
	}
	if cfg.Flips != nil {
		m.registry.MustRegister(flipCounters{
			prometheus.NewDesc("portcullis_policy_would_flip_total", "Answers that policies on trial would have changed, and their failures (error).",
				[]string{"mode", "kind", "package", "would_be"}, nil),
			cfg.Flips,
		})
	}
	if cfg.Cache != nil {
		m.registry.MustRegister(threeCounters{
			prometheus.NewDesc("portcullis_policy_questions_total", "Questions to the policies by how the cache answered.", []string{"cache"}, nil),
			[3]string{"hit", "miss", "not_cacheable"}, cfg.Cache,
		})
	}
	if cfg.Shadow != nil {
		m.registry.MustRegister(threeCounters{
			prometheus.NewDesc("portcullis_policy_shadow_total", "Answers by whether the shadow policies were asked, too.", []string{"outcome"}, nil),
			[3]string{"evaluated", "dropped", "unloaded"}, cfg.Shadow,
		})
	}
}

// Handler serves the metrics in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *Metrics) request(route string, status int) {
	if m != nil {
		m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	}
}

func (m *Metrics) token(grantType, outcome string) {
	if m != nil {
		m.tokens.WithLabelValues(knownGrantType(grantType), outcome).Inc()
	}
}

// limited counts a refusal by its limit; the words are this program's own.
func (m *Metrics) limited(reason string) {
	if m != nil {
		m.limits.WithLabelValues(reason).Inc()
	}
}

func (m *Metrics) decision(outcome, reason string, took time.Duration) {
	if m != nil {
		m.decisions.WithLabelValues(outcome, m.reasons.bound(reason)).Inc()
		m.latency.Observe(took.Seconds())
	}
}

// knownGrantType keeps words that strangers make up out of the labels.
func knownGrantType(name string) string {
	switch name {
	case "authorization_code", "refresh_token", "client_credentials",
		"urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:jwt-bearer":
		return name
	}
	return "other"
}

// words lets the first few different words through: a policy may compute its reasons.
type words struct {
	limit int
	mu    sync.Mutex
	seen  map[string]bool
}

func (w *words) bound(word string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.seen[word]:
	case len(w.seen) >= w.limit || len(word) > 64:
		return "other"
	case w.seen == nil:
		w.seen = map[string]bool{word: true}
	default:
		w.seen[word] = true
	}
	return word
}

// revisionInfo is a gauge whose label is the active policy revision.
type revisionInfo struct {
	desc     *prometheus.Desc
	revision func() string
}

func (r revisionInfo) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc }

func (r revisionInfo) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(r.desc, prometheus.GaugeValue, 1, r.revision())
}

// threeCounters are counters that are read at once.
type threeCounters struct {
	desc  *prometheus.Desc
	words [3]string // their labels
	count func() (a, b, c uint64)
}

func (c threeCounters) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c threeCounters) Collect(ch chan<- prometheus.Metric) {
	first, second, third := c.count()
	for i, n := range []uint64{first, second, third} {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n), c.words[i])
	}
}

// flipCounters are the counters of policies on trial.
type flipCounters struct {
	desc  *prometheus.Desc
	flips func() []FlipCount
}

func (c flipCounters) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c flipCounters) Collect(ch chan<- prometheus.Metric) {
	for _, f := range c.flips() {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(f.Count), f.Mode, f.Kind, f.Package, f.WouldBe)
	}
}
