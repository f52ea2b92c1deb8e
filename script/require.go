package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/luafile"
)

// modules finds, compiles and keeps the Lua files that scripts require.
type modules struct {
	files *luafile.Reader // nil for none
	dir   string

	mu       sync.Mutex
	programs map[string]*Program // by path
}

// find returns the program of a module, unless ctx ends before its file is read. What failed is tried again at the next call.
func (m *modules) find(ctx context.Context, name string) (*Program, error) {
	base := strings.ReplaceAll(name, ".", "/")
	if !fs.ValidPath(base) {
		return nil, store.Errorf(store.ErrInvalid, `bad module name %q: want names with dots, relative to the scripts' folder, such as "lib.cart" for lib/cart.lua`, name)
	}
	candidates := []string{base + ".lua", base + "/init.lua"}
	if m.files == nil {
		return nil, store.Errorf(fs.ErrNotExist, "module %q not found: no module of that name, and no files are open to scripts", name)
	}
	for _, file := range candidates {
		p, err := m.compiled(ctx, file)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	return nil, store.Errorf(fs.ErrNotExist, "module %q not found: no file %s or %s", name,
		path.Join(m.dir, candidates[0]), path.Join(m.dir, candidates[1]))
}

// compiled returns the program of a file, compiled once.
func (m *modules) compiled(ctx context.Context, file string) (*Program, error) {
	m.mu.Lock()
	p := m.programs[file]
	m.mu.Unlock()
	if p != nil {
		return p, nil
	}
	source, err := m.files.Read(ctx, file)
	if err != nil {
		return nil, m.cannotRead(file, err)
	}
	if p, err = Compile(path.Join(m.dir, file), source); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if first := m.programs[file]; first != nil {
		return first, nil
	}
	m.programs[file] = p
	return p, nil
}

// cannotRead names a file as scripts know it.
func (m *modules) cannotRead(file string, err error) error {
	var reason *fs.PathError
	if errors.As(err, &reason) {
		err = reason.Err
	}
	return fmt.Errorf("cannot read module file %s: %w", path.Join(m.dir, file), err)
}

// require is that of Lua: it runs a module once for each unit and returns what it returned, or true.
func (s *sandbox) require(L *lua.LState) int {
	name := L.CheckString(1)
	if v := s.loadedModule(name); lua.LVAsBool(v) {
		L.Push(v)
		return 1
	}
	if i := slices.Index(s.loading, name); i >= 0 {
		raise(L, "modules require each other: %s", strings.Join(slices.Concat(s.loading[i:], []string{name}), " → "))
	}
	loader := s.loader(L, name)
	depth := len(s.loading)
	s.loading = append(s.loading, name)
	defer func() { s.loading = s.loading[:depth] }()
	L.Push(loader)
	L.Push(lua.LString(name))
	L.Call(1, 1)
	v := L.Get(-1)
	if v == lua.LNil {
		if v = s.loadedModule(name); v == lua.LNil {
			v = lua.LTrue
		}
	}
	s.setLoaded(name, v)
	L.Push(v)
	return 1
}

// loadedModule returns the module of a name, nil if it was not loaded.
func (s *sandbox) loadedModule(name string) lua.LValue {
	if slices.Contains(special, name) {
		s.placeAll()
	}
	if s.pkg != nil {
		return s.pkg.loaded.RawGetString(name)
	}
	for _, m := range s.required {
		if m.name == name {
			return m.value
		}
	}
	if name == storeModule {
		return s.store
	}
	v := s.loaded.RawGetString(name)
	if t, ok := v.(*lua.LTable); ok {
		s.own(name)
		return s.copy(t)
	}
	return v
}

// setLoaded keeps a module for the rest of the unit.
func (s *sandbox) setLoaded(name string, v lua.LValue) {
	if s.pkg != nil {
		s.pkg.loaded.RawSetString(name, v)
		return
	}
	s.required = append(s.required, module{name, v})
}

// loader returns what loads a module: a function of package.preload, or the file.
func (s *sandbox) loader(L *lua.LState, name string) lua.LValue {
	preload := s.preload
	if s.pkg != nil {
		preload = s.pkg.preload
	}
	if fn := preload.RawGetString(name); fn != lua.LNil {
		return fn
	}
	p, err := s.r.modules.find(s.ctx, name)
	if err != nil {
		raise(L, "%s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return s.load(L, p)
}

// load returns the main function of a program for this unit.
func (s *sandbox) load(L *lua.LState, p *Program) *lua.LFunction {
	s.admit(p)
	fn := L.NewFunctionFromProto(p.proto)
	fn.Env = s.env
	return fn
}
