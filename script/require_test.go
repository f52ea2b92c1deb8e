package script_test

import (
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/script"
)

// files returns a file system from pairs of name and content.
func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

func TestRequire_FindsModules(t *testing.T) {
	_, err := run(t, &script.Options{
		Modules: files(
			"a.lua", `local name = ... return { name = name, b = require("lib.b") }`,
			"lib/b.lua", `return { v = 2 }`,
			"pkg/init.lua", `return "init"`,
			"nothing.lua", `loads = (loads or 0) + 1`,
			"sets.lua", `package.loaded[...] = "set"`,
			"no.lua", `return false`,
		),
		Setup: func(L *lua.LState) {
			L.PreloadModule("host", func(L *lua.LState) int { L.Push(lua.LString("from the host")); return 1 })
		},
	}, `
		local a = require("a")
		assert(a.name == "a" and a.b.v == 2)
		assert(require("a") == a and package.loaded.a == a, "loaded once")
		assert(require("lib.b") == a.b and require("lib/b") ~= a.b)
		assert(require("pkg") == "init")
		assert(require("nothing") == true and require("nothing") == true and loads == 1)
		assert(require("sets") == "set")
		assert(require("no") == false)
		assert(require("host") == "from the host")
		assert(require("string") == string and require("os") == os)
		assert(tostring(require("store")) == "store module" and require("store") == require("store"))
		package.preload.own = function(name) return name .. "!" end
		assert(require("own") == "own!")`)
	if err != nil {
		t.Error(err)
	}
}

func TestRequire_Failures(t *testing.T) {
	modules := files(
		"x.lua", `return require("y")`,
		"y.lua", `return require("z")`,
		"z.lua", `return require("x")`,
		"self.lua", `return require("self")`,
		"bad.lua", "\nx = = 1",
		"fails.lua", "\n\nlocal function f() error('inside') end\nf()",
	)
	cases := map[string]struct{ source, message, traceback string }{
		"none":          {`require("none")`, `test.lua:1: module "none" not found: no file app/none.lua or app/none/init.lua`, ""},
		"a cycle":       {`require("x")`, "modules require each other: x → y → z → x", "app/z.lua:1: in main chunk"},
		"itself":        {`require("self")`, "modules require each other: self → self", ""},
		"syntax":        {`require("bad")`, `app/bad.lua:2: syntax error near "="`, "test.lua:1: in main chunk"},
		"runtime":       {`require("fails")`, "app/fails.lua:3: inside", "app/fails.lua:3: in function 'f'\n\tapp/fails.lua:4: in main chunk\n\t[Go]: in function 'require'\n\ttest.lua:1: in main chunk"},
		"above":         {`require("../up")`, `bad module name "../up"`, ""},
		"above, inside": {`require("lib/../../up")`, `bad module name`, ""},
		"absolute":      {`require("/etc/passwd")`, `bad module name`, ""},
		"empty":         {`require("")`, `bad module name ""`, ""},
		"no name":       {`require()`, "bad argument #1 to require", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			failed := fail(t, &script.Options{Modules: modules, ModulesName: "app"}, c.source)
			if !strings.Contains(failed.Message, c.message) || !strings.Contains(failed.Traceback, c.traceback) {
				t.Errorf("got %s\n%s\nwant %s\n%s", failed.Message, failed.Traceback, c.message, c.traceback)
			}
		})
	}
}

func TestRequire_AfterAFailure_TriesAgain(t *testing.T) {
	_, err := run(t, &script.Options{Modules: files("m.lua", `if not ready then error("not ready") end return "ok"`)}, `
		local ok, err = pcall(require, "m")
		assert(not ok and err:find("not ready"))
		ready = true
		assert(require("m") == "ok")`)
	if err != nil {
		t.Error(err)
	}
}

func TestRequire_WithoutFiles_SaysSo(t *testing.T) {
	failed := fail(t, nil, `require("lib")`)
	if !strings.Contains(failed.Message, "no files are open to scripts") {
		t.Errorf("got %s", failed.Message)
	}
}

// A stuckFS has files that are like a named pipe to which nobody writes.
type stuckFS struct{ release chan struct{} }

func (s stuckFS) Open(name string) (fs.File, error) {
	<-s.release
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func TestRequire_OfAFileThatNeverAnswers_EndsWithTheUnit(t *testing.T) {
	stuck := stuckFS{make(chan struct{})}
	defer close(stuck.release)
	o := &script.Options{Modules: stuck, Timeout: 50 * time.Millisecond}
	if failed := fail(t, o, `pcall(require, "pipe")`); failed.Kind != script.KindStopped || failed.Message != "script stopped: deadline of 50ms passed" {
		t.Errorf("got %s: %s", failed.Kind, failed.Message)
	}
}

type panicFS struct{}

func (panicFS) Open(string) (fs.File, error) { panic("bad files") }

func TestRequire_OfFilesThatPanic_IsContained(t *testing.T) {
	if failed := fail(t, &script.Options{Modules: panicFS{}}, `pcall(require, "lib")`); failed.Kind != script.KindPanic || !strings.Contains(failed.Message, "bad files") {
		t.Errorf("got %s: %s", failed.Kind, failed.Message)
	}
}

// A countedFS counts how often files are opened.
type countedFS struct {
	fs.FS
	opened atomic.Int32
}

func (c *countedFS) Open(name string) (fs.File, error) {
	c.opened.Add(1)
	return c.FS.Open(name)
}

func TestRequire_CompilesOnceForAllUnits(t *testing.T) {
	counted := &countedFS{FS: files("m.lua", `return {}`)}
	r := script.New(newWorld(t).reg, &script.Options{Modules: counted})
	p := compile(t, `require("m").x = (require("m").x or 0) + 1 return require("m").x`)
	for range 5 {
		results, err := r.Run(t.Context(), p)
		var n int
		if err == nil {
			err = results.Decode(&n)
		}
		if err != nil || n != 1 {
			t.Errorf("got %d, %v: the module of another unit", n, err)
		}
	}
	if n := counted.opened.Load(); n != 1 {
		t.Errorf("the file was opened %d times, want once", n)
	}
}
