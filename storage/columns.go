package storage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"portcullis/oauth"
)

// How Go values are written into columns.

func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func words[S ~[]string](list S) string { return strings.Join(list, " ") }

// asJSON is "" for nil, so that "not set" and "empty" stay apart. It only meets types that always encode.
func asJSON[T any](list []T) string {
	if list == nil {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(list); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// How columns are read back. Each type is a sql.Scanner that takes NULL, which an outer join yields, as the zero value.
type (
	textColumn  struct{ to *string }
	timeColumn  struct{ to *time.Time }
	flagColumn  struct{ to *bool }
	wordsColumn struct{ to *[]string }
	listColumn  struct{ to *[]string }
	jsonColumn  struct{ to any }
)

func scopesColumn(to *oauth.Scopes) wordsColumn { return wordsColumn{(*[]string)(to)} }

func (c textColumn) Scan(from any) (err error) { *c.to, err = asText(from); return err }

func (c timeColumn) Scan(from any) error {
	n, err := asInt(from)
	*c.to = moment(n)
	return err
}

func (c flagColumn) Scan(from any) error {
	if b, ok := from.(bool); ok {
		*c.to = b
		return nil
	}
	n, err := asInt(from)
	*c.to = n != 0
	return err
}

func (c wordsColumn) Scan(from any) error {
	text, err := asText(from)
	*c.to = nil
	if text != "" {
		*c.to = strings.Split(text, " ")
	}
	return err
}

func (c listColumn) Scan(from any) error {
	*c.to = nil
	return jsonColumn{c.to}.Scan(from)
}

func (c jsonColumn) Scan(from any) error {
	text, err := asText(from)
	if err != nil || text == "" {
		return err
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // tool schemas keep their numbers exact
	return d.Decode(c.to)
}

func moment(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

func asText(from any) (string, error) {
	switch v := from.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("the column holds %T, want text", from)
}

func asInt(from any) (int64, error) {
	switch v := from.(type) {
	case nil:
		return 0, nil
	case int64:
		return v, nil
	}
	return 0, fmt.Errorf("the column holds %T, want an integer", from)
}
