package doctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/script"
	"github.com/luastore/store/storelua"
)

const root = "../.." // the module's folder, from this package's

// prelude is what an example begins with that does not load the module itself, as pages with such examples show it.
const prelude = `local store = require("store")
local s = assert(store.get("demo"))
`

// A page is one file of the documentation.
type page struct {
	name     string
	text     string
	sections []section
}

// A section is a heading with what stands below it, up to the next heading.
type section struct {
	heading  string // without its "#"; "" above the first
	examples []example
}

// An example is one block of Lua.
type example struct {
	place  string // page:line of its fence
	line   int
	source string
}

// parse splits a page. A fence that never ends is an error: what follows it would be lost.
func parse(name, text string) (*page, error) {
	p := &page{name: name, text: text, sections: []section{{}}}
	fence, language, first := "", "", 0
	var source strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		trimmed := strings.TrimSpace(line)
		last := &p.sections[len(p.sections)-1]
		switch {
		case fence == "" && strings.HasPrefix(trimmed, "```"):
			language = strings.ToLower(strings.TrimLeft(trimmed, "`"))
			fence, first = strings.Repeat("`", len(trimmed)-len(language)), n
			language = strings.TrimSpace(language)
			source.Reset()
		case fence != "" && trimmed == fence:
			if language == "lua" {
				place := fmt.Sprintf("%s:%d", name, first)
				last.examples = append(last.examples, example{place: place, line: first, source: source.String()})
			}
			fence = ""
		case fence != "":
			source.WriteString(line)
		case strings.HasPrefix(line, "#"):
			p.sections = append(p.sections, section{heading: strings.TrimSpace(strings.TrimLeft(trimmed, "#"))})
		}
	}
	if fence != "" {
		return nil, fmt.Errorf("%s:%d: the fence is never closed", name, first)
	}
	return p, nil
}

// examples returns those of all sections.
func (p *page) examples() []example {
	var all []example
	for _, s := range p.sections {
		all = append(all, s.examples...)
	}
	return all
}

// read returns a page of this repository.
func read(t *testing.T, name string) *page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := parse(name, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// readAll returns every page in which a reader may look for Lua.
func readAll(t *testing.T) []*page {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := []*page{read(t, "README.md")}
	for _, file := range files {
		pages = append(pages, read(t, "docs/"+filepath.Base(file)))
	}
	return pages
}

func TestExamples_PrintWhatTheySay(t *testing.T) {
	for _, p := range readAll(t) {
		for _, e := range p.examples() {
			t.Run(e.place, func(t *testing.T) {
				for _, fault := range e.check(t) {
					t.Error(fault)
				}
			})
		}
	}
}

// minimum is how many examples the pages have at least: were fewer found, the tests would have stopped reading.
var minimum = map[string]int{"README.md": 1, "docs/lua-api.md": 22, "docs/recipes.md": 20}

func TestExamples_AreFound(t *testing.T) {
	found := map[string]int{}
	for _, p := range readAll(t) {
		found[p.name] = len(p.examples())
		for _, e := range p.examples() {
			if e.needsPrelude() && !strings.Contains(p.text, prelude) {
				t.Errorf("%s: begins with a store that its page does not show: the page has to show\n%s", e.place, prelude)
				break
			}
		}
	}
	for name, least := range minimum {
		if found[name] < least {
			t.Errorf("%s: %d examples, want at least %d", name, found[name], least)
		}
	}
}

var (
	expectation = regexp.MustCompile(`(?m)-->[ ]?(.*)$`)
	assertion   = regexp.MustCompile(`\bassert\(`)
)

// needsPrelude reports whether an example does not load the module itself.
func (e example) needsPrelude() bool { return !strings.Contains(e.source, `require("store")`) }

// check runs an example and returns what is wrong with it.
func (e example) check(t *testing.T) []string {
	t.Helper()
	var want []string
	for _, m := range expectation.FindAllStringSubmatch(e.source, -1) {
		want = append(want, strings.TrimRight(m[1], " "))
	}
	if len(want) == 0 && !assertion.MatchString(e.source) {
		return []string{e.place + `: checks nothing: show what it prints ("-->"), assert something, or fence it as text`}
	}
	printed, err := e.run(t)
	faults := compare(e.place, want, printed)
	if err != nil {
		faults = append(faults, err.Error())
	}
	return faults
}

// run runs an example as one unit of work, in virtual time, and returns the lines that it printed. Lines in errors are those of the
// page.
func (e example) run(t *testing.T) (printed []string, err error) {
	t.Helper()
	source := e.source
	if e.needsPrelude() {
		source = strings.ReplaceAll(prelude, "\n", " ") + "\n" + source
	} else {
		source = "\n" + source
	}
	program, err := script.Compile(strings.TrimSuffix(e.place, fmt.Sprintf(":%d", e.line)), strings.Repeat("\n", e.line-1)+source)
	if err != nil {
		return nil, err
	}
	synctest.Test(t, func(t *testing.T) {
		reg := registry(t)
		var out bytes.Buffer
		err = script.New(reg, &script.Options{Stdout: &out}).Exec(t.Context(), program)
		for line := range strings.Lines(out.String()) {
			printed = append(printed, strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "   "))
		}
	})
	return printed, err
}

