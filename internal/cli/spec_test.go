package cli

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/script"
)

// A specExample is one complete example of the specification, as it stands there below the line that loads the module.
type specExample struct {
	file, id string
	empty    string // output on an empty store, a pattern
	seed     string // what a script before it may have stored
	found    string // output then
	after    string // a check of what it left
}

var specExamples = []specExample{
	{
		file: "basic", id: "cache_store",
		empty: `User theme: dark\nFont size: 14\nUser preferences exist in store\n`,
		seed:  `assert(s:set("user:preferences", { theme = "light" }))`,
		found: `User theme: dark\nFont size: 14\nUser preferences exist in store\n`,
		after: `assert(s:has("user:preferences") == false)`,
	},
	{
		file: "ttl", id: "session_store",
		empty: `User ID: 42\nLast access: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n`,
		seed:  `assert(s:set("session:12345", "old"))`,
		found: `User ID: 42\nLast access: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n`,
		after: `local left = s:ttl("session:12345") assert(left > 1700 and left <= 1800, left)`,
	},
	{
		file: "errors", id: "data_store",
		empty: `API key not configured\n`,
		seed:  `assert(s:set("config:api_key", "abc"))`,
		found: ``,
		after: `assert(s:get("config:api_key") == "abc")`,
	},
	{
		file: "batch", id: "inventory_store",
		empty: ``,
		seed:  `assert(s:set("item:1001", { quantity = 2, name = "a" })) assert(s:set("item:1002", { quantity = 0 }))`,
		found: ``,
		after: `assert(s:get("item:1001").quantity == 1 and s:get("item:1001").name == "a" and s:get("item:1002").quantity == 0 and not s:has("item:1003"))`,
	},
}

func (e specExample) path() string { return "testdata/spec/" + e.file + ".lua" }

// script returns Lua code that has the example's store as s.
func (e specExample) script(code string) string {
	return `local s = assert(require("store").get("` + e.id + `")) ` + code
}

func matches(pattern, text string) bool {
	return regexp.MustCompile("^" + pattern + "$").MatchString(text)
}

func TestSpec_ExamplesRunAlone(t *testing.T) {
	for _, e := range specExamples {
		t.Run(e.file, func(t *testing.T) {
			got := luastore(t, "run", e.path())
			if got.code != 0 || !matches(e.empty, got.stdout) || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestSpec_ExamplesAfterAnotherScript runs each in the registry of the command, where a script before it stored something.
func TestSpec_ExamplesAfterAnotherScript(t *testing.T) {
	for _, e := range specExamples {
		t.Run(e.file, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			a := &app{stdout: &stdout, stderr: &stderr}
			opened, err := a.openStores(storeFlags{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := opened.close(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			example, root, err := a.load(t.Context(), e.path())
			if err != nil {
				t.Fatal(err)
			}
			root.Close()
			runner := script.New(opened.reg, &script.Options{Stdout: &stdout})
			for _, p := range []*script.Program{e.compile(t, e.seed), example, e.compile(t, e.after)} {
				if err := runner.Exec(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			if !matches(e.found, stdout.String()) {
				t.Errorf("got %q", &stdout)
			}
		})
	}
}

func (e specExample) compile(t *testing.T, code string) *script.Program {
	t.Helper()
	p, err := script.Compile("other.lua", e.script(code))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSpec_ExamplesOnRedis(t *testing.T) {
	for _, e := range specExamples {
		t.Run(e.file, func(t *testing.T) {
			store := e.id + "=" + redistest.Shared(t).URL()
			if got := luastore(t, "run", "--store", store, e.path()); got.code != 0 || !matches(e.empty, got.stdout) || got.stderr != "" {
				t.Errorf("alone: got %+v", got)
			}
			if got := (call{stdin: e.script(e.seed)}).run(t, "run", "--store", store, "-"); got.code != 0 {
				t.Fatalf("before: got %+v", got)
			}
			if got := luastore(t, "run", "--store", store, e.path()); got.code != 0 || !matches(e.found, got.stdout) || got.stderr != "" {
				t.Errorf("after another script: got %+v", got)
			}
			if got := (call{stdin: e.script(e.after)}).run(t, "run", "--store", store, "-"); got.code != 0 {
				t.Errorf("what it left: got %+v", got)
			}
		})
	}
}
