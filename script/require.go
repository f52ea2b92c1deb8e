package script

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
)

// modules finds, compiles and keeps the Lua files that scripts require.
type modules struct {
	files fs.FS
	dir   string

	mu       sync.Mutex
	programs map[string]*Program // by path
}

// find returns the program of a module. What failed is tried again at the next call.
func (m *modules) find(name string) (*Program, error) {
	base := strings.ReplaceAll(name, ".", "/")
	if !fs.ValidPath(base) {
		return nil, store.Errorf(store.ErrInvalid, `bad module name %q: want names with dots, relative to the scripts' folder, such as "lib.cart" for lib/cart.lua`, name)
	}
	candidates := []string{base + ".lua", base + "/init.lua"}
	if m.files == nil {
		return nil, store.Errorf(fs.ErrNotExist, "module %q not found: no module of that name, and no files are open to scripts", name)
	}
	for _, file := range candidates {
		p, err := m.compiled(file)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	return nil, store.Errorf(fs.ErrNotExist, "module %q not found: no file %s or %s", name,
		path.Join(m.dir, candidates[0]), path.Join(m.dir, candidates[1]))
}

// compiled returns the program of a file, compiled once.
func (m *modules) compiled(file string) (*Program, error) {
	m.mu.Lock()
	p := m.programs[file]
	m.mu.Unlock()
	if p != nil {
		return p, nil
	}
	source, err := m.read(file)
	if err != nil {
		return nil, err
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

// read returns the source in a file, one byte over the limit if it is longer: Compile refuses that.
func (m *modules) read(file string) (string, error) {
	f, err := m.files.Open(file)
	if err != nil {
		return "", m.cannotRead(file, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSource+1))
	if err != nil {
		return "", m.cannotRead(file, err)
	}
	return string(b), nil
}

// cannotRead names a file as scripts know it.
func (m *modules) cannotRead(file string, err error) error {
	var reason *fs.PathError
	if errors.As(err, &reason) {
		err = reason.Err
	}
	return fmt.Errorf("cannot read module file %s: %w", path.Join(m.dir, file), err)
}

// require is that of Lua: it runs a module once for each state and returns what it returned, or true.
func (x *execution) require(L *lua.LState) int {
	name := L.CheckString(1)
	if v := x.loaded.RawGetString(name); lua.LVAsBool(v) {
		L.Push(v)
		return 1
	}
	if i := slices.Index(x.loading, name); i >= 0 {
		L.RaiseError("modules require each other: %s", strings.Join(slices.Concat(x.loading[i:], []string{name}), " → "))
	}
	loader := x.loader(L, name)
	x.loading = append(x.loading, name)
	defer func() { x.loading = x.loading[:len(x.loading)-1] }()
	L.Push(loader)
	L.Push(lua.LString(name))
	L.Call(1, 1)
	v := L.Get(-1)
	if v == lua.LNil {
		if v = x.loaded.RawGetString(name); v == lua.LNil {
			v = lua.LTrue
		}
	}
	x.loaded.RawSetString(name, v)
	L.Push(v)
	return 1
}

// loader returns what loads a module: a function of package.preload, or the file.
func (x *execution) loader(L *lua.LState, name string) lua.LValue {
	if fn := x.preload.RawGetString(name); fn != lua.LNil {
		return fn
	}
	p, err := x.r.modules.find(name)
	if err != nil {
		L.RaiseError("%s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return L.NewFunctionFromProto(p.proto)
}
