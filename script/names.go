package script

import (
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/luatext"
)

// How far names are looked for.
const (
	maxNames     = 10_000
	maxInherited = 16 // tables that inherit from each other
)

// names is Session.Names.
func (s *sandbox) names(path string) []string {
	path, methods := strings.CutSuffix(path, ":")
	tables := s.globalTables()
	if path != "" {
		tables = s.fieldTables(s.follow(path))
	}
	left := maxNames
	var found []string
	for _, t := range tables {
		for k, v := t.Next(lua.LNil); k != lua.LNil && left > 0; k, v = t.Next(k) {
			left--
			name, ok := k.(lua.LString)
			if ok && (!methods || v.Type() == lua.LTFunction) && isName(string(name)) {
				found = append(found, string(name))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// isName reports whether code can name a field like a variable.
func isName(field string) bool {
	return len(luatext.AppendKey(nil, field)) == len(field) && field != ""
}

// globalTables are those that have the globals between them.
func (s *sandbox) globalTables() []*lua.LTable {
	if s.whole {
		return []*lua.LTable{s.env}
	}
	return []*lua.LTable{s.env, s.base}
}

// follow returns what a path of names leads to, nil if it leads nowhere.
func (s *sandbox) follow(path string) lua.LValue {
	tables := s.globalTables()
	var v lua.LValue = lua.LNil
	for name := range strings.SplitSeq(path, ".") {
		v = lookUp(tables, name)
		tables = s.fieldTables(v)
	}
	return v
}

// lookUp returns the field of the first table that has it.
func lookUp(tables []*lua.LTable, name string) lua.LValue {
	for _, t := range tables {
		if v := t.RawGetString(name); v != lua.LNil {
			return v
		}
	}
	return lua.LNil
}

// fieldTables are those that have the fields of a value between them: its own, and what it inherits from.
func (s *sandbox) fieldTables(v lua.LValue) []*lua.LTable {
	if v == s.base { // _G, while that is not a table of its own
		return s.globalTables()
	}
	var tables []*lua.LTable
	for len(tables) < maxInherited {
		t, ok := v.(*lua.LTable)
		if ok {
			tables = append(tables, t)
		}
		mt := s.metatableOf(v)
		if mt == nil {
			break
		}
		v = mt.RawGetString("__index")
		if !ok && v.Type() != lua.LTTable {
			break
		}
	}
	return tables
}

// metatableOf returns the metatable of a value that may have fields, nil if it has none.
func (s *sandbox) metatableOf(v lua.LValue) *lua.LTable {
	var mt lua.LValue
	switch v := v.(type) {
	case *lua.LTable:
		mt = v.Metatable
	case *lua.LUserData:
		mt = v.Metatable
	case lua.LString:
		mt = s.L.GetMetatable(v)
	}
	t, _ := mt.(*lua.LTable)
	return t
}
