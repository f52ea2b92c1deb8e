package luaunit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/luafile"
	"github.com/luastore/store/script"
)

// requireModule is that of Lua, which looks for files in the folders of the file.
func (p *pass) requireModule(L *lua.LState) int {
	name := L.CheckString(1)
	if pkg := p.packages(L); pkg.lacks(name) {
		shown, source, err := find(L.Context(), p.file.Modules, name)
		if err != nil {
			L.RaiseError("%v", err)
		}
		pkg.preload.RawSetString(name, p.compile(L, shown, source))
	}
	L.Push(p.natives.require)
	L.Push(lua.LString(name))
	L.Call(1, 1)
	return 1
}

// packages returns those of the unit. They are its own, in its globals, once it has asked for them.
func (p *pass) packages(L *lua.LState) packages {
	if pkg := L.Env.RawGetString("package"); pkg != lua.LNil {
		return packagesOf(pkg)
	}
	return p.natives.packages
}

// lacks reports whether a module is neither loaded nor ready to be. Who has put something else in the place of the tables is on their
// own.
func (p packages) lacks(name string) bool {
	return p.loaded != nil && p.preload != nil && !lua.LVAsBool(p.loaded.RawGetString(name)) && p.preload.RawGetString(name) == lua.LNil
}

// find returns the file of a module, by the name that messages give it, and its source.
func find(ctx context.Context, folders []Folder, name string) (shown, source string, err error) {
	base := strings.ReplaceAll(name, ".", "/")
	if !fs.ValidPath(base) {
		return "", "", fmt.Errorf("bad module name %q: want names with dots, such as \"lib.cart\" for lib/cart.lua", name)
	}
	var tried []string
	for _, folder := range folders {
		for _, file := range []string{base + ".lua", base + "/init.lua"} {
			shown := path.Join(folder.Name, file)
			source, err := luafile.Read(ctx, folder.Files, file, script.MaxSource+1)
			if err == nil {
				return shown, source, nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return "", "", fmt.Errorf("cannot read module file %s: %w", shown, reason(err))
			}
			tried = append(tried, shown)
		}
	}
	return "", "", fmt.Errorf("module %q not found: no file %s", name, strings.Join(tried, ", "))
}

// reason returns what an error of a file system says without the path, which messages name as scripts know it.
func reason(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
