package policies

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestCataloguesSurviveAFile(t *testing.T) {
	want := twoServers(t)
	want[0].Tools[0].InputSchema["x-bound"] = json.Number("9007199254740993")
	want[0].SecretHashes = [][]byte{[]byte("hash")}
	text, err := WriteCatalogue(want)
	if err != nil || strings.Contains(string(text), "aGFzaA") {
		t.Fatalf("%s %v", text, err)
	}
	got, err := ReadCatalogue(text)
	if err != nil {
		t.Fatal(err)
	}
	want[0].SecretHashes = nil
	for i := range want {
		if !reflect.DeepEqual(got[i].Tools, want[i].Tools) || got[i].Key != want[i].Key || !reflect.DeepEqual(got[i].Scopes, want[i].Scopes) {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
	for text, problem := range map[string]string{
		`{"resources": [{"key": "a", "kye": 1}]}`:   "kye",
		`{"resources": [{"key": "a", "key": "b"}]}`: "duplicate",
		`{"resources": [{"name": "a"}]}`:            "resources.0 has no key",
		`{}`:                                        "must be an object with",
		`{"resources": []} x`:                       "more text",
		`resources:`:                                "no JSON",
	} {
		if _, err := ReadCatalogue([]byte(text)); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
