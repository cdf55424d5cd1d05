package policies

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode"

	"portcullis/oauth"
)

// vocabulary is what a place of the input can hold, as far as somebody can tell.
type vocabulary struct {
	known  func(server string) *wordList // "" = of all servers
	more   func(text string) bool        // what else is no mistake; nil = nothing
	say    string                        // of an unknown text, with one %q
	beside string                        // said where nothing known looks like it
	closed bool                          // nothing else ever comes

	elsewhere []string // what comes there in any question; nil = the same
	tools     bool     // they are names of tools
}

func (v vocabulary) has(text, server string) bool {
	return v.known(server).set[text] || v.more != nil && v.more(text)
}

// shared is the vocabulary of what lies where rules of other questions may look, too.
func (v vocabulary) shared() vocabulary {
	if v.elsewhere != nil {
		v.known, v.closed = always(v.elsewhere), false
	}
	return v
}

// wordList are names that there are.
type wordList struct {
	names []string // in the order of messages
	set   map[string]bool
	signs []uint64 // of the names
}

func wordsOf(names []string) *wordList {
	w := &wordList{names: names, set: make(map[string]bool, len(names)), signs: make([]uint64, len(names))}
	for i, name := range names {
		w.set[name], w.signs[i] = true, letterSet(name)
	}
	return w
}

// always is a vocabulary that is the same for all servers.
func always(names []string) func(string) *wordList {
	w := wordsOf(names)
	return func(string) *wordList { return w }
}

// vocabularyOf is that of the place that is compared or looked up; nil = anything can come.
func (g *ruleGraph) vocabularyOf(b *ruleBody, path inputPath, schema map[string]any) *vocabulary {
	if values, _ := fieldAt(schema, path).schema["enum"].([]any); len(values) > 0 {
		whole, _ := g.program.inputs[anyInput].(map[string]any)
		all, _ := fieldAt(whole, path).schema["enum"].([]any)
		return &vocabulary{known: always(enumTexts(values)), say: shown(path) + " is never %q", closed: true, elsewhere: enumTexts(all)}
	}
	place := path.String()
	if place == "input.mcp.method" || place == "input.action.name" && b.own.kind == kindTools {
		return methodNames()
	}
	if len(g.program.catalogue) == 0 {
		return nil
	}
	switch place {
	case "input.tool.name":
		return &vocabulary{known: g.program.toolNames, say: "no registered server has a tool %q", tools: true}
	case "input.resource.server":
		return g.program.serverNames(func(r *oauth.Resource) string { return r.Key })
	case "input.resource.server_id":
		return g.program.serverNames(func(r *oauth.Resource) string { return r.ID })
	case "input.token.scopes.[]", "input.requested.scopes.[]", "input.tool.scopes.[]":
		return g.program.scopeNames()
	}
	return nil
}

// enumTexts are the values of an enum.
func enumTexts(values []any) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return out
}

// toolNames are those of one server, by its key, or of all if there is no such server.
func (p *program) toolNames(server string) *wordList {
	if !p.hasServer(server) {
		server = ""
	}
	if p.tools[server] == nil {
		var names []string
		for _, r := range p.catalogue {
			if server == "" || r.Key == server {
				for i := range r.Tools {
					names = append(names, r.Tools[i].Name)
				}
			}
		}
		slices.Sort(names)
		p.tools[server] = wordsOf(slices.Compact(names))
	}
	return p.tools[server]
}

func (p *program) hasServer(key string) bool {
	return slices.ContainsFunc(p.catalogue, func(r *oauth.Resource) bool { return r.Key == key })
}

func (p *program) serverNames(name func(*oauth.Resource) string) *vocabulary {
	known := make([]string, len(p.catalogue))
	for i, r := range p.catalogue {
		known[i] = name(r)
	}
	return &vocabulary{known: always(known), say: "no registered server has the name %q"}
}

