package storelua_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storelua"
)

// specDir holds the complete examples of the specification, each below the line that loads the module.
const specDir = "../internal/cli/testdata/spec"

// specExamples says what the examples print in a host's own state, and after which script they find what they look for.
var specExamples = map[string]struct{ seed, printed string }{
	"basic.lua":  {printed: `^User theme: dark\nFont size: 14\nUser preferences exist in store\n$`},
	"ttl.lua":    {printed: `^User ID: 42\nLast access: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n$`},
	"errors.lua": {printed: `^API key not configured\n$`},
	"batch.lua": {
		seed:    `assert(require("store").get("inventory_store"):set("item:1002", {quantity = 2}))`,
		printed: `^$`,
	},
}

func TestSpecification_EveryExampleRunsInAHostsOwnState(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(specDir, "*.lua"))
	if err != nil || len(files) != len(specExamples) {
		t.Fatalf("%d examples, want %d: %v", len(files), len(specExamples), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want := specExamples[filepath.Base(file)]
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			reg := store.New(&store.Options{Default: func(string) (store.Definition, bool) {
				return store.Definition{Open: memstore.Opener(nil)}, true
			}})
			defer func() { _ = reg.Close(context.Background()) }()
			if _, err := printedBy(t, reg, want.seed); err != nil {
				t.Fatal(err)
			}
			printed, err := printedBy(t, reg, string(source))
			if err != nil || !regexp.MustCompile(want.printed).MatchString(printed) {
				t.Errorf("printed %q, %v, want %s", printed, err, want.printed)
			}
		})
	}
}

// printedBy runs source as a unit on a state of its own and returns what it printed.
func printedBy(t *testing.T, reg *store.Registry, source string) (string, error) {
	L := newState(t)
	storelua.Preload(L)
	var printed strings.Builder
	L.SetGlobal("print", L.NewFunction(func(L *lua.LState) int {
		for i := 1; i <= L.GetTop(); i++ {
			printed.WriteString(L.ToStringMeta(L.Get(i)).String())
		}
		printed.WriteByte('\n')
		return 0
	}))
	err := reg.Do(context.Background(), func(ctx context.Context) error {
		L.SetContext(ctx)
		return L.DoString(source)
	})
	return printed.String(), err
}
