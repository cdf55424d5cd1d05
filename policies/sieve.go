package policies

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"portcullis/oauth"
)

// inputPath is a member of an input document by its keys: tool, arguments, amount.
type inputPath []string

func (p inputPath) String() string { return strings.Join(append([]string{"input"}, p...), ".") }

// inputTree is a set of input paths. A whole node stands for everything at and below its path.
type inputTree struct {
	whole bool
	mark  int      // of a whole node: the number of its path
	keys  []string // of the nodes below, sorted
	below map[string]*inputTree
}

// treeOf makes a tree of sorted paths, of which none begins with another.
func treeOf(paths []inputPath) *inputTree {
	root := &inputTree{}
	for i, path := range paths {
		node := root
		for _, key := range path {
			next := node.below[key]
			if next == nil {
				next = &inputTree{}
				if node.below == nil {
					node.below = map[string]*inputTree{}
				}
				node.below[key], node.keys = next, append(node.keys, key)
			}
			node = next
		}
		node.whole, node.mark = true, i
	}
	return root
}

// takes tells whether a member of the object at this node is looked at.
func (t *inputTree) takes(key string) bool {
	return t != nil && (t.whole || t.below[key] != nil)
}

// takesWhole tells whether the member is looked at as a whole.
func (t *inputTree) takesWhole(key string) bool {
	return t != nil && (t.whole || t.below[key] != nil && t.below[key].whole)
}

// sieve collects the bytes of a key: for every wanted path whose value is there, the path's number and the value. Every
// value begins with a tag, and texts with their length, so that different values never give the same bytes. Numbers
// count as they are written: 1 and 1.0 are equal in Rego, but print differently.
type sieve struct {
	out []byte
}

// The tags of values.
const (
	tagPath   = 'p'
	tagText   = 's'
	tagNumber = 'n'
	tagTrue   = 't'
	tagFalse  = 'f'
	tagNull   = '0'
	tagList   = '['
	tagObject = '{'
	tagEnd    = '}'
)

func (s *sieve) tag(t byte) { s.out = append(s.out, t) }

func (s *sieve) count(n int) { s.out = binary.AppendUvarint(s.out, uint64(n)) }

func (s *sieve) path(mark int) {
	s.tag(tagPath)
	s.count(mark)
}

func (s *sieve) text(v string) {
	s.tag(tagText)
	s.count(len(v))
	s.out = append(s.out, v...)
}

func (s *sieve) texts(values []string) {
	s.tag(tagList)
	s.count(len(values))
	for _, v := range values {
		s.text(v)
	}
}

func (s *sieve) bool(v bool) {
	if v {
		s.tag(tagTrue)
		return
	}
	s.tag(tagFalse)
}

func (s *sieve) integer(v int64) {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], v, 10)
	s.tag(tagNumber)
	s.count(len(text))
	s.out = append(s.out, text...)
}

// value writes a value from outside, or fails if an evaluation would refuse it.
func (s *sieve) value(v any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		s.tag(tagNull)
	case bool:
		s.bool(v)
	case string:
		s.text(v)
	case json.Number:
		s.tag(tagNumber)
		s.count(len(v))
		s.out = append(s.out, v...)
		return checkNumber(v)
	case map[string]any:
		s.tag(tagObject)
		var room [16]string
		for _, key := range appendKeys(room[:0], v) {
			s.text(key)
			if err := s.value(v[key], depth+1); err != nil {
				return err
			}
		}
		s.tag(tagEnd)
	case []any:
		s.tag(tagList)
		s.count(len(v))
		for _, element := range v {
			if err := s.value(element, depth+1); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("a value of type %T", v)
	}
	return nil
}

// check fails if an evaluation would refuse the value, and writes nothing.
func (s *sieve) check(v any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	switch v := v.(type) {
	case nil, bool, string:
	case json.Number:
		return checkNumber(v)
	case map[string]any:
		for _, member := range v {
			if err := s.check(member, depth+1); err != nil {
				return err
			}
		}
	case []any:
		for _, element := range v {
			if err := s.check(element, depth+1); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("a value of type %T", v)
	}
	return nil
}

// parts writes what a tree takes of an object from outside. depth is the object's.
func (s *sieve) parts(v map[string]any, tree *inputTree, depth int) error {
	for _, key := range tree.keys {
		member, has := v[key]
		if !has {
			continue
		}
		next := tree.below[key]
		if next.whole {
			s.path(next.mark)
			if err := s.value(member, depth+1); err != nil {
				return err
			}
			continue
		}
		if object, ok := member.(map[string]any); ok { // else there is nothing at the path
			if err := s.parts(object, next, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// document begins an input of which only the paths of the tree are written.
func (s *sieve) document(tree *inputTree) object { return object{sieve: s, want: tree} }

// taken announces a member to the sieve if it is taken whole; its value must follow. nil if it is not.
func (o *object) taken(key string) *inputTree {
	if o.want == nil {
		return nil
	}
	if o.want.whole {
		o.sieve.text(key)
		return o.want
	}
	member := o.want.below[key]
	if member == nil || !member.whole {
		return nil
	}
	o.sieve.path(member.mark)
	return member
}

// sieveChild begins an object inside this one.
func (o *object) sieveChild(key string) object {
	child := object{sieve: o.sieve, from: len(o.sieve.out)}
	if child.want = o.taken(key); child.want != nil {
		o.sieve.tag(tagObject)
	} else if o.want != nil {
		child.want = o.want.below[key]
	}
	child.begun = len(o.sieve.out)
	return child
}

// sieveClose ends an object; an empty one takes its name back.
func (o *object) sieveClose() {
	switch {
	case o.want == nil || !o.want.whole:
	case len(o.sieve.out) == o.begun:
		o.sieve.out = o.sieve.out[:o.from]
	default:
		o.sieve.tag(tagEnd)
	}
}

// siftActors writes the list of actors.
func (o *object) siftActors(actors []oauth.Actor) {
	whole := o.taken("actors")
	if whole == nil {
		return
	}
	o.sieve.tag(tagList)
	o.sieve.count(len(actors))
	for _, a := range actors {
		element := object{sieve: o.sieve, want: whole}
		o.sieve.tag(tagObject)
		element.actor(a)
		o.sieve.tag(tagEnd)
	}
}

// sift writes what is wanted of a value from outside, and fails if an evaluation would refuse the value anywhere: what a
// key leaves out must not be able to change the answer.
func (o *object) sift(key string, value map[string]any) error {
	if o.taken(key) != nil {
		return o.sieve.value(value, 0)
	}
	if err := o.sieve.check(value, 0); err != nil {
		return err
	}
	if o.want == nil || o.want.below[key] == nil {
		return nil
	}
	return o.sieve.parts(value, o.want.below[key], 0)
}