// scopeNames are those of the catalogue. What covers one of them or is covered by one is no mistake either.
func (p *program) scopeNames() *vocabulary {
	var known []string
	for _, r := range p.catalogue {
		for _, s := range r.Scopes {
			known = append(known, s.Name)
		}
	}
	covered := func(text string) bool {
		return text == "offline_access" || len(p.catalogue) == 0 || slices.ContainsFunc(known, func(name string) bool {
			return oauth.ScopeCovers(name, text) || oauth.ScopeCovers(text, name)
		})
	}
	return &vocabulary{known: always(known), more: covered, say: "no registered server has the scope %q"}
}

// mcpMethods are those that the shipped default knows. A test holds the two against each other.
func mcpMethods() []string {
	return strings.Fields(`tools/call initialize server/discover ping tools/list resources/list resources/templates/list prompts/list
		completion/complete logging/setLevel subscriptions/listen resources/read resources/subscribe resources/unsubscribe prompts/get
		tasks/list tasks/get tasks/result tasks/cancel`)
}

// methodNames are those of MCP. Another one is no mistake by itself: a server may have methods of its own.
func methodNames() *vocabulary {
	return &vocabulary{known: always(mcpMethods()), say: "MCP has no method %q", beside: "; policies see it only if a server sends it",
		more: func(text string) bool { return strings.HasPrefix(text, "notifications/") }}
}

// nearestHint suggests the known name that is most likely meant, as it is written in rules.
func nearestHint(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

// didYouMean is nearestHint for texts, which are quoted.
func didYouMean(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// misspelled is the known name that another one surely means, or "". It is stricter than nearest, since an error hangs on it: one
// word of the name differs by a slip of the hand, or only case and separators do. transfer_2 is another tool than transfer, and
// buy another than pay. Names that stand beside it cannot be what it means.
func (w *wordList) misspelled(name string, beside map[string]bool) string {
	best, distance, sign := "", 3, letterSet(name)
	for i, k := range w.names {
		if bits.OnesCount64(sign^w.signs[i]) > 4 || beside[k] {
			continue // two slips touch four letters at most
		}
		if d := slipOfName(name, k); d > 0 && d < distance {
			best, distance = k, d
		}
	}
	return best
}

// letterSet has a bit for each letter and digit that a name has, so that most pairs need not be compared.
func letterSet(name string) (set uint64) {
	for _, c := range strings.ToLower(name) {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			set |= 1 << (uint(c) % 64)
		}
	}
	return set
}

// slipOfName counts the letters that one name has wrong of another; 0 = the one is no slip for the other.
func slipOfName(a, b string) int {
	separator := func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }
	as, bs := strings.FieldsFunc(strings.ToLower(a), separator), strings.FieldsFunc(strings.ToLower(b), separator)
	if a != b && len(as) > 0 && strings.Join(as, "") == strings.Join(bs, "") {
		return 1
	}
	if len(as) != len(bs) {
		return 0
	}
	wrong := -1
	for i := range as {
		if as[i] != bs[i] {
			if wrong >= 0 {
				return 0
			}
			wrong = i
		}
	}
	if wrong < 0 {
		return 0
	}
	return slipOfWord(as[wrong], bs[wrong])
}

// slipOfWord: two letters changed places, or behind the first letter of a longer word one or two are wrong. Numbers tell things
// apart, and so do beginnings: unsubscribe is no slip for subscribe.
func slipOfWord(a, b string) int {
	digits := func(s string) string {
		return strings.Map(func(c rune) rune {
			if unicode.IsDigit(c) {
				return c
			}
			return -1
		}, s)
	}
	d, shorter := editDistance(a, b), min(len(a), len(b))
	switch {
	case digits(a) != digits(b), d > 2:
		return 0
	case d == 1 && len(a) == len(b) && sameLetters(a, b):
		return d
	case a[0] == b[0] && (d == 1 && shorter >= 5 || d == 2 && shorter >= 8):
		return d
	case shorter >= 4 && (a == b+"s" || b == a+"s"):
		return d
	}
	return 0
}

func sameLetters(a, b string) bool {
	return slices.Equal(slices.Sorted(slices.Values([]byte(a))), slices.Sorted(slices.Values([]byte(b))))
}
