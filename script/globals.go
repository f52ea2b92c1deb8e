package script

import (
	"slices"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/storelua"
)

// A template is what all units of a state begin with: the globals that the libraries and the host have left. No script gets hold of
// one of its tables.
type template struct {
	base    *lua.LTable
	plain   *lua.LTable // of base what scripts cannot change, or only read the fields of: it needs no copy
	behind  *lua.LTable // the metatable of the globals of a unit, which answers from plain and, for the rest, from scarce
	outside *lua.LTable // the metatable of what the host sees as globals, which never answers with a table of the template
	loaded  *lua.LTable // package.loaded
	preload *lua.LTable // package.preload
	store   lua.LValue  // the module store: one does for all units, as scripts cannot change it
	meta    *lua.LTable // the metatable of strings
}

// globals are those of one unit.
type globals struct {
	env      *lua.LTable
	whole    bool                        // everything is in env, which scripts may see as a table
	copies   map[*lua.LTable]*lua.LTable // of tables of the template
	name     string                      // of the program
	args     []lua.LValue
	required []module  // modules that were loaded, until packages are there
	pkg      *packages // once the script has asked for package
	loading  []string  // names of the modules that are being loaded, outermost first
	missing  Grant     // what would have given a global that the script looked for last
}

// packages are the tables of package that one unit has.
type packages struct{ loaded, preload *lua.LTable }

// A module that was loaded.
type module struct {
	name  string
	value lua.LValue
}

// special are the globals through which a script may see its globals as a table.
var special = []string{"_G", "getfenv", "setfenv", "module", "package"}

// learn makes the template of what is in the state.
func (s *sandbox) learn() {
	t := &s.template
	t.base = s.L.G.Global
	pkg := t.base.RawGetString("package").(*lua.LTable)
	t.loaded = pkg.RawGetString("loaded").(*lua.LTable)
	t.preload = pkg.RawGetString("preload").(*lua.LTable)
	t.plain = s.L.CreateTable(0, 64)
	each(t.base, func(k, v lua.LValue) {
		if name, ok := k.(lua.LString); ok && isPlain(v) && !slices.Contains(special, string(name)) {
			t.plain.RawSetString(string(name), v)
		}
	})
	t.plain.Metatable = s.hidden(s.L.NewFunction(s.scarce))
	t.behind = s.hidden(t.plain)
	t.outside = s.hidden(s.L.NewFunction(s.outsideGet))
	t.outside.RawSetString("__newindex", s.L.NewFunction(s.outsideSet))
	if t.store == nil {
		s.L.SetMetatable(lua.LString(""), s.metatable("__index", t.base.RawGetString("string")))
		s.L.Push(s.L.NewFunction(storelua.Loader))
		s.L.Call(0, 1)
		t.store = s.L.Get(-1)
		s.L.Pop(1)
	}
	switch mt := s.L.GetMetatable(lua.LString("")).(type) {
	case *lua.LTable:
		t.meta = mt
	case *lua.LNilType:
		t.meta = nil
	}
}

// metatable returns a table with one field.
func (s *sandbox) metatable(name string, v lua.LValue) *lua.LTable {
	t := s.L.CreateTable(0, 1)
	t.RawSetString(name, v)
	return t
}

// hidden returns a metatable with __index that scripts cannot get.
func (s *sandbox) hidden(index lua.LValue) *lua.LTable {
	t := s.metatable("__index", index)
	t.RawSetString("__metatable", lua.LFalse)
	return t
}

// each calls fn for each pair of a table, in its order.
func each(t *lua.LTable, fn func(k, v lua.LValue)) {
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		fn(k, v)
	}
}

// isPlain reports whether scripts that only read the fields of a value cannot change anything by it.
func isPlain(v lua.LValue) bool {
	t, ok := v.(*lua.LTable)
	if !ok {
		return true
	}
	plain := t.Metatable == lua.LNil
	each(t, func(_, v lua.LValue) { plain = plain && v.Type() != lua.LTTable })
	return plain
}

// freshGlobals gives a unit its globals.
func (s *sandbox) freshGlobals(p *Program, args []lua.LValue) {
	s.globals = globals{env: s.L.CreateTable(0, 0), name: p.name, args: args}
	s.env.Metatable = s.behind
	s.L.Env = s.env
	if s.base.Metatable != lua.LNil {
		s.placeAll()
		return
	}
	view := s.L.CreateTable(0, 0)
	view.Metatable = s.outside
	s.L.G.Global = view
	s.admit(p)
}

// forgetGlobals takes them away.
func (s *sandbox) forgetGlobals() {
	if s.whole || s.copies != nil {
		s.restoreMeta()
	}
	s.globals = globals{}
	s.L.Env = s.base
	s.L.G.Global = s.base
}

// restoreMeta gives strings back the metatable of all units.
func (s *sandbox) restoreMeta() {
	if s.meta == nil {
		s.L.SetMetatable(lua.LString(""), lua.LNil)
		return
	}
	s.L.SetMetatable(lua.LString(""), s.meta)
}

