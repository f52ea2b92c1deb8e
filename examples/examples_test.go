package examples

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/luastore/store/internal/cli"
)

// outputs are what the scripts print on empty stores.
var outputs = map[string]string{
	"preferences.lua": `before: system, Mono 14
after:  dark, Mono 14, changes: 1
stored: dark
`,
	"sessions.lua": `session:ada: 30 minutes left
session:ada: 60 minutes left
session:bob: please log in
session:ada: never expires
logged out: true
session:ada: key not found
`,
	"errors.lua": `nil	key not found	not_found
3	nil
nil	invalid key "no-namespace": want "namespace:name"	invalid
nil	invalid ttl -5: want seconds, 0 or more	invalid
nil	cannot store a function at .on_error	invalid
written: false
theme: (not set)
false	errors.lua:28: cannot read bad key: invalid key "bad key": want "namespace:name"
nil	store is released	released
`,
	"inventory.lua": `reserved Lamp     40   1 left
reserved Lamp     40   0 left
reserved Desk    250   0 left
total 330
missing: Chair (sold out), item:unknown (no such item)
`,
	"counters.lua": `visits:about 1, visits:home 3
call 1: welcome
call 2: welcome
call 3: welcome
call 4: try again in 60 seconds
invalid: not a number
`,
	"cache.lua": `  (asking the weather service)
oslo: 4 degrees (miss)
  (asking the weather service)
lima: 19 degrees (miss)
oslo: 4 degrees (hit)
  (asking the weather service)
atlantis: no such city
  (asking the weather service)
rome: 23 degrees (miss)
  (asking the weather service)
cairo: 31 degrees (miss)
recent: cairo, rome, oslo
cleared: true
`,
}

func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("*.lua")
	if err != nil {
		t.Fatal(err)
	}
	scripts = slices.DeleteFunc(scripts, isTest)
	if len(scripts) != len(outputs) {
		t.Errorf("%d scripts, %d of them with an expected output", len(scripts), len(outputs))
	}
	for _, name := range scripts {
		t.Run(name, func(t *testing.T) {
			if got := run(t, name); got != outputs[name] {
				t.Errorf("got:\n%s\nwant:\n%s", got, outputs[name])
			}
		})
	}
}

func isTest(script string) bool { return strings.HasSuffix(script, "_test.lua") }

// TestTests runs the examples of tests, which all pass.
func TestTests(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := cli.Main(t.Context(), []string{"test"}, strings.NewReader(""), &stdout, &stderr, nil)
	if code != 0 || stderr.Len() > 0 || !strings.Contains(stdout.String(), "8 cases in 1 file: 8 passed") {
		t.Errorf("exit %d, stdout %s, stderr %s", code, &stdout, &stderr)
	}
}

// run runs a script as a newcomer would.
func run(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Main(t.Context(), append([]string{"run"}, args...), strings.NewReader(""), &stdout, &stderr, nil)
	if code != 0 || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("exit %d, stderr %s", code, &stderr)
	}
	return stdout.String()
}

func TestScripts_TakeArguments(t *testing.T) {
	if got := run(t, "preferences.lua", "light"); !strings.Contains(got, "after:  light") {
		t.Errorf("got %s", got)
	}
	if got := run(t, "counters.lua", "1"); !strings.Contains(got, "call 1: welcome\ncall 2: try again") {
		t.Errorf("got %s", got)
	}
	if got := run(t, "cache.lua", "lima"); !strings.Contains(got, "recent: lima\n") {
		t.Errorf("got %s", got)
	}
	if got := run(t, "inventory.lua", "item:chair"); got != "total 0\nmissing: Chair (sold out)\n" {
		t.Errorf("got %s", got)
	}
}
