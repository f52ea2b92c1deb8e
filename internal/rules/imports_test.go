package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const (
	root      = "../.." // the module's folder, from this package's
	module    = "github.com/luastore/store"
	gopherLua = "github.com/yuin/gopher-lua"
	msgp      = "github.com/tinylib/msgp"
	fwd       = "github.com/philhofer/fwd" // what msgp reads through
)

// builds lists, beside the standard library, all that importing a package may bring into the build of a host: packages of
// this module by name, everything else by module.
var builds = map[string][]string{
	module + "/value":    {msgp, fwd},
	module:               {module + "/value", module + "/internal/encoded", msgp, fwd},
	module + "/storelua": {module, module + "/value", module + "/internal/encoded", gopherLua, msgp, fwd},
}

// users lists the folders whose packages may import a dependency. Test files may import any that is listed.
var users = map[string][]string{
	msgp:                                       {"value"},
	gopherLua:                                  {"storelua", "script", "examples", "internal/luaunit"},
	"github.com/anishathalye/porcupine":        {"storetest", "internal/historytest"},
	"github.com/cockroachdb/pebble/v2":         {"driver/pebblestore"},
	"github.com/creack/pty":                    {}, // tests only
	"github.com/go-sql-driver/mysql":           {"driver/sqlstore/mysql", "internal/mariadbtest"},
	"github.com/goccy/go-yaml":                 {"config"},
	"github.com/jackc/pgx/v5":                  {"driver/sqlstore/postgres", "internal/pgtest"},
	"github.com/nats-io/nats.go":               {"driver/natsstore", "internal/natstest"},
	"github.com/nats-io/nkeys":                 {"driver/natsstore", "internal/natstest"},
	"github.com/peterh/liner":                  {"internal/cli"},
	"github.com/prometheus/client_golang":      {"internal/cli"},
	"github.com/redis/rueidis":                 {"driver/redisstore", "internal/redistest"},
	"github.com/rogpeppe/go-internal":          {"internal/luaunit"},
	"github.com/santhosh-tekuri/jsonschema/v6": {"config"},
	"github.com/schollz/progressbar/v3":        {"internal/cli"},
	"github.com/spf13/cobra":                   {"internal/cli"},
	"github.com/spf13/pflag":                   {}, // tests only
	"github.com/tidwall/btree":                 {"driver/memstore"},
	"go.opentelemetry.io/otel":                 {"storeotel", "internal/cli"}, // its SDK and exporters, too
	"go.uber.org/goleak":                       {"storetest"},
	"golang.org/x/term":                        {"internal/cli"},
	"modernc.org/libc":                         {"driver/sqlstore/sqlite"},
	"modernc.org/sqlite":                       {"driver/sqlstore/sqlite"},
	"pgregory.net/rapid":                       {"storetest"},
}

// A pkg is what go list says about one package.
type pkg struct {
	ImportPath   string
	Name         string
	Imports      []string // of the files that a host compiles
	TestImports  []string
	XTestImports []string
}

// A graph holds packages by their import path.
type graph map[string]*pkg

func TestImports_KeepTheRules(t *testing.T) {
	g := listPackages(t)
	for _, known := range []string{module, module + "/value"} {
		if g[known] == nil {
			t.Fatalf("go list does not name %s: the rules would check nothing", known)
		}
	}
	for _, fault := range checkImports(g) {
		t.Error(fault)
	}
}

// listPackages reads the packages of this module and all that they build on. A package that does not compile at the moment
// is listed all the same: the compiler tells that better.
func listPackages(t *testing.T) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps",
		"-json=ImportPath,Name,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &stderr)
	}
	g := graph{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(pkg)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatalf("read the output of %v: %v", cmd, err)
		}
		g[p.ImportPath] = p
	}
}

// checkImports returns one line for each import that breaks a rule, with what to do about it.
func checkImports(g graph) []string {
	var faults []string
	for _, importPath := range slices.Sorted(maps.Keys(g)) {
		if !own(importPath) {
			continue
		}
		p := g[importPath]
		faults = append(faults, checkBuild(g, p)...)
		faults = append(faults, checkDependencies(p)...)
		faults = append(faults, checkDriver(p)...)
		faults = append(faults, checkDriverUse(p)...)
		faults = append(faults, checkCommand(p)...)
		faults = append(faults, checkTestOnly(p)...)
	}
	return faults
}

