package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// decoder fills the structs of config.go from the tree and reports every value that does not fit.
type decoder struct {
	report *report
	folder string // where relative paths of the file begin
}

func (d *decoder) decode(root *node, into *Config) {
	d.report.root = root
	d.mapping("", root, reflect.ValueOf(into).Elem())
}

func (d *decoder) value(path string, n *node, v reflect.Value) {
	if n.kind == kindBroken {
		return
	}
	if n.kind == kindNull { // "tls:" with nothing behind it says nothing
		return
	}
	switch v.Interface().(type) {
	case time.Duration:
		d.duration(path, n, v)
		return
	case map[string]any:
		d.object(path, n, v)
		return
	case secret:
		d.report.hide(n)
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(path, n, v)
	case reflect.Slice:
		d.list(path, n, v)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, n, v.Elem())
	case reflect.String:
		d.text(path, n, v)
	case reflect.Bool:
		d.boolean(path, n, v)
	case reflect.Int64:
		d.integer(path, n, v)
	}
}

func (d *decoder) text(path string, n *node, v reflect.Value) {
	switch {
	case n.kind != kindText && n.kind != kindRaw:
		hint := ""
		if n.kind == kindNumber || n.kind == kindBool {
			hint = "; put it into quotes"
		}
		d.wrong(path, n, "text", hint)
		return
	case strings.ContainsRune(n.text, 0):
		d.report.add(path, n.at, "%s holds a zero byte; remove it", shown(path))
		return
	}
	text := n.text
	if _, ok := v.Interface().(filePath); ok && text != "" && n.at.outside == "" && !filepath.IsAbs(text) && !strings.Contains(text, "://") {
		text = filepath.Join(d.folder, text)
	}
	v.SetString(text)
}

func (d *decoder) boolean(path string, n *node, v reflect.Value) {
	b, err := strconv.ParseBool(n.text)
	if err != nil || n.kind != kindBool && n.kind != kindRaw {
		d.wrong(path, n, "true or false", "")
		return
	}
	v.SetBool(b)
}

func (d *decoder) integer(path string, n *node, v reflect.Value) {
	i, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil || n.kind != kindNumber && n.kind != kindRaw {
		d.wrong(path, n, "a whole number", "")
		return
	}
	v.SetInt(i)
}

func (d *decoder) duration(path string, n *node, v reflect.Value) {
	const want = "a duration with a unit, such as 50ms, 10m or 720h"
	if n.kind != kindText && n.kind != kindRaw {
		d.wrong(path, n, want, "")
		return
	}
	t, err := time.ParseDuration(n.text)
	if err != nil {
		d.report.add(path, n.at, "%s must be %s; %q is none", shown(path), want, n.text)
		return
	}
	if t < 0 {
		d.report.add(path, n.at, "%s must not be negative", shown(path))
		return
	}
	v.SetInt(int64(t))
}

func (d *decoder) list(path string, n *node, v reflect.Value) {
	if n.kind == kindRaw && v.Type().Elem().Kind() == reflect.String {
		n = splitRaw(n)
	}
	if n.kind != kindList {
		hint := ""
		if n.kind == kindText {
			hint = "; put it into brackets [ ]"
		}
		d.wrong(path, n, "a list", hint)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		at := join(path, strconv.Itoa(i))
		if item.kind == kindNull {
			d.report.add(at, item.at, "%s is empty; write a value or remove the entry", shown(at))
			continue
		}
		d.value(at, item, v.Index(i))
	}
}

// splitRaw reads a list out of a variable: its entries stand between commas.
func splitRaw(n *node) *node {
	out := &node{kind: kindList, at: n.at}
	for part := range strings.SplitSeq(n.text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out.items = append(out.items, &node{kind: kindRaw, text: part, at: n.at})
		}
	}
	return out
}

func (d *decoder) mapping(path string, n *node, v reflect.Value) {
	if n.kind != kindMapping {
		d.wrong(path, n, "a mapping with the keys "+strings.Join(keysOf(v.Type()), ", "), "")
		return
	}
	for _, p := range n.pairs {
		field, ok := fieldFor(v.Type(), p.key)
		if !ok {
			d.report.hide(p.value)
			d.unknown(path, p, v.Type())
			continue
		}
		d.value(join(path, p.key), p.value, v.FieldByIndex(field.Index))
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key, need := field.Tag.Get("yaml"), field.Tag.Get("need")
		at := join(path, key)
		if need == "" || d.report.isFaulty(at) || !v.Field(i).IsZero() {
			continue
		}
		if given := n.find(key); given != nil && given.kind != kindNull {
			d.report.add(at, given.at, "%s is empty; write %s", shown(at), need)
			continue
		}
		d.report.add(at, n.at, "%s is missing; write %s", shown(at), need)
	}
}

// unknown reports a key that does not exist. The key that was probably meant counts as faulty, so that nothing is
// said about its absence.
func (d *decoder) unknown(path string, p pair, t reflect.Type) {
	at := join(path, p.key)
	if best := nearest(p.key, keysOf(t)); best != "" {
		d.report.add(at, p.at, "unknown key %q; did you mean %q?", p.key, best)
		d.report.faulty[join(path, best)] = true
		return
	}
	d.report.add(at, p.at, "unknown key %q; the keys here are %s", p.key, strings.Join(keysOf(t), ", "))
}

func (d *decoder) object(path string, n *node, v reflect.Value) {
	value := plainValue(n)
	m, ok := value.(map[string]any)
	if n.kind == kindRaw {
		ok = json.Unmarshal([]byte(n.text), &m) == nil
	}
	if !ok {
		d.wrong(path, n, "a mapping", "")
		return
	}
	v.Set(reflect.ValueOf(m))
}

// plainValue is a YAML value as the JSON values of Go, numbers as json.Number.
func plainValue(n *node) any {
	switch n.kind {
	case kindText, kindRaw:
		return n.text
	case kindNumber:
		return json.Number(n.text)
	case kindBool:
		return n.text == "true"
	case kindList:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = plainValue(item)
		}
		return out
	case kindMapping:
		out := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			out[p.key] = plainValue(p.value)
		}
		return out
	}
	return nil
}

func (d *decoder) wrong(path string, n *node, want, hint string) {
	got := string(n.kind)
	if n.kind == kindRaw {
		got = "something else"
	}
	d.report.add(path, n.at, "%s must be %s, this is %s%s", shown(path), want, got, hint)
}

// hide keeps the texts of a value out of every message.
func (r *report) hide(n *node) {
	switch n.kind {
	case kindMapping:
		for _, p := range n.pairs {
			r.hide(p.value)
		}
	case kindList:
		for _, item := range n.items {
			r.hide(item)
		}
	default:
		if n.text != "" {
			r.secrets = append(r.secrets, n.text)
		}
	}
}

// shown is a path as people write it: resources.0.id becomes resources[0].id.
func shown(path string) string {
	var b strings.Builder
	for i, part := range strings.Split(path, ".") {
		if _, err := strconv.Atoi(part); err == nil {
			fmt.Fprintf(&b, "[%s]", part)
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(part)
	}
	return b.String()
}
