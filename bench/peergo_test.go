package bench

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
)

// A state is a gopher-lua of this process as an interpreter.
type state struct {
	L        *lua.LState
	programs map[string]lua.LValue
}

func newState(L *lua.LState) *state { return &state{L, make(map[string]lua.LValue)} }

func (s *state) run(source string, n int) (string, error) {
	program, ok := s.programs[source]
	if !ok {
		if err := s.L.DoString(source); err != nil {
			return "", err
		}
		program = s.L.Get(-1)
		s.L.Pop(1)
		s.programs[source] = program
	}
	if err := s.L.CallByParam(lua.P{Fn: program, NRet: 1, Protect: true}, lua.LNumber(n)); err != nil {
		return "", err
	}
	defer s.L.Pop(1)
	return lua.LVAsString(s.L.Get(-1)), nil
}

// gopherLua is a Lua string: gopher-lua with the version that go.mod asks for. (Test binaries do not know theirs.)
func gopherLua() string {
	version := "of an unknown version"
	modules, _ := os.ReadFile("go.mod")
	for line := range strings.Lines(string(modules)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "github.com/yuin/gopher-lua" {
			version = fields[1]
		}
	}
	return strconv.Quote("gopher-lua " + version)
}

// commit is a Lua string: luastore with the commit of the work tree, where git tells it.
func commit() string {
	id, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		id = []byte("of an unknown commit")
	}
	return strconv.Quote("luastore " + strings.TrimSpace(string(id)))
}

// luastorePeer is luastore over memory, as a program embeds it: each interpreter is one Lua state in one unit of work.
func luastorePeer() *peer {
	return &peer{
		name: "luastore, memory",
		two:  "two Lua states on two goroutines, one store",
		dialect: dialect{
			open:    `local s = assert(require("store").get("bench"))`,
			locals:  `s`,
			set:     `s:set(k, v)`,
			get:     `local r = s:get(k)`,
			has:     `local r = s:has(k)`,
			version: commit() + ` .. ", " .. ` + gopherLua(),
		},
		start: func(t testing.TB) (luas [maxThreads]interpreter, err error) {
			reg := store.New(nil)
			t.Cleanup(func() { reg.Close(context.Background()) })
			if err := reg.Define("bench", store.Definition{Open: memstore.Opener(nil)}); err != nil {
				return luas, err
			}
			for i := range luas {
				luas[i] = newState(unitHost(t, reg).L)
			}
			return luas, nil
		},
	}
}

// jsonMapPeer is what a host writes itself: a map under a lock, and encoding/json.
func jsonMapPeer() *peer {
	return &peer{
		name: "Go map with JSON",
		two:  "two Lua states on two goroutines, one map",
		dialect: dialect{
			open:    `local m = map`,
			locals:  `m`,
			set:     `m.set(k, v)`,
			get:     `local r = m.get(k)`,
			has:     `local r = m.has(k)`,
			version: `"encoding/json, map[string][]byte under a sync.RWMutex, " .. ` + gopherLua(),
		},
		start: func(t testing.TB) (luas [maxThreads]interpreter, err error) {
			m := &jsonMap{values: make(map[string][]byte)}
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // as scripts of luastore have
			t.Cleanup(cancel)
			for i := range luas {
				L := lua.NewState()
				t.Cleanup(L.Close)
				L.SetContext(ctx)
				L.SetGlobal("map", L.SetFuncs(L.NewTable(), map[string]lua.LGFunction{"set": m.set, "get": m.get, "has": m.has}))
				luas[i] = newState(L)
			}
			return luas, nil
		},
	}
}

type jsonMap struct {
	mu     sync.RWMutex
	values map[string][]byte
}

func (m *jsonMap) set(L *lua.LState) int {
	key := L.CheckString(1)
	encoded, err := json.Marshal(fromLua(L.CheckAny(2)))
	if err != nil {
		L.RaiseError("%v", err)
	}
	m.mu.Lock()
	m.values[key] = encoded
	m.mu.Unlock()
	return 0
}

func (m *jsonMap) get(L *lua.LState) int {
	encoded, ok := m.find(L.CheckString(1))
	if !ok {
		return 0
	}
	var v any
	if err := json.Unmarshal(encoded, &v); err != nil {
		L.RaiseError("%v", err)
	}
	L.Push(toLua(L, v))
	return 1
}

func (m *jsonMap) has(L *lua.LState) int {
	_, ok := m.find(L.CheckString(1))
	L.Push(lua.LBool(ok))
	return 1
}

func (m *jsonMap) find(key string) ([]byte, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.values[key]
	return v, ok
}

// fromLua turns a Lua value into one for encoding/json. A table with a first element is an array.
func fromLua(v lua.LValue) any {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return float64(v)
	case lua.LBool:
		return bool(v)
	case *lua.LTable:
		if n := v.Len(); n > 0 {
			array := make([]any, n)
			for i := range array {
				array[i] = fromLua(v.RawGetInt(i + 1))
			}
			return array
		}
		object := make(map[string]any)
		v.ForEach(func(key, item lua.LValue) { object[key.String()] = fromLua(item) })
		return object
	}
	return nil
}

// toLua turns what encoding/json made into a Lua value.
func toLua(L *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case string:
		return lua.LString(v)
	case float64:
		return lua.LNumber(v)
	case bool:
		return lua.LBool(v)
	case []any:
		t := L.CreateTable(len(v), 0)
		for i, item := range v {
			t.RawSetInt(i+1, toLua(L, item))
		}
		return t
	case map[string]any:
		t := L.CreateTable(0, len(v))
		for key, item := range v {
			t.RawSetString(key, toLua(L, item))
		}
		return t
	}
	return lua.LNil
}