// checkBuild follows imports through other modules too and names the way to each package that is not in builds.
func checkBuild(g graph, p *pkg) []string {
	allowed, ok := builds[p.ImportPath]
	if !ok {
		return nil
	}
	var faults []string
	seen := map[string]bool{}
	var follow func(from *pkg, way string)
	follow = func(from *pkg, way string) {
		for _, next := range from.Imports {
			if standard(next) || seen[next] {
				continue
			}
			seen[next] = true
			way := way + " → " + short(next)
			if !mayBuild(allowed, next) {
				faults = append(faults, fmt.Sprintf("%s: a host that imports %s may not build %s: move what needs it to the package that may",
					way, short(p.ImportPath), short(next)))
			} else if g[next] != nil {
				follow(g[next], way)
			}
		}
	}
	follow(p, short(p.ImportPath))
	return faults
}

func mayBuild(allowed []string, importPath string) bool {
	if own(importPath) {
		return slices.Contains(allowed, importPath)
	}
	return slices.ContainsFunc(allowed, func(m string) bool { return under(importPath, m) })
}

// checkDependencies holds the direct imports of other modules against users.
func checkDependencies(p *pkg) []string {
	var faults []string
	for _, importPath := range p.allImports() {
		if standard(importPath) || own(importPath) {
			continue
		}
		dependency, folders := "", []string(nil)
		for m, f := range users {
			if under(importPath, m) {
				dependency, folders = m, f
			}
		}
		switch {
		case dependency == "":
			faults = append(faults, fmt.Sprintf("%s imports %s, a new dependency: say why in docs/design.md and list its users in internal/rules",
				short(p.ImportPath), importPath))
		case p.tool() || !slices.Contains(p.Imports, importPath):
		case !slices.ContainsFunc(folders, func(f string) bool { return under(p.ImportPath, module+"/"+f) }):
			faults = append(faults, fmt.Sprintf("%s imports %s, which is for %s only: use that package instead",
				short(p.ImportPath), importPath, strings.Join(folders, ", ")))
		}
	}
	return faults
}

// checkDriver keeps a driver to the contract, the stored form and its own client, and its tests off other drivers.
func checkDriver(p *pkg) []string {
	driver := driverOf(p.ImportPath)
	if driver == "" {
		return nil
	}
	var faults []string
	for _, importPath := range p.allImports() {
		if other := driverOf(importPath); other != "" && other != driver {
			faults = append(faults, fmt.Sprintf("%s imports %s: drivers never import each other; what they share belongs in storetest or in store",
				short(p.ImportPath), short(importPath)))
		}
	}
	for _, importPath := range p.Imports {
		if own(importPath) && driverOf(importPath) == "" && importPath != module && importPath != module+"/value" && !familyInternal(importPath) {
			faults = append(faults, fmt.Sprintf("%s imports %s: a driver imports store, value and its own client, nothing else",
				short(p.ImportPath), short(importPath)))
		}
	}
	return faults
}

// checkDriverUse keeps the choice of drivers with driver/all and with programs.
func checkDriverUse(p *pkg) []string {
	if p.Name == "main" || driverOf(p.ImportPath) != "" || p.ImportPath == module+"/driver/all" {
		return nil
	}
	var named []string
	for _, importPath := range p.Imports {
		if driver := driverOf(importPath); driver != "" && !slices.Contains(named, driver) {
			named = append(named, driver)
		}
	}
	switch internal := under(p.ImportPath, module+"/internal"); {
	case len(named) > 0 && !internal:
		return []string{fmt.Sprintf("%s imports the driver %s: a library leaves the choice to its host; open by URL through driver/all, or take a store.Driver",
			short(p.ImportPath), strings.Join(named, ", "))}
	case len(named) > 1:
		return []string{fmt.Sprintf("%s imports the drivers %s: only driver/all names several; open by URL through it",
			short(p.ImportPath), strings.Join(named, ", "))}
	}
	return nil
}

