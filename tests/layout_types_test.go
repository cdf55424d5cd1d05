package tests

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Dir, Export            string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

// listPackages are the packages of this module.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	return goList(t, "./...")
}

func goList(t *testing.T, args ...string) []goPackage {
	t.Helper()
	fields := "-json=ImportPath,Dir,Export,GoFiles,Imports,TestImports,XTestImports"
	cmd := exec.Command("go", append([]string{"list", fields}, args...)...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// checked is one type-checked package of ours.
type checked struct {
	name  string
	files []*ast.File
	fset  *token.FileSet
	pkg   *types.Package
	info  *types.Info
}

// checkTypes type-checks the packages of ours. What they import comes from the compiler's export data.
func checkTypes(t *testing.T) []checked {
	t.Helper()
	exports := map[string]string{}
	for _, p := range goList(t, "-export", "-deps", "./...") {
		exports[p.ImportPath] = p.Export
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	var out []checked
	for _, p := range listPackages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		c := checked{name: strings.TrimPrefix(p.ImportPath, module+"/"), fset: fset,
			info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			c.files = append(c.files, file)
		}
		var err error
		if c.pkg, err = (&types.Config{Importer: imports}).Check(p.ImportPath, fset, c.files, c.info); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func TestExportedSignaturesShowNoForeignTypes(t *testing.T) {
	for _, c := range checkTypes(t) {
		if c.pkg.Name() == "main" {
			continue
		}
		scope := c.pkg.Scope()
		for _, name := range scope.Names() {
			object := scope.Lookup(name)
			if !object.Exported() {
				continue
			}
			visitExported(object.Type(), map[types.Type]bool{}, func(foreign *types.TypeName) {
				t.Errorf("%s: the exported %s.%s shows %s.%s of another module", c.fset.Position(object.Pos()), c.name, name, foreign.Pkg().Path(), foreign.Name())
			})
		}
	}
}

// visitExported calls found for every type of another module that a user of t can see: in signatures, exported
// fields and methods.
func visitExported(t types.Type, seen map[types.Type]bool, found func(*types.TypeName)) {
	if seen[t] {
		return
	}
	seen[t] = true
	visit := func(inner types.Type) { visitExported(inner, seen, found) }
	switch t := t.(type) {
	case *types.Named:
		object := t.Obj()
		if object.Pkg() == nil || standard(object.Pkg().Path()) && object.Pkg().Path() != "database/sql" {
			return
		}
		if !strings.HasPrefix(object.Pkg().Path(), module) {
			found(object)
			return
		}
		for method := range t.Methods() {
			if method.Exported() {
				visit(method.Type())
			}
		}
		visit(t.Underlying())
	case *types.Alias:
		visit(types.Unalias(t))
	case *types.Struct:
		for field := range t.Fields() {
			if field.Exported() {
				visit(field.Type())
			}
		}
	case *types.Interface:
		for method := range t.Methods() {
			visit(method.Type())
		}
	case *types.Signature:
		for _, tuple := range []*types.Tuple{t.Params(), t.Results()} {
			for v := range tuple.Variables() {
				visit(v.Type())
			}
		}
	case *types.Map:
		visit(t.Key())
		visit(t.Elem())
	case interface{ Elem() types.Type }: // pointer, slice, array, channel
		visit(t.Elem())
	}
}

func TestGinContextIsNeverPassedAsAContext(t *testing.T) {
	for _, c := range checkTypes(t) {
		if c.name != "server" {
			continue
		}
		for _, file := range c.files {
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					c.checkCall(t, call)
				}
				return true
			})
		}
	}
}

// checkCall reports an argument that is a *gin.Context where the parameter is an interface of package context. It
// would race with whoever still holds it when gin reuses it; c.Request.Context() is the right one.
func (c checked) checkCall(t *testing.T, call *ast.CallExpr) {
	signature, ok := c.info.Types[call.Fun].Type.(*types.Signature)
	if !ok {
		return
	}
	for i, arg := range call.Args {
		if i >= signature.Params().Len() || c.info.Types[arg].Type == nil {
			continue
		}
		given := c.info.Types[arg].Type.String()
		wanted := signature.Params().At(i).Type().String()
		if given == "*github.com/gin-gonic/gin.Context" && wanted == "context.Context" {
			t.Errorf("%s: a *gin.Context is passed as a context.Context; pass its Request.Context()", c.fset.Position(arg.Pos()))
		}
	}
}
