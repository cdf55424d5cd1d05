// Package tests looks at Portcullis from outside: the layout of its source, and the running program.
package tests

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the module's path; every import of our own begins with it.
const module = "portcullis"

// room is what one folder may import besides the standard library.
type room struct {
	ours   []string // packages of this module
	others []string // packages of other modules: exact, or everything below when it ends with /...
}

// rooms holds the arrows of the design: everything may import oauth, oauth only its leaves, server, policies and storage
// never one another. A folder that is not here may not exist.
func rooms() map[string]room {
	return map[string]room{
		"oauth": {
			ours: []string{"oauth/jose", "oauth/fetch"},
			others: []string{"golang.org/x/crypto/argon2", "github.com/go-json-experiment/json/...", "golang.org/x/sync/...",
				"golang.org/x/text/unicode/norm", "github.com/santhosh-tekuri/jsonschema/v6/..."},
		},
		"oauth/jose":  {others: []string{"github.com/lestrrat-go/jwx/v2/jws", "github.com/lestrrat-go/jwx/v2/jwk", "github.com/lestrrat-go/jwx/v2/jwa", "github.com/go-json-experiment/json/..."}},
		"oauth/fetch": {others: []string{"code.dny.dev/ssrf"}},
		"server": {
			ours: []string{"oauth"},
			others: []string{"github.com/gin-gonic/gin/...", "github.com/go-json-experiment/json/...", "github.com/prometheus/client_golang/...",
				"github.com/prometheus/client_model/...", "golang.org/x/time/...", "golang.org/x/sync/...", "github.com/hashicorp/golang-lru/v2/..."},
		},
		"policies": {
			ours: []string{"oauth"},
			others: []string{"github.com/open-policy-agent/opa/...", "github.com/go-json-experiment/json/...", "golang.org/x/sync/...",
				"github.com/hashicorp/golang-lru/v2/...", "github.com/fsnotify/fsnotify", "golang.org/x/text/unicode/norm", "go.yaml.in/yaml/v3"},
		},
		"storage": {
			ours:   []string{"oauth"},
			others: []string{"modernc.org/sqlite/...", "github.com/gofrs/flock", "github.com/hashicorp/golang-lru/v2/...", "github.com/go-json-experiment/json/...", "golang.org/x/sync/..."},
		},
		"cmd/portcullis": {
			ours: []string{"oauth", "oauth/jose", "oauth/fetch", "server", "policies", "storage"},
			others: []string{"github.com/spf13/cobra", "github.com/goccy/go-yaml/...", "go.yaml.in/yaml/v3", "github.com/fsnotify/fsnotify", "github.com/schollz/progressbar/v3",
				"golang.org/x/term", "golang.org/x/oauth2/...", "github.com/modelcontextprotocol/go-sdk/...", "github.com/go-json-experiment/json/...", "golang.org/x/sync/..."},
		},
	}
}

// owners are the libraries that one room alone may use, tests included.
func owners() map[string]string {
	return map[string]string{
		"github.com/lestrrat-go/jwx":       "oauth/jose",
		"code.dny.dev/ssrf":                "oauth/fetch",
		"github.com/open-policy-agent/opa": "policies",
		"github.com/gin-gonic/gin":         "server",
		"database/sql":                     "storage",
		"modernc.org/sqlite":               "storage",
		"github.com/spf13/cobra":           "cmd/portcullis",
		"github.com/goccy/go-yaml":         "cmd/portcullis",
	}
}

func TestTopLevelFoldersAreTheSixOfTheDesign(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			got = append(got, e.Name())
		}
	}
	if want := []string{"cmd", "oauth", "policies", "server", "storage", "tests"}; !slices.Equal(got, want) {
		t.Errorf("top-level folders are %v, want exactly %v", got, want)
	}
}

func TestNoFolderHasANameThatSaysNothing(t *testing.T) {
	empty := []string{"internal", "pkg", "util", "utils", "models", "types", "mock", "mocks", "common", "helpers"}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
		case d.Name() == "node_modules", d.Name() == "artifacts", path != ".." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case slices.Contains(empty, d.Name()):
			t.Errorf("the folder %s: name it for what is in it", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPackagesImportOnlyWhatTheirRoomAllows(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if strings.HasPrefix(name, "tests") {
			continue
		}
		room, ok := rooms()[name]
		if !ok {
			t.Errorf("the package %s has no place in the layout; put it into one of the rooms or add the room here with its reason", name)
			continue
		}
		seen[name] = true
		for _, path := range p.Imports {
			if !room.allows(path) {
				t.Errorf("%s imports %s, which the layout does not allow", name, path)
			}
		}
	}
	for name := range rooms() {
		if !seen[name] {
			t.Errorf("the room %s holds no package", name)
		}
	}
}

func (r room) allows(path string) bool {
	if ours, ok := strings.CutPrefix(path, module+"/"); ok {
		return slices.Contains(r.ours, ours)
	}
	if standard(path) {
		return true // database/sql has an owner, see owners
	}
	return slices.ContainsFunc(r.others, func(allowed string) bool {
		prefix, all := strings.CutSuffix(allowed, "/...")
		return path == prefix || all && strings.HasPrefix(path, prefix+"/")
	})
}

// standard tells whether a package belongs to the standard library: its first part has no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && first != module
}

func TestLibrariesWithAnOwnerStayInTheirRoom(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if strings.HasPrefix(name, "tests") {
			continue
		}
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for library, owner := range owners() {
				if (path == library || strings.HasPrefix(path, library+"/")) && name != owner {
					t.Errorf("%s imports %s; only %s may", name, path, owner)
				}
			}
		}
	}
}
