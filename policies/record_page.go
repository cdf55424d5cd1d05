package policies

import (
	"encoding/json"
	"strconv"

	"portcullis/oauth"
)

// page is an input document as JSON, with what the masks keep back. An object with a page writes itself there as input.go
// fills it, as others make OPA terms or a cache key.
type page struct {
	out      []byte
	digests  *digests
	removed  []string // paths that were
	replaced []string
}

// document begins the input.
func (p *page) document(masks *maskNode) object {
	p.out = append(p.out, '{')
	return object{page: p, masks: masks}
}

// member begins a member of the object at hand and returns what the masks say about it. ok is false if the masks took its place:
// then no value may follow.
func (o *object) member(key string) (n *maskNode, ok bool) {
	if o.muted {
		return nil, false
	}
	p := o.page
	if n = o.masks.child(key); n != nil && n.removed {
		p.removed = append(p.removed, n.path)
		return nil, false
	}
	p.key(key)
	if n != nil && n.replaced {
		p.replaced = append(p.replaced, n.path)
		p.out = append(p.out, n.value...)
		return nil, false
	}
	return n, true
}

func (p *page) key(key string) {
	if p.out[len(p.out)-1] != '{' {
		p.out = append(p.out, ',')
	}
	p.out = append(appendText(p.out, key), ':')
}

// pageText writes a text, or its digest.
func (o *object) pageText(key, value string) {
	n, ok := o.member(key)
	switch {
	case !ok:
	case n != nil && (n.digest || n.address && !isWhole(value)):
		o.page.digest(value, n)
	default:
		o.page.out = appendText(o.page.out, value)
	}
}

// isWhole tells that an address has no part that may be secret. One that has some is kept back as a whole: without that part it would be another
// value, and a replay would decide about that one.
func isWhole(address string) bool {
	_, whole := oauth.PublicAddress(address)
	return whole
}

func (o *object) pageList(key string, values []string) {
	n, ok := o.member(key)
	if !ok {
		return
	}
	if n == nil {
		o.page.texts(values)
		return
	}
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	o.page.value(list, n)
}

// texts writes a list of which nothing is kept back.
func (p *page) texts(values []string) {
	p.out = append(p.out, '[')
	for i, v := range values {
		if i > 0 {
			p.out = append(p.out, ',')
		}
		p.out = appendText(p.out, v)
	}
	p.out = append(p.out, ']')
}

// pageValue writes anything else.
func (o *object) pageValue(key string, value any) {
	if n, ok := o.member(key); ok {
		o.page.value(value, n)
	}
}

func (o *object) pageActors(actors []oauth.Actor) {
	list := make([]any, len(actors))
	for i, a := range actors {
		one := map[string]any{}
		for key, text := range map[string]string{"type": a.Type, "id": a.ID} {
			if text != "" {
				one[key] = text
			}
		}
		list[i] = one
	}
	o.pageValue("actors", list)
}

// pageChild begins an object inside this one.
func (o *object) pageChild(key string) object {
	child := object{page: o.page, from: len(o.page.out)}
	n, ok := o.member(key)
	child.masks, child.muted = n, !ok
	if ok {
		o.page.out = append(o.page.out, '{')
	}
	return child
}

// pageClose ends an object; an empty one takes its name back.
func (o *object) pageClose() {
	switch {
	case o.muted:
	case o.page.out[len(o.page.out)-1] == '{':
		o.page.out = o.page.out[:o.from]
	default:
		o.page.out = append(o.page.out, '}')
	}
}

// value writes a value from outside. n says what to keep back below it.
func (p *page) value(v any, n *maskNode) {
	switch v := v.(type) {
	case map[string]any:
		o := object{page: p, masks: n}
		p.out = append(p.out, '{')
		var room [16]string
		for _, key := range appendKeys(room[:0], v) {
			child, ok := o.member(key)
			switch {
			case !ok:
			case n != nil && n.members:
				p.digest(v[key], child)
			default:
				p.value(v[key], child)
			}
		}
		p.out = append(p.out, '}')
	case []any:
		p.list(v, n)
	case string:
		p.out = appendText(p.out, v)
	case json.Number:
		p.out = append(p.out, v...)
	case bool:
		p.out = strconv.AppendBool(p.out, v)
	case int64:
		p.out = strconv.AppendInt(p.out, v, 10)
	default:
		p.out = append(p.out, "null"...)
	}
}

func (p *page) list(list []any, n *maskNode) {
	p.out = append(p.out, '[')
	for i, v := range list {
		if i > 0 {
			p.out = append(p.out, ',')
		}
		var child *maskNode
		if n != nil {
			child = n.child(strconv.Itoa(i))
		}
		switch {
		case child != nil && child.removed:
			p.removed = append(p.removed, child.path)
			p.out = append(p.out, "null"...) // the others keep their places
		case child != nil && child.replaced:
			p.replaced = append(p.replaced, child.path)
			p.out = append(p.out, child.value...)
		default:
			p.value(v, child)
		}
	}
	p.out = append(p.out, ']')
}

// digest writes the type and the keyed digest of a value.
func (p *page) digest(v any, n *maskNode) {
	p.out = append(p.out, `{"$masked":"`...)
	p.out = append(p.out, typeName(v)...)
	p.out = append(p.out, `","digest":"`...)
	p.out = p.digests.append(p.out, v, n)
	p.out = append(p.out, `"}`...)
}

// typeName is what type_name says in Rego.
func typeName(v any) string {
	switch v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case json.Number, int64:
		return "number"
	case bool:
		return "boolean"
	}
	return "null"
}