// compare returns where the lines that were printed are not those that were promised.
func compare(place string, want, printed []string) []string {
	var faults []string
	for i := range max(len(want), len(printed)) {
		switch {
		case i >= len(want):
			faults = append(faults, fmt.Sprintf("%s: printed, and not in its comments: %s", place, printed[i]))
		case i >= len(printed):
			faults = append(faults, fmt.Sprintf("%s: not printed: %s", place, want[i]))
		case want[i] != printed[i]:
			faults = append(faults, fmt.Sprintf("%s: line %d of its output: printed %s, its comment says %s", place, i+1, printed[i], want[i]))
		}
	}
	return faults
}

// registry returns the stores that examples find. docs/lua-api.md tells its readers of them.
func registry(t *testing.T) *store.Registry {
	t.Helper()
	reg := store.New(&store.Options{Policy: func(_ context.Context, a store.Access) error {
		if strings.HasPrefix(a.Key, "secret:") && a.Op != store.OpSet {
			return errors.New("secrets may be written, not read")
		}
		return nil
	}})
	t.Cleanup(func() {
		if err := reg.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for id, d := range map[string]store.Definition{
		"demo":          {Open: memstore.Opener(nil)},
		"session_store": {Open: memstore.Opener(nil)},
		"small":         {Open: memstore.Opener(&memstore.Options{MaxEntries: 2})},
		"away":          {Open: away},
	} {
		if err := reg.Define(id, d); err != nil {
			t.Fatal(err)
		}
	}
	return reg
}

// away opens a store that has gone since.
var away = store.Opener{Open: func(context.Context) (store.Driver, error) {
	d, err := memstore.Open(nil)
	if err != nil {
		return nil, err
	}
	return d, d.Close()
}}

func TestExamples_PlantedFaults_AreCaught(t *testing.T) {
	for name, c := range map[string]struct{ source, want string }{
		"no fault":                   {"print(s:get('a:b', 1), 'x')  --> 1   x\nprint()  -->\n", ""},
		"an assertion is enough":     {"assert(s:set('a:b', 1))", ""},
		"wrong output":               {"print(s:get('a:b', 1))  --> 2   nil", "page.md:9: line 1 of its output: printed 1   nil, its comment says 2   nil"},
		"a missing line":             {"print(1)  --> 1\n--> 2", "page.md:9: not printed: 2"},
		"an extra line":              {"print(1)  --> 1\nprint(2)", "page.md:9: printed, and not in its comments: 2"},
		"lines in another order":     {"print(1)  --> 2\nprint(2)  --> 1", "printed 1, its comment says 2"},
		"one space too many":         {"print('a b')  --> a  b", "printed a b, its comment says a  b"},
		"a syntax error":             {"assert(true)\nlocal = 1", "page.md:11:"},
		"an error":                   {"print(1)  --> 1\nassert(s:set('a', 1))", `page.md:11: invalid key "a"`},
		"no output":                  {"local n = s:get('a:b', 1)", "checks nothing"},
		"output that nobody checks":  {"print(s:get('a:b', 1))", "checks nothing"},
		"assert in the prelude only": {"-- s is an assertion away", "checks nothing"},
		"a module that is not ours":  {`local store = require("stores")  --> 1`, "not printed: 1"},
		"a store that nobody told":   {`local store = require("store"); assert(store.get("cache"))`, "store not found"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Repeat("\n", 8) + "```lua\n" + c.source + "\n```\n"
			p, err := parse("page.md", text)
			if err != nil || len(p.examples()) != 1 {
				t.Fatalf("found %v, %v", p, err)
			}
			expectFault(t, p.examples()[0].check(t), c.want)
		})
	}
}

// expectFault fails unless a fault holds want, or there is none where want is "".
func expectFault(t *testing.T, faults []string, want string) {
	t.Helper()
	if want == "" && len(faults) > 0 || want != "" && !strings.Contains(strings.Join(faults, "\n"), want) {
		t.Errorf("got %q, want %q", faults, want)
	}
}

func TestParse_FindsWhatIsFenced(t *testing.T) {
	p, err := parse("page.md", "# One\n```lua\na\n```\n~~~\n- list\n  ```Lua\n  b\n  ```\n## s:two\n```text\n# no heading\n```\n````lua\nc\n```\n````\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range p.sections {
		for _, e := range s.examples {
			got = append(got, s.heading+"|"+e.place+"|"+e.source)
		}
	}
	if want := []string{"One|page.md:2|a\n", "One|page.md:7|  b\n", "s:two|page.md:14|c\n```\n"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := parse("page.md", "\n```lua\nprint(1)\n"); err == nil || !strings.Contains(err.Error(), "page.md:2") {
		t.Errorf("a fence that is never closed: got %v", err)
	}
}

func TestReference_TellsOfEveryFunction(t *testing.T) {
	for _, fault := range checkReference(read(t, "docs/lua-api.md"), functions(t)) {
		t.Error(fault)
	}
}

var function = regexp.MustCompile(`^(store\.\w+|s:\w+|tostring\(s\))$`)

// checkReference holds the headings of a page against the functions that exist, by the name that their headings have.
func checkReference(p *page, exist []string) []string {
	var faults []string
	told := map[string]bool{}
	for _, s := range p.sections {
		if !function.MatchString(s.heading) {
			continue
		}
		told[s.heading] = true
		if !slices.Contains(exist, s.heading) {
			faults = append(faults, fmt.Sprintf("%s tells of %s, which does not exist", p.name, s.heading))
		}
		if !s.shows() {
			faults = append(faults, fmt.Sprintf("%s: %s has no example that uses it", p.name, s.heading))
		}
		if !strings.Contains(p.text, "](#"+anchor(s.heading)+")") {
			faults = append(faults, fmt.Sprintf("%s: nothing links to %s: add it to the table of all functions", p.name, s.heading))
		}
	}
	for _, name := range exist {
		if !told[name] {
			faults = append(faults, fmt.Sprintf("%s has no heading %q", p.name, name))
		}
	}
	return faults
}

// shows reports whether an example of a section uses the function of its heading.
func (s *section) shows() bool {
	name := strings.TrimSuffix(s.heading[strings.IndexAny(s.heading, ".:")+1:], "(s)")
	use := regexp.MustCompile(`[.:]` + name + `\b`)
	if name == "tostring" {
		use = regexp.MustCompile(`\btostring\(s\)`)
	}
	return slices.ContainsFunc(s.examples, func(e example) bool { return use.MatchString(e.source) })
}

// functions returns what scripts find in the module and in a store, by the names of their headings.
func functions(t *testing.T) []string {
	t.Helper()
	L := lua.NewState()
	defer L.Close()
	storelua.Preload(L)
	err := registry(t).Do(t.Context(), func(ctx context.Context) error {
		L.SetContext(ctx)
		return L.DoString("module = require('store')\n" + "s = assert(module.get('demo'))")
	})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"tostring(s)"}
	for global, before := range map[string]string{"module": "store.", "s": "s:"} {
		for _, name := range members(t, L.GetGlobal(global)) {
			names = append(names, before+name)
		}
	}
	return names
}

// members returns the names that a userdata of the module has.
func members(t *testing.T, v lua.LValue) []string {
	t.Helper()
	ud, ok := v.(*lua.LUserData)
	if !ok {
		t.Fatalf("%v is no userdata", v)
	}
	index, ok := ud.Metatable.(*lua.LTable).RawGetString("__index").(*lua.LTable)
	if !ok {
		t.Fatalf("%v keeps its functions elsewhere", v)
	}
	names := map[string]bool{}
	index.ForEach(func(k, _ lua.LValue) { names[k.String()] = true })
	if len(names) == 0 {
		t.Fatalf("%v has no functions", v)
	}
	return slices.Sorted(maps.Keys(names))
}

func TestReference_PlantedFaults_AreCaught(t *testing.T) {
	const get = "[get](#sget)\n## s:get\n```lua\ns:get('a:b')\n```\n"
	for name, c := range map[string]struct{ text, want string }{
		"no fault":                   {get + "## Keys\n", ""},
		"a function without heading": {"## Keys\n", `page.md has no heading "s:get"`},
		"a heading without function": {get + "[set](#sset)\n## s:set\n```lua\ns:set('a:b', 1)\n```\n", "page.md tells of s:set, which does not exist"},
		"no example":                 {"[get](#sget)\n## s:get\n", "s:get has no example"},
		"an example of another":      {"[get](#sget)\n## s:get\n```lua\ns:get_many{}\n```\n", "s:get has no example"},
		"no link":                    {"## s:get\n```lua\ns:get('a:b')\n```\n", "nothing links to s:get"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse("page.md", c.text)
			if err != nil {
				t.Fatal(err)
			}
			expectFault(t, checkReference(p, []string{"s:get"}), c.want)
		})
	}
}

