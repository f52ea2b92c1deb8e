package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// environmentFunctions are the base functions that reach environments and metatables. Those of gopher-lua would let a script have what
// belongs to all units of a state.
func (s *sandbox) environmentFunctions() map[string]lua.LGFunction {
	return map[string]lua.LGFunction{
		"getfenv": s.getfenv, "setfenv": s.setfenv, "getmetatable": s.getmetatable, "module": s.newModule,
	}
}

// getfenv is that of Lua. The environment of functions of the host is that of the script.
func (s *sandbox) getfenv(L *lua.LState) int {
	env := s.env
	if fn := s.functionOf(L, "getfenv", true); fn != nil && !fn.IsG && fn.Env != s.base {
		env = fn.Env
	}
	L.Push(env)
	return 1
}

// setfenv is that of Lua. Functions of the host keep their environment.
func (s *sandbox) setfenv(L *lua.LState) int {
	env := checkTable(L, 2, "setfenv")
	fn := s.functionOf(L, "setfenv", false)
	switch {
	case fn == nil:
		s.env, s.L.Env, s.L.G.Global, L.Env = env, env, env, env
		return 0
	case fn.IsG || fn.Env == s.base:
		raise(L, "'setfenv' cannot change environment of given object")
	}
	fn.Env = env
	L.Push(fn)
	return 1
}

// functionOf returns the function that argument 1 is or, as a number, says: how many calls up. Nil stands for level 0.
func (s *sandbox) functionOf(L *lua.LState, function string, optional bool) *lua.LFunction {
	if fn, ok := L.Get(1).(*lua.LFunction); ok {
		return fn
	}
	level := 1
	if !optional || L.Get(1) != lua.LNil {
		level = checkInt(L, 1, function)
	}
	if level == 0 {
		return nil
	}
	fn := caller(L, level)
	if fn == nil {
		argumentError(L, 1, function, "invalid level")
	}
	return fn
}

// caller returns the function that is so many calls up, nil if there is none.
func caller(L *lua.LState, level int) *lua.LFunction {
	if level < 0 || level > CallDepth {
		return nil
	}
	d, ok := L.GetStack(level)
	if !ok {
		return nil
	}
	v, err := L.GetInfo("f", d, lua.LNil)
	fn, ok := v.(*lua.LFunction)
	if err != nil || !ok {
		return nil
	}
	return fn
}

// getmetatable is that of Lua. The metatables of what the host has made are out of reach: its values outlive the unit.
func (s *sandbox) getmetatable(L *lua.LState) int {
	switch v := checkAny(L, 1, "getmetatable").(type) {
	case *lua.LTable:
		L.Push(L.GetMetatable(v))
	case lua.LString:
		s.own("string")
		L.Push(L.GetMetatable(v))
	default:
		mt := L.GetMetatable(v)
		if mt.Type() == lua.LTTable {
			mt = lua.LString(v.Type().String())
		}
		L.Push(mt)
	}
	return 1
}

// newModule is the function module of Lua: it makes a global table, or takes one, that is the environment of its caller from then on.
func (s *sandbox) newModule(L *lua.LState) int {
	name := checkString(L, 1, "module")
	pkg := s.openPackages()
	t, ok := pkg.loaded.RawGetString(name).(*lua.LTable)
	if !ok {
		if t = s.moduleTable(L, name); t == nil {
			raise(L, "name conflict for module '%s'", name)
		}
		pkg.loaded.RawSetString(name, t)
	}
	if t.RawGetString("_NAME") == lua.LNil {
		t.RawSetString("_M", t)
		t.RawSetString("_NAME", lua.LString(name))
		t.RawSetString("_PACKAGE", lua.LString(name[:strings.LastIndexByte(name, '.')+1]))
	}
	fn := caller(L, 1)
	if fn == nil || fn.IsG {
		raise(L, "'module' not called from a Lua function")
	}
	fn.Env = t
	for i := 2; i <= L.GetTop(); i++ {
		option := L.Get(i)
		L.Push(option)
		L.Push(t)
		L.Call(1, 0)
	}
	return 0
}

// moduleTable returns the table below the globals that a dotted name stands for, made where it is not there; nil where something
// else is.
func (s *sandbox) moduleTable(L *lua.LState, name string) *lua.LTable {
	t := s.env
	for part := range strings.SplitSeq(name, ".") {
		switch v := t.RawGetString(part).(type) {
		case *lua.LTable:
			t = v
		case *lua.LNilType:
			inner := L.NewTable()
			t.RawSetString(part, inner)
			t = inner
		default:
			return nil
		}
	}
	return t
}

// seeall is package.seeall: a module sees the globals.
func (s *sandbox) seeall(L *lua.LState) int {
	t := checkTable(L, 1, "seeall")
	mt, ok := t.Metatable.(*lua.LTable)
	if !ok {
		mt = L.CreateTable(0, 1)
		t.Metatable = mt
	}
	mt.RawSetString("__index", s.env)
	return 0
}
