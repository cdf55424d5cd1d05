package main

import (
	"reflect"
	"strconv"
	"strings"
)

// keysOf are the keys of a configuration struct, in their order.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func fieldFor(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("yaml") == key && key != "" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// knownKey tells whether a path of lower-case keys and list indexes names a setting that holds a value.
func knownKey(path []string) bool { return walkKeys(path) != nil }

// properKeys spells the keys of a known path as the file does (inputSchema).
func properKeys(path []string) []string {
	if proper := walkKeys(path); proper != nil {
		return proper
	}
	return path
}

// walkKeys follows a path through the structs; nil if it leads nowhere or to a whole mapping.
func walkKeys(path []string) []string {
	t := reflect.TypeFor[Config]()
	var proper []string
	for _, part := range path {
		switch t.Kind() {
		case reflect.Slice:
			if _, err := strconv.ParseUint(part, 10, 16); err != nil {
				return nil
			}
			t = t.Elem()
		case reflect.Struct:
			field, ok := lowerField(t, part)
			if !ok {
				return nil
			}
			part, t = field.Tag.Get("yaml"), field.Type
		default:
			return nil
		}
		proper = append(proper, part)
	}
	if t.Kind() == reflect.Struct || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
		return nil
	}
	return proper
}

func lowerField(t reflect.Type, lower string) (reflect.StructField, bool) {
	for _, key := range keysOf(t) {
		if strings.ToLower(key) == lower {
			return fieldFor(t, key)
		}
	}
	return reflect.StructField{}, false
}

// suggestPath finds the setting that a misspelled variable meant.
func suggestPath(lower string) string {
	var all []string
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		field := t.Field(i)
		key := field.Tag.Get("yaml")
		switch {
		case key == "":
		case field.Type.Kind() == reflect.Struct:
			for _, inner := range keysOf(field.Type) {
				all = append(all, key+"__"+inner)
			}
		default:
			all = append(all, key)
		}
	}
	if best := nearest(lower, all); best != "" {
		return "; did you mean " + envPrefix + strings.ToUpper(best) + "?"
	}
	return "; nesting is written with two underscores, as in " + envPrefix + "TOKENS__ACCESS_TTL"
}

// nearest is the candidate with the fewest edits, or the one that continues the word; "" if none is near.
func nearest(word string, candidates []string) string {
	best, limit := "", max(1, len(word)/3)
	for _, c := range candidates {
		if len(word) > 3 && strings.HasPrefix(c, strings.ToLower(word)) {
			best = c
		}
	}
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(word), strings.ToLower(c)); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// editDistance counts insertions, deletions, changes and swaps of neighbours.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