func TestReference_TellsOfEveryKind(t *testing.T) {
	text := read(t, "docs/lua-api.md").text
	for _, kind := range store.Kinds() {
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + kind + "`").MatchString(text) {
			t.Errorf("docs/lua-api.md: the table of kinds has no %s", kind)
		}
	}
}

func TestLinks_LeadSomewhere(t *testing.T) {
	links := 0
	for _, name := range []string{"docs/lua-api.md", "docs/recipes.md"} {
		p := read(t, name)
		links += len(link.FindAllString(p.text, -1))
		for _, fault := range checkLinks(t, p) {
			t.Error(fault)
		}
	}
	if links < 30 {
		t.Errorf("only %d links found", links)
	}
}

var link = regexp.MustCompile(`\]\(([^)\s#]*)(?:#([^)\s]*))?\)`)

// checkLinks follows the links of a page within this repository, to the heading.
func checkLinks(t *testing.T, p *page) []string {
	t.Helper()
	var faults []string
	for _, m := range link.FindAllStringSubmatch(p.text, -1) {
		target, fragment := p, m[2]
		if strings.Contains(m[1], "://") {
			continue
		}
		if m[1] != "" {
			file := filepath.Join(filepath.Dir(p.name), m[1])
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				faults = append(faults, fmt.Sprintf("%s: a link leads to %s, which is not there", p.name, m[1]))
				continue
			}
			if fragment == "" {
				continue
			}
			target = read(t, file)
		}
		if !slices.ContainsFunc(target.sections, func(s section) bool { return anchor(s.heading) == fragment }) {
			faults = append(faults, fmt.Sprintf("%s: a link leads to #%s, which %s has no heading for", p.name, fragment, target.name))
		}
	}
	return faults
}

// anchor returns the name by which a heading is linked to, as GitHub makes it.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}

func TestLinks_PlantedFaults_AreCaught(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no fault":          {"[a](#sget-key) [b](drivers.md) [c](lua-api.md#keys) [d](https://example.com/#x)\n## s:get (key)\n", ""},
		"no such heading":   {"[a](#sset)\n## s:get\n", "a link leads to #sset"},
		"no such file":      {"[a](nowhere.md)\n", "a link leads to nowhere.md"},
		"heading elsewhere": {"[a](lua-api.md#nothing)\n", "a link leads to #nothing, which docs/lua-api.md has no heading for"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse("docs/page.md", c.text)
			if err != nil {
				t.Fatal(err)
			}
			expectFault(t, checkLinks(t, p), c.want)
		})
	}
}
