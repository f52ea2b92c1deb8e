package rules

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// process lists what belongs to the whole process, and so to the program alone.
var process = map[string][]string{
	"os":  {"Exit", "Args", "Stdin", "Stdout", "Stderr"},
	"log": {"Fatal", "Fatalf", "Fatalln"},
}

func TestSource_KeepsTheRules(t *testing.T) {
	files := 0
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && !ours(name, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		for _, fault := range checkSource(fset, file) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d Go files found below %s: the rules would check next to nothing", files, root)
	}
}

// ours reports whether a folder belongs to this module, by the rules of the go command.
func ours(name, base string) bool {
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return false
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err != nil
}

// checkSource returns one line for each place in a file that breaks a rule, with what to do about it.
func checkSource(fset *token.FileSet, file *ast.File) []string {
	var faults []string
	report := func(pos token.Pos, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s: %s", fset.Position(pos), fmt.Sprintf(format, args...)))
	}
	test := strings.HasSuffix(fset.Position(file.Package).Filename, "_test.go")

	if slices.Contains([]string{"util", "utils"}, strings.TrimSuffix(file.Name.Name, "_test")) {
		report(file.Package, "a package named %s says nothing: name it for what it does", file.Name.Name)
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			report(f.Pos(), "init runs in every host that imports the package: do it where it is used, or let the host call it")
		}
	}
	if !test && file.Name.Name != "main" {
		for importPath, names := range process {
			for _, use := range uses(file, importPath, names) {
				report(use.Pos(), "%s.%s belongs to the program: take what is needed as a parameter and return an error", importPath, use.Sel.Name)
			}
		}
	}
	if test && !virtual(file) {
		for _, use := range uses(file, "time", []string{"Sleep"}) {
			report(use.Pos(), "a test that sleeps is slow or flaky: wait for the state itself, or use virtual time (testing/synctest)")
		}
	}
	if test {
		for _, pos := range skips(file) {
			report(pos, "a test that skips tells nothing: let it run everywhere, or put it into a file with a build constraint")
		}
	}
	return faults
}

// skips returns the places where a file skips a test or a benchmark, by the names that these have. In a test of rapid to skip is to
// draw again.
func skips(file *ast.File) []token.Pos {
	if importName(file, "pgregory.net/rapid") != "" {
		return nil
	}
	var places []token.Pos
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.SelectorExpr); ok {
			on, isName := call.X.(*ast.Ident)
			if isName && slices.Contains([]string{"t", "b", "tb", "f"}, on.Name) && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, call.Sel.Name) {
				places = append(places, call.Pos())
			}
		}
		return true
	})
	return places
}

// virtual reports whether tests of a file run in virtual time, by themselves or through rapid.
func virtual(file *ast.File) bool {
	return importName(file, "testing/synctest") != "" || len(uses(file, "pgregory.net/rapid", []string{"SyncTest"})) > 0
}

// uses returns the places where a file names one of the given names of the package at importPath.
func uses(file *ast.File, importPath string, names []string) []*ast.SelectorExpr {
	local := importName(file, importPath)
	var found []*ast.SelectorExpr
	ast.Inspect(file, func(n ast.Node) bool {
		if use, ok := n.(*ast.SelectorExpr); ok && slices.Contains(names, use.Sel.Name) {
			if x, ok := use.X.(*ast.Ident); ok && x.Name == local {
				found = append(found, use)
			}
		}
		return true
	})
	return found
}

// importName returns the name under which a file imports a package, or "" when it does not.
func importName(file *ast.File, importPath string) string {
	for _, spec := range file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err != nil || p != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// TestSource_PlantedFaults_AreCaught gives each rule a file with one fault in it.
func TestSource_PlantedFaults_AreCaught(t *testing.T) {
	cases := map[string]struct{ file, source, want string }{
		"a package named util":     {"a.go", `package util`, "a package named util"},
		"init":                     {"a.go", `package a; func init() {}`, "a.go:1:12: init runs in every host"},
		"os.Exit in a library":     {"a.go", `package a; import "os"; func f() { os.Exit(1) }`, "os.Exit belongs to the program"},
		"os.Args in a library":     {"a.go", `package a; import "os"; var x = os.Args`, "os.Args belongs to the program"},
		"os.Stdout by alias":       {"a.go", `package a; import sys "os"; var x = sys.Stdout`, "os.Stdout belongs to the program"},
		"log.Fatal in a library":   {"a.go", `package a; import "log"; func f() { log.Fatal() }`, "log.Fatal belongs to the program"},
		"a test sleeps":            {"a_test.go", `package a; import "time"; func f() { time.Sleep(1) }`, "a test that sleeps"},
		"a program may exit":       {"main.go", `package main; import "os"; func main() { os.Exit(1) }`, ""},
		"TestMain may exit":        {"a_test.go", `package a; import "os"; func TestMain() { os.Exit(1) }`, ""},
		"a method may be init":     {"a.go", `package a; type T struct{}; func (T) init() {}`, ""},
		"another Exit is no fault": {"a.go", `package a; import "os"; var _ = os.Getpid; func f() { x.Exit(1) }`, ""},
		"a test skips":             {"a_test.go", `package a; import "testing"; func TestA(t *testing.T) { t.Skip("not here") }`, "a test that skips"},
		"rapid may draw again":     {"a_test.go", `package a; import "pgregory.net/rapid"; func f(t *rapid.T) { t.Skip("no unit") }`, ""},
		"a reader may skip":        {"a_test.go", `package a; func f(r reader) { r.Skip() }`, ""},
		"virtual time may pass":    {"a_test.go", `package a; import ("testing/synctest"; "time"); func f() { synctest.Wait(); time.Sleep(1) }`, ""},
		"rapid's virtual time too": {"a_test.go", `package a; import ("pgregory.net/rapid"; "time"); func f() { rapid.SyncTest(); time.Sleep(1) }`, ""},
		"code that is no test may": {"a.go", `package a; import "time"; func f() { time.Sleep(1) }`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, c.file, c.source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, checkSource(fset, file), c.want)
		})
	}
}
