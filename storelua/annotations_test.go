package storelua

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
)

// definitions are what a file of annotations says.
type definitions struct {
	functions map[string]signature        // by their names as they are written: store.get, Store:get
	classes   map[string]map[string]field // fields by name
	aliases   map[string][]string         // words by name; none for an alias of types
	examples  []string
}

// A signature is what stands above a function and in its head.
type signature struct {
	documented, declared []string // names of parameters
	described, returns   bool
}

// A field is one of a class.
type field struct {
	kind     string
	optional bool
}

var (
	classLine     = regexp.MustCompile(`^---@class (?:\(exact\) )?(\S+)$`)
	fieldLine     = regexp.MustCompile(`^---@field (\w+)(\??) (\S+)(?: .+)?$`)
	aliasLine     = regexp.MustCompile(`^---@alias (\S+)(?: \S+)?$`)
	wordLine      = regexp.MustCompile(`^---\| '"(\w+)"' # .+$`)
	paramLine     = regexp.MustCompile(`^---@param (\w+)\?? .+$`)
	returnLine    = regexp.MustCompile(`^---@return (?:\S+[,:] )*\S+ \w+(?: .+)?$`)
	otherLine     = regexp.MustCompile(`^---@(?:meta store|nodiscard|generic T|overload fun\(.+)$`)
	functionLine  = regexp.MustCompile(`^function (\w+[.:]\w+)\(([\w, ]*)\) end$`)
	typeReference = regexp.MustCompile(`\bstore\.[A-Z][a-z]\w*`)
)

// A reader reads definitions line by line.
type reader struct {
	definitions
	class, alias string
	above        signature // of the function that is to come
	example      *string   // the one that is not at its end yet
}

// read takes a file of annotations apart. The faults are lines that it does not understand.
func read(text string) (definitions, faults) {
	r := reader{definitions: definitions{
		functions: map[string]signature{}, classes: map[string]map[string]field{}, aliases: map[string][]string{},
	}}
	var f faults
	for n, line := range strings.Split(text, "\n") {
		if !r.comment(line) && !r.code(line) {
			f.report("line %d is not understood: %s", n+1, line)
		}
	}
	return r.definitions, f
}

// comment reads a line of annotations.
func (r *reader) comment(line string) bool {
	var m []string
	is := func(re *regexp.Regexp) bool { m = re.FindStringSubmatch(line); return m != nil }
	switch {
	case line == "---```lua":
		r.example = new(string)
	case line == "---```":
		r.examples = append(r.examples, *r.example)
		r.example = nil
	case r.example != nil:
		*r.example += strings.TrimPrefix(line, "---") + "\n"
	case is(classLine):
		r.class = m[1]
		r.classes[r.class] = map[string]field{}
	case r.class != "" && is(fieldLine):
		r.classes[r.class][m[1]] = field{kind: m[3], optional: m[2] != ""}
	case is(aliasLine):
		r.alias = m[1]
		r.aliases[r.alias] = nil
	case r.alias != "" && is(wordLine):
		r.aliases[r.alias] = append(r.aliases[r.alias], m[1])
	case is(paramLine):
		r.above.documented = append(r.above.documented, m[1])
	case is(returnLine):
		r.above.returns = true
	case is(otherLine):
	case strings.HasPrefix(line, "---@"), strings.HasPrefix(line, "---|"), !strings.HasPrefix(line, "---"):
		return false
	default:
		r.above.described = true
	}
	return true
}

// code reads any other line.
func (r *reader) code(line string) bool {
	m := functionLine.FindStringSubmatch(line)
	if m == nil {
		r.class, r.alias, r.above = "", "", signature{}
		return !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "function ")
	}
	if m[2] != "" {
		r.above.declared = strings.Split(m[2], ", ")
	}
	r.functions[m[1]] = r.above
	r.above = signature{}
	return true
}

// faults are what is wrong with a file of annotations.
type faults []string