// checkCommand keeps the command line out of the library.
func checkCommand(p *pkg) []string {
	const cli = module + "/internal/cli"
	if under(p.ImportPath, module+"/cmd") || under(p.ImportPath, cli) {
		return nil
	}
	if i := slices.IndexFunc(p.Imports, func(importPath string) bool { return under(importPath, cli) }); i >= 0 {
		return []string{fmt.Sprintf("%s imports %s: only cmd may; move what both need to a package of its own",
			short(p.ImportPath), short(p.Imports[i]))}
	}
	return nil
}

// checkTestOnly keeps the testing package and what is built on it out of what a host compiles.
func checkTestOnly(p *pkg) []string {
	if testOnly(p.ImportPath) || p.tool() {
		return nil
	}
	var faults []string
	for _, importPath := range p.Imports {
		if under(importPath, "testing") || own(importPath) && testOnly(importPath) {
			faults = append(faults, fmt.Sprintf("%s imports %s outside its tests: move the code to a _test.go file, or to a package whose name ends in test",
				short(p.ImportPath), short(importPath)))
		}
	}
	return faults
}

// allImports returns what p and its tests import, without p itself.
func (p *pkg) allImports() []string {
	all := slices.Sorted(maps.Keys(set(p.Imports, p.TestImports, p.XTestImports)))
	return slices.DeleteFunc(all, func(importPath string) bool { return importPath == p.ImportPath })
}

// tool reports whether p is a program for those who work on the module, such as the benchmarks' table. It may import anything.
func (p *pkg) tool() bool {
	return p.Name == "main" && under(p.ImportPath, module+"/internal")
}

// families are folders of several drivers, which share the packages in internal and are as separate as any others.
var families = []string{"sqlstore"}

// driverOf returns memstore for driver/memstore and the packages below it, sqlstore/mysql for one of a family, and nothing for
// what is no driver.
func driverOf(importPath string) string {
	below, ok := strings.CutPrefix(importPath, module+"/driver/")
	driver, below, _ := strings.Cut(below, "/")
	if !ok || driver == "all" || familyInternal(importPath) {
		return ""
	}
	if member, _, _ := strings.Cut(below, "/"); slices.Contains(families, driver) {
		return driver + "/" + member
	}
	return driver
}

// familyInternal reports whether a package is what the drivers of a family share.
func familyInternal(importPath string) bool {
	return slices.ContainsFunc(families, func(f string) bool { return under(importPath, module+"/driver/"+f+"/internal") })
}

// testOnly reports whether a folder on the way to the package is named for tests, as storetest is.
func testOnly(importPath string) bool {
	for dir := importPath; dir != module && dir != "."; dir = path.Dir(dir) {
		if strings.HasSuffix(path.Base(dir), "test") {
			return true
		}
	}
	return false
}

func own(importPath string) bool           { return under(importPath, module) }
func under(importPath, parent string) bool { return strings.HasPrefix(importPath+"/", parent+"/") }

