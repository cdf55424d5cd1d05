package policies

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"portcullis/oauth"
)

// recorded is a record that is read back: what the policies saw, and what of it the record keeps back.
type recorded struct {
	record
	input  map[string]any // a marker stands at a masked place
	hidden []hiddenPlace
}

// hiddenPlace is a place of the input whose value is not in the record.
type hiddenPlace struct {
	path   inputPath
	why    string // masked, removed or replaced
	kind   string // of a masked one: what type_name says
	digest string // of a masked one
}

// readRecord reads the document of a record.
func readRecord(document []byte) (*recorded, error) {
	var r recorded
	if err := json.Unmarshal(document, &r.record); err != nil {
		return nil, fmt.Errorf("policies: the record is damaged: %w", err)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("policies: the record has the form %d, and this program reads %d", r.Version, recordVersion)
	}
	if !slices.Contains(kinds(), r.Kind) {
		return nil, fmt.Errorf("policies: the record is of a question %q, which this program does not know", r.Kind)
	}
	if err := r.readOperands(); err != nil {
		return nil, fmt.Errorf("policies: the answers of built-ins in the record of %s are damaged: %w", r.ID, err)
	}
	if r.Withheld != "" {
		return &r, nil
	}
	if err := r.readInput(); err != nil {
		return nil, fmt.Errorf("policies: the input in the record of %s is damaged: %w", r.ID, err)
	}
	return &r, nil
}

// readOperands turns the keys of the recorded answers back into lists of operands: as names of JSON members they are text.
func (r *recorded) readOperands() error {
	nd := builtins.NDBCache{}
	for name, answers := range r.ND {
		if err := answers.Iter(func(key, answer *ast.Term) error {
			text, _ := key.Value.(ast.String)
			operands, err := ast.ValueFromReader(strings.NewReader(string(text)))
			if err != nil {
				return err
			}
			nd.Put(name, operands, answer.Value)
			return nil
		}); err != nil {
			return err
		}
	}
	r.ND = nd
	return nil
}

func (r *recorded) readInput() error {
	d := json.NewDecoder(bytes.NewReader(r.Input))
	d.UseNumber()
	if err := d.Decode(&r.input); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more text after it")
	}
	for why, paths := range map[string][]string{"removed": r.Removed, "replaced": r.Replaced} {
		for _, text := range paths {
			path, err := parseMaskPath(text)
			if err != nil {
				return err
			}
			r.hidden = append(r.hidden, hiddenPlace{path: path, why: why})
		}
	}
	if err := r.findMasked(maskTree(r.Mode), nil, r.input); err != nil {
		return err
	}
	slices.SortFunc(r.hidden, func(a, b hiddenPlace) int { return slices.Compare(a.path, b.path) })
	return nil
}

// findMasked finds the digests. Where they stand follows from the mode alone, not from what a value looks like: a caller can
// send something that looks like a digest.
func (r *recorded) findMasked(n *maskNode, at inputPath, v any) error {
	object, ok := v.(map[string]any)
	if n == nil || !ok || r.isReplaced(at) {
		return nil
	}
	for key, value := range object {
		path := append(slices.Clone(at), key)
		child := n.child(key)
		switch masked := n.members || child != nil && child.digest; {
		case r.isReplaced(path):
		case masked:
			place, err := readMarker(path, value)
			if err != nil {
				return err
			}
			r.hidden = append(r.hidden, place)
		default:
			if err := r.findMasked(child, path, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *recorded) isReplaced(path inputPath) bool {
	return slices.ContainsFunc(r.hidden, func(h hiddenPlace) bool { return h.why == "replaced" && slices.Equal(h.path, path) })
}

func readMarker(path inputPath, v any) (hiddenPlace, error) {
	marker, _ := v.(map[string]any)
	kind, isText := marker["$masked"].(string)
	digest, isDigest := marker["digest"].(string)
	if !isText || !isDigest || len(marker) != 2 {
		return hiddenPlace{}, fmt.Errorf("%s is not masked as the record says", path)
	}
	return hiddenPlace{path: path, why: "masked", kind: kind, digest: digest}, nil
}

func parseMaskPath(text string) (path inputPath, err error) {
	for part := range strings.SplitSeq(strings.TrimPrefix(text, "/"), "/") {
		key, err := url.PathUnescape(part)
		if err != nil {
			return nil, err
		}
		path = append(path, key)
	}
	return path, nil
}

// overlaps tells whether somebody who reads the other path may see something of this one.
func (p inputPath) overlaps(other inputPath) bool { return p.begins(other) || other.begins(p) }

// hiddenFrom lists the places that rules which can read these paths may need and the record does not have.
func (r *recorded) hiddenFrom(paths []inputPath) []hiddenPlace {
	var needed []hiddenPlace
	for _, h := range r.hidden {
		if slices.ContainsFunc(paths, h.path.overlaps) {
			needed = append(needed, h)
		}
	}
	return needed
}

// text is the string at a path, or "".
func (r *recorded) text(path ...string) string {
	s, _ := r.value(path...).(string)
	return s
}

func (r *recorded) value(path ...string) any {
	var v any = r.input
	for _, key := range path {
		object, _ := v.(map[string]any)
		v = object[key]
	}
	return v
}

func (r *recorded) seconds(path ...string) int64 {
	n, _ := r.value(path...).(json.Number)
	seconds, _ := n.Int64() // 0 = not known
	return seconds
}

func (r *recorded) scopes(path ...string) oauth.Scopes {
	list, _ := r.value(path...).([]any)
	var scopes oauth.Scopes
	for _, v := range list {
		if s, ok := v.(string); ok {
			scopes = append(scopes, s)
		}
	}
	return oauth.NewScopes(scopes...)
}