func (f *faults) report(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// compare reports names that are defined and do not exist, and the reverse.
func (f *faults) compare(what string, defined iter.Seq[string], exist ...string) {
	names := slices.Sorted(defined)
	for _, name := range names {
		if !slices.Contains(exist, name) {
			f.report("%s %s is defined, but does not exist", what, name)
		}
	}
	for _, name := range exist {
		if !slices.Contains(names, name) {
			f.report("%s %s exists, but is not defined", what, name)
		}
	}
}

// facts are what there really is.
type facts struct {
	functions []string
	constants []string                 // of the module
	words     map[string][]string      // by alias
	options   map[string][]string      // names of options by class
	results   map[string][]*lua.LTable // what calls return, by class
}

// checkAnnotations returns what is wrong with a file of annotations.
func checkAnnotations(text string, real facts) faults {
	d, f := read(text)
	if !strings.HasPrefix(text, "---@meta store\n") {
		f.report("the first line does not name the module")
	}
	if err := loads(text); err != nil {
		f.report("it does not load: %v", err)
	}
	f.compare("function", maps.Keys(d.functions), real.functions...)
	for name, s := range d.functions {
		f.checkSignature(name, s)
	}
	f.compare("alias", maps.Keys(d.aliases), append(slices.Collect(maps.Keys(real.words)), "store.Value")...)
	for alias, words := range real.words {
		f.compare("word of "+alias, slices.Values(d.aliases[alias]), words...)
	}
	f.compare("class", maps.Keys(d.classes), slices.Concat([]string{"store", "store.Store", "store.Remove"},
		slices.Collect(maps.Keys(real.options)), slices.Collect(maps.Keys(real.results)))...)
	f.compare("constant", maps.Keys(d.classes["store"]), real.constants...)
	for class, names := range real.options {
		f.checkOptions(class, d.classes[class], names)
	}
	for class, samples := range real.results {
		f.checkResults(class, d.classes[class], samples)
	}
	for _, name := range typeReference.FindAllString(text, -1) {
		_, class := d.classes[name]
		if _, alias := d.aliases[name]; !class && !alias {
			f.report("type %s is named, but not defined", name)
		}
	}
	return f
}

// checkSignature reports what a function lacks.
func (f *faults) checkSignature(name string, s signature) {
	if !slices.Equal(s.documented, s.declared) {
		f.report("function %s has parameters %v, those of %v are documented", name, s.declared, s.documented)
	}
	if !s.described || !s.returns {
		f.report("function %s has no description, or no result", name)
	}
}

// checkOptions holds a class of options, which may all be left out, against their names.
func (f *faults) checkOptions(class string, fields map[string]field, names []string) {
	f.compare("option of "+class, maps.Keys(fields), names...)
	for name, option := range fields {
		if !option.optional {
			f.report("option %s of %s must have a question mark", name, class)
		}
	}
}

// checkResults holds the fields of a class against tables that calls returned: a field is in all of them, or is optional and in
// some.
func (f *faults) checkResults(class string, fields map[string]field, samples []*lua.LTable) {
	seen := map[string]int{}
	for _, sample := range samples {
		sample.ForEach(func(k, v lua.LValue) {
			name := k.String()
			seen[name]++
			if defined, ok := fields[name]; ok && !fits(v, defined.kind) {
				f.report("field %s of %s is defined as %s, but is %s", name, class, defined.kind, v)
			}
		})
	}
	f.compare("field of "+class, maps.Keys(fields), slices.Collect(maps.Keys(seen))...)
	for name, n := range seen {
		defined, ok := fields[name]
		if sometimes := n < len(samples); ok && defined.optional != sometimes {
			f.report("field %s of %s is optional: defined %t, real %t", name, class, defined.optional, sometimes)
		}
	}
}

// loads returns an error unless text is Lua that returns a module with its functions.
func loads(text string) error {
	L := lua.NewState()
	defer L.Close()
	if err := L.DoString(text); err != nil {
		return err
	}
	if module, ok := L.Get(1).(*lua.LTable); !ok || module.RawGetString("get").Type() != lua.LTFunction {
		return errors.New("it returns no module with a function get")
	}
	return nil
}

// fits reports whether a value is of a type as annotations name it.
func fits(v lua.LValue, kind string) bool {
	switch kind {
	case "any":
		return true
	case "string":
		return v.Type() == lua.LTString
	case "boolean":
		return v.Type() == lua.LTBool
	case "number":
		return v.Type() == lua.LTNumber
	case "integer":
		n, ok := v.(lua.LNumber)
		return ok && lua.LNumber(int64(n)) == n
	}
	return v.Type() == lua.LTTable && (strings.HasSuffix(kind, "[]") || strings.HasPrefix(kind, "store."))
}

// A desk is a place to run scripts: a state and a registry with the store "cache", and "small" with bounds, both in memory.
type desk struct {
	*testing.T
	reg *store.Registry
	L   *lua.LState
}

func newDesk(t *testing.T, o *store.Options) *desk {
	t.Helper()
	d := &desk{T: t, reg: store.New(o), L: lua.NewState()}
	t.Cleanup(func() {
		d.L.Close()
		_ = d.reg.Close(context.Background())
	})
	small := &memstore.Options{MaxEntries: 10, MaxBytes: 10_000}
	for id, o := range map[string]*memstore.Options{"cache": nil, "small": small} {
		if err := d.reg.Define(id, store.Definition{Open: memstore.Opener(o)}); err != nil {
			t.Fatal(err)
		}
	}
	Preload(d.L)
	return d
}

// run runs code as a unit of work and returns its first result.
func (d *desk) run(code string) lua.LValue {
	d.Helper()
	var first lua.LValue
	err := d.reg.Do(context.Background(), func(ctx context.Context) error {
		d.L.SetContext(ctx)
		defer d.L.SetTop(0)
		err := d.L.DoString(`local store = require("store"); local s = store.get("cache"); ` + code)
		first = d.L.Get(1)
		return err
	})
	if err != nil {
		d.Fatalf("%s: %v", code, err)
	}
	return first
}

// tables runs code that returns an array of tables.
func (d *desk) tables(code string) []*lua.LTable {
	d.Helper()
	var all []*lua.LTable
	d.run(code).(*lua.LTable).ForEach(func(_, v lua.LValue) { all = append(all, v.(*lua.LTable)) })
	return all
}

// members returns the names below a sealed userdata, functions and others.
func members(v lua.LValue) (functions, constants []string) {
	index := v.(*lua.LUserData).Metatable.(*lua.LTable).RawGetString("__index").(*lua.LTable)
	index.ForEach(func(k, v lua.LValue) {
		if v.Type() == lua.LTFunction {
			functions = append(functions, k.String())
		} else {
			constants = append(constants, k.String())
		}
	})
	return functions, constants
}

// theFacts asks the module itself.
func theFacts(t *testing.T) facts {
	t.Helper()
	d := newDesk(t, nil)
	real := facts{
		words: map[string][]string{
			"store.ErrorKind":    store.Kinds(),
			"store.FetchOutcome": {hit.String(), miss.String()},
		},
		options: map[string][]string{
			"store.SetOptions": setOptionNames, "store.DeleteOptions": deleteOptionNames, "store.IncrOptions": incrOptionNames,
			"store.UpdateOptions": updateOptionNames, "store.ListOptions": listOptionNames, "store.EachOptions": eachOptionNames,
		},
		results: map[string][]*lua.LTable{
			"store.Info":   d.tables(`return { s:info(), store.get("small"):info() }`),
			"store.Limits": d.tables(`return { s:info().limits, store.get("small"):info().limits }`),
			"store.Entry":  d.tables(`s:set("a:b", 1) s:set("a:c", 2, 60) return { s:entry("a:b"), s:entry("a:c") }`),
			"store.Page":   d.tables(`return { s:list({ limit = 1 }), s:list({ values = true }) }`),
			"store.Item":   d.tables(`return s:list({ values = true }).items`),
		},
	}
	functions, constants := members(d.run(`return store`))
	methods, _ := members(d.run(`return s`))
	for _, name := range functions {
		real.functions = append(real.functions, "store."+name)
	}
	for _, name := range methods {
		real.functions = append(real.functions, "Store:"+name)
	}
	real.constants = constants
	return real
}

func TestAnnotations_SayWhatThereIs(t *testing.T) {
	real := theFacts(t)
	if len(real.functions) < 10 || len(real.words["store.ErrorKind"]) < 10 {
		t.Fatalf("the module has next to nothing to compare with: %+v", real)
	}
	for _, fault := range checkAnnotations(Annotations(), real) {
		t.Error(fault)
	}
}

// TestAnnotations_PlantedFaults_AreCaught changes one place of the file at a time.
func TestAnnotations_PlantedFaults_AreCaught(t *testing.T) {
	real := theFacts(t)
	for name, c := range map[string]struct{ before, after, want string }{
		"not Lua":                         {"function Store:has(key) end", "function Store:has(key)", "it does not load"},
		"returns another table":           {"\nreturn store\n", "\nreturn {}\n", "it does not load: it returns no module with a function get"},
		"returns nothing":                 {"\nreturn store\n", "\n", "it does not load: it returns no module"},
		"another module":                  {"---@meta store\n", "---@meta stores\n", "the first line does not name the module"},
		"a method is missing":             {"function Store:has(key) end\n", "", "function Store:has exists, but is not defined"},
		"a method is made up":             {"function Store:has(key) end", "function Store:owns(key) end", "function Store:owns is defined, but does not exist"},
		"get is missing":                  {"function store.get(id) end\n", "store.get = tostring\n", "function store.get exists, but is not defined"},
		"a parameter is forgotten":        {"function Store:touch(key, ttl) end", "function Store:touch(key) end", "function Store:touch has parameters [key]"},
		"a parameter is not told of":      {"---@param delta? number Default: 1.\n", "", "function Store:incr has parameters [key delta opts]"},
		"a method without a result":       {"---@return true released\n", "", "function Store:release has no description, or no result"},
		"a kind is missing":               {`---| '"full"'`, `--| '"full"'`, "word of store.ErrorKind full exists, but is not defined"},
		"a kind is made up":               {`---| '"full"'`, `---| '"fool"'`, "word of store.ErrorKind fool is defined, but does not exist"},
		"a kind without comment":          {`---| '"full"' #`, `---| '"full"'`, "is not understood: ---| '\"full\"'"},
		"an outcome is made up":           {`---| '"hit"'`, `---| '"hits"'`, "word of store.FetchOutcome hits is defined"},
		"an option is missing":            {"---@field keep_ttl? ", "--@field keep_ttl? ", "option of store.SetOptions keep_ttl exists, but is not defined"},
		"an option is misspelt":           {"---@field retries? ", "---@field retry? ", "option of store.UpdateOptions retry is defined, but does not exist"},
		"an option is required":           {"---@field initial? ", "---@field initial ", "option initial of store.IncrOptions must have a question mark"},
		"options are missing":             {"---@class (exact) store.EachOptions\n", "", "class store.EachOptions exists, but is not defined"},
		"a class of its own":              {"---@class store.Entry\n", "---@class store.Entries\n", "class store.Entries is defined, but does not exist"},
		"a field of info":                 {"---@field durability ", "---@field durable ", "field of store.Info durability exists, but is not defined"},
		"a limit is made up":              {"---@field key_bytes ", "---@field keys ", "field of store.Limits keys is defined, but does not exist"},
		"a limit is not everywhere":       {"---@field entries? ", "---@field entries ", "field entries of store.Limits is optional: defined false, real true"},
		"a field is always there":         {"---@field version ", "---@field version? ", "field version of store.Entry is optional: defined true, real false"},
		"a field has another type":        {"---@field shared boolean", "---@field shared string", "field shared of store.Info is defined as string, but is false"},
		"a page without items":            {"---@field items ", "---@field keys ", "field of store.Page items exists, but is not defined"},
		"a word that LuaLS does not know": {"---@nodiscard", "---@nodicsard", "is not understood: ---@nodicsard"},
		"a result without a name":         {"---@return boolean exists", "---@return boolean", "is not understood: ---@return boolean"},
		"a type that is none":             {"---@return store.Entry entry", "---@return store.Entries entry", "type store.Entries is named, but not defined"},
		"the constant is missing":         {"---@field REMOVE ", "--@field REMOVE ", "constant REMOVE exists, but is not defined"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Count(Annotations(), c.before) == 0 {
				t.Fatalf("%q is not in the file", c.before)
			}
			faults := checkAnnotations(strings.Replace(Annotations(), c.before, c.after, 1), real)
			if !slices.ContainsFunc(faults, func(fault string) bool { return strings.Contains(fault, c.want) }) {
				t.Errorf("no fault says %q:\n%s", c.want, strings.Join(faults, "\n"))
			}
		})
	}
}

// misuse runs an example and returns the mistakes that its calls answered.
func misuse(t *testing.T, example string) []error {
	t.Helper()
	var mistakes []error
	d := newDesk(t, &store.Options{Observe: func(_ context.Context, e store.Event) {
		if store.Kind(e.Err) == "invalid" {
			mistakes = append(mistakes, e.Err)
		}
	}})
	d.L.SetGlobal("print", d.L.NewFunction(func(*lua.LState) int { return 0 }))
	d.run(example)
	return mistakes
}

func TestAnnotations_ExamplesRun(t *testing.T) {
	d, _ := read(Annotations())
	if len(d.examples) < 5 {
		t.Fatalf("only %d examples were found", len(d.examples))
	}
	for _, example := range d.examples {
		if mistakes := misuse(t, example); mistakes != nil {
			t.Errorf("%s\nanswers %v", example, mistakes)
		}
	}
	if misuse(t, `s:set("a:b", 1, { tll = 1 })`) == nil {
		t.Error("a mistake was not noticed")
	}
}