// admit gives the unit what a program needs before it runs: a library that it may change as a copy, and all globals in their
// places where it assigns one of them, which may be nil.
func (s *sandbox) admit(p *Program) {
	if s.whole {
		return
	}
	for _, name := range p.assigned {
		if s.base.RawGetString(name) != lua.LNil {
			s.placeAll()
			return
		}
	}
	for _, name := range p.escapes {
		s.own(name)
	}
}

// own gives the unit a library as a copy, if that is one and the unit has none yet.
func (s *sandbox) own(name string) {
	t, ok := s.base.RawGetString(name).(*lua.LTable)
	if ok && !s.whole && s.env.RawGetString(name) == lua.LNil && !slices.Contains(special, name) {
		s.env.RawSetString(name, s.copy(t))
	}
}

// scarce is asked for globals that are not plain: it places a copy of a table of the host, or everything where the script is about
// to see its globals.
func (s *sandbox) scarce(L *lua.LState) int {
	name, _ := L.Get(2).(lua.LString)
	v := s.base.RawGetString(string(name))
	switch t, ok := v.(*lua.LTable); {
	case name == "arg":
		v = s.argTable()
		s.env.RawSetString("arg", v)
	case slices.Contains(special, string(name)):
		s.placeAll()
		v = s.env.RawGetString(string(name))
	case ok:
		v = s.copy(t)
		s.env.RawSetString(string(name), v)
	}
	if grant := grantOf(string(name)); v == lua.LNil && grant != "" {
		s.missing = grant
	}
	L.Push(v)
	return 1
}

// placeAll makes the globals a table like any other.
func (s *sandbox) placeAll() {
	if s.whole {
		return
	}
	s.whole = true
	s.env.Metatable = lua.LNil
	s.L.G.Global = s.env
	each(s.base, func(k, v lua.LValue) {
		if s.env.RawGet(k) != lua.LNil {
			return
		}
		if t, ok := v.(*lua.LTable); ok {
			v = s.copy(t)
		}
		s.env.RawSet(k, v)
	})
	if s.env.RawGetString("arg") == lua.LNil {
		s.env.RawSetString("arg", s.argTable())
	}
	s.openPackages()
	if mt, ok := s.base.Metatable.(*lua.LTable); ok {
		s.env.Metatable = s.copy(mt)
	}
}

// outsideGet reads a global for the host, which may hand it to a script.
func (s *sandbox) outsideGet(L *lua.LState) int {
	name := L.Get(2)
	s.own(name.String())
	L.Push(L.GetTable(s.env, name))
	return 1
}

// outsideSet sets a global for the host.
func (s *sandbox) outsideSet(L *lua.LState) int {
	L.SetTable(s.env, L.Get(2), L.Get(3))
	return 0
}

// copy returns the copy of a table of the template that this unit has, with copies of all tables in it.
func (s *sandbox) copy(t *lua.LTable) *lua.LTable {
	switch t {
	case s.base:
		s.placeAll()
		return s.env
	case s.loaded:
		return s.openPackages().loaded
	case s.preload:
		return s.openPackages().preload
	}
	if c := s.copies[t]; c != nil {
		return c
	}
	c := s.L.CreateTable(t.Len(), 16)
	if s.copies == nil {
		s.copies = map[*lua.LTable]*lua.LTable{}
	}
	s.copies[t] = c
	s.fill(c, t)
	if mt, ok := t.Metatable.(*lua.LTable); ok {
		c.Metatable = s.copy(mt)
	}
	if t == s.base.RawGetString("string") {
		s.ownMeta(c)
	}
	return c
}

// ownMeta gives strings a metatable of this unit, with the library that it has.
func (s *sandbox) ownMeta(library *lua.LTable) {
	if s.meta == nil { // the host has taken it away
		return
	}
	mt := s.L.CreateTable(0, 1)
	s.fill(mt, s.meta)
	if s.meta.RawGetString("__index") == s.base.RawGetString("string") {
		mt.RawSetString("__index", library)
	}
	s.L.SetMetatable(lua.LString(""), mt)
}

// fill copies the pairs of a table into another.
func (s *sandbox) fill(into, t *lua.LTable) {
	each(t, func(k, v lua.LValue) {
		if inner, ok := k.(*lua.LTable); ok {
			k = s.copy(inner)
		}
		if inner, ok := v.(*lua.LTable); ok {
			v = s.copy(inner)
		}
		into.RawSet(k, v)
	})
}

// openPackages makes the tables of package, with the modules that were loaded before.
func (s *sandbox) openPackages() *packages {
	if s.pkg != nil {
		return s.pkg
	}
	s.pkg = &packages{loaded: s.L.CreateTable(0, 16), preload: s.L.CreateTable(0, 4)}
	s.fill(s.pkg.loaded, s.loaded)
	s.fill(s.pkg.preload, s.preload)
	for _, m := range s.required {
		s.pkg.loaded.RawSetString(m.name, m.value)
	}
	return s.pkg
}

// argTable is the global arg, as the standalone interpreter of Lua sets it.
func (s *sandbox) argTable() *lua.LTable {
	arg := s.L.CreateTable(len(s.args), 1)
	arg.RawSetInt(0, lua.LString(s.name))
	for i, v := range s.args {
		arg.RawSetInt(i+1, v)
	}
	return arg
}
