package oauth

import (
	stdjson "encoding/json"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// freeValues decodes what has no type of its own: any and objects of it. It does so in one go and without reflection, which took
// most of the time of a decision request, and keeps the digits of numbers.
func freeValues() *json.Unmarshalers {
	return json.JoinUnmarshalers(json.UnmarshalFromFunc(freeValue), json.UnmarshalFromFunc(freeObject))
}

func freeValue(d *jsontext.Decoder, v *any) (err error) {
	*v, err = readValue(d)
	return err
}

func freeObject(d *jsontext.Decoder, v *map[string]any) (err error) {
	if d.PeekKind() != '{' {
		return errors.ErrUnsupported // null, or the error that names the type
	}
	*v, err = readObject(d)
	return err
}

// readValue reads the next value whatever it is. The decoder refuses what is no JSON, and a member that stands twice.
func readValue(d *jsontext.Decoder) (any, error) {
	switch d.PeekKind() {
	case '{':
		return readObject(d)
	case '[':
		return readList(d)
	case '0':
		text, err := d.ReadValue()
		return stdjson.Number(text), err
	}
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '"':
		return token.String(), nil
	case 't', 'f':
		return token.Bool(), nil
	}
	return nil, nil
}

func readObject(d *jsontext.Decoder) (map[string]any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	object := map[string]any{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		if object[key], err = readValue(d); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return object, err
}

func readList(d *jsontext.Decoder) ([]any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	list := []any{}
	for d.PeekKind() != ']' {
		v, err := readValue(d)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.ReadToken()
	return list, err
}