// standard reports whether the package is of the standard library: only there the first element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// short returns the name that people use: store, driver/memstore.
func short(importPath string) string {
	if importPath == module {
		return "store"
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func set(lists ...[]string) map[string]bool {
	all := map[string]bool{}
	for _, list := range lists {
		for _, item := range list {
			all[item] = true
		}
	}
	return all
}

// TestImports_PlantedFaults_AreCaught gives each rule a graph with one fault in it.
func TestImports_PlantedFaults_AreCaught(t *testing.T) {
	pq := "github.com/lib/pq"
	cases := map[string]struct {
		fault pkg
		want  string // "" for what is allowed
	}{
		"value needs more than msgp":      {pkg{ImportPath: "value", Imports: []string{pq}}, "value → " + pq},
		"store needs the script host":     {pkg{ImportPath: "", Imports: []string{"./script"}}, "store → script"},
		"store needs gopher-lua":          {pkg{ImportPath: "", Imports: []string{gopherLua}}, "which is for storelua, script, examples, internal/luaunit only"},
		"storelua needs a driver":         {pkg{ImportPath: "storelua", Imports: []string{"./driver/memstore"}}, "storelua → driver/memstore"},
		"a client behind a dependency":    {pkg{ImportPath: "storelua", Imports: []string{msgp + "/extra"}}, "storelua → " + msgp + "/extra → " + pq},
		"an unknown dependency":           {pkg{ImportPath: "script", Imports: []string{pq}}, "script imports " + pq + ", a new dependency"},
		"an unknown dependency of a test": {pkg{ImportPath: "script", TestImports: []string{pq}}, "a new dependency"},
		"another driver's client": {pkg{ImportPath: "driver/memstore", Imports: []string{"github.com/redis/rueidis"}},
			"which is for driver/redisstore, internal/redistest only"},
		"a driver needs another":           {pkg{ImportPath: "driver/redisstore", Imports: []string{"./driver/memstore"}}, "drivers never import each other"},
		"a driver needs one of its family": {pkg{ImportPath: "driver/sqlstore/mysql", Imports: []string{"./driver/sqlstore/sqlite"}}, "drivers never import each other"},
		"a driver needs its family's client": {pkg{ImportPath: "driver/sqlstore/mysql", Imports: []string{"github.com/jackc/pgx/v5/pgxpool"}},
			"which is for driver/sqlstore/postgres, internal/pgtest only"},
		"what a family shares":             {pkg{ImportPath: "driver/sqlstore/mysql", Imports: []string{".", "./driver/sqlstore/internal/table"}}, ""},
		"a driver's test needs another":    {pkg{ImportPath: "driver/redisstore", XTestImports: []string{"./driver/memstore"}}, "drivers never import each other"},
		"a driver knows Lua":               {pkg{ImportPath: "driver/memstore", Imports: []string{"./storelua"}}, "a driver imports store, value and its own client"},
		"a library chooses a driver":       {pkg{ImportPath: "config", Imports: []string{"./driver/memstore"}}, "config imports the driver memstore"},
		"the command names several":        {pkg{ImportPath: "internal/cli", Imports: []string{"./driver/memstore", "./driver/redisstore"}}, "only driver/all names several"},
		"a library needs the command":      {pkg{ImportPath: "script", Imports: []string{"./internal/cli"}}, "script imports internal/cli: only cmd may"},
		"a library needs the test suite":   {pkg{ImportPath: "script", Imports: []string{"./storetest"}}, "script imports storetest outside its tests"},
		"a library starts test servers":    {pkg{ImportPath: "script", Imports: []string{"./internal/redistest"}}, "script imports internal/redistest outside its tests"},
		"a library needs testing":          {pkg{ImportPath: "script", Imports: []string{"testing"}}, "script imports testing outside its tests"},
		"a driver within the rules":        {pkg{ImportPath: "driver/memstore", Imports: []string{".", "./value", "github.com/tidwall/btree"}, XTestImports: []string{"./storetest"}}, ""},
		"driver/all names them all":        {pkg{ImportPath: "driver/all", Imports: []string{"./driver/memstore", "./driver/redisstore"}}, ""},
		"the command within the rules":     {pkg{ImportPath: "cmd/luastore", Name: "main", Imports: []string{"./internal/cli"}}, ""},
		"a test may use any dependency":    {pkg{ImportPath: "", XTestImports: []string{gopherLua, "./storelua", "./driver/memstore"}}, ""},
		"an example is a host":             {pkg{ImportPath: "examples/host", Name: "main", Imports: []string{gopherLua, "./storelua", "./driver/memstore"}}, ""},
		"a tool that measures may use all": {pkg{ImportPath: "internal/table", Name: "main", Imports: []string{"testing", gopherLua, "./storetest"}}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := graph{msgp + "/extra": {ImportPath: msgp + "/extra", Imports: []string{pq}}}
			for _, list := range [][]string{c.fault.Imports, c.fault.TestImports, c.fault.XTestImports} {
				for i, importPath := range list {
					if strings.HasPrefix(importPath, ".") {
						list[i] = path.Join(module, importPath)
					}
				}
			}
			c.fault.ImportPath = path.Join(module, c.fault.ImportPath)
			g[c.fault.ImportPath] = &c.fault
			expect(t, checkImports(g), c.want)
		})
	}
}

// expect fails unless one of the faults holds want, or, for an empty want, there is none.
func expect(t *testing.T, faults []string, want string) {
	t.Helper()
	caught := slices.ContainsFunc(faults, func(fault string) bool { return strings.Contains(fault, want) })
	switch {
	case want == "" && len(faults) > 0:
		t.Errorf("allowed, but reported:\n%s", strings.Join(faults, "\n"))
	case want != "" && !caught:
		t.Errorf("no fault says %q:\n%s", want, strings.Join(faults, "\n"))
	}
}
