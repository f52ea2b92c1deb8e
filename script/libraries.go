package script

import (
	"errors"
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// libraries are those that scripts have. Only base, os and package are cut down.
var libraries = []lua.LGFunction{lua.OpenBase, lua.OpenTable, lua.OpenString, lua.OpenMath, lua.OpenCoroutine, lua.OpenOs}

// unsafeBase are the base functions that reach files, compile what no limit was checked on, or write to the standard error of
// the process.
var unsafeBase = []string{"dofile", "load", "loadfile", "loadstring", "_printregs"}

// safeOs are the functions of os that reach nothing but the clock.
var safeOs = []string{"clock", "date", "difftime", "time"}

// openLibraries fills the global table.
func (x *execution) openLibraries() {
	L := x.L
	for _, open := range libraries {
		L.Push(L.NewFunction(open))
		L.Call(0, 0)
	}
	for _, name := range unsafeBase {
		L.SetGlobal(name, lua.LNil)
	}
	L.SetField(L.GetGlobal("math"), "huge", lua.LNumber(math.Inf(1))) // gopher-lua has the largest finite number
	x.trimOs()
	x.openPackage()
	for name, fn := range map[string]lua.LGFunction{
		"print": x.print, "require": x.require, "pcall": x.pcall, "xpcall": x.xpcall, "collectgarbage": collectGarbage,
	} {
		L.SetGlobal(name, L.NewFunction(fn))
	}
}

// trimOs leaves of os what is safe.
func (x *execution) trimOs() {
	full := x.L.GetGlobal("os").(*lua.LTable)
	safe := x.L.CreateTable(0, len(safeOs))
	for _, name := range safeOs {
		safe.RawSetString(name, full.RawGetString(name))
	}
	x.loaded = x.L.FindTable(x.L.Get(lua.RegistryIndex).(*lua.LTable), "_LOADED", 1).(*lua.LTable)
	x.loaded.RawSetString("os", safe)
	x.L.SetGlobal("os", safe)
}

// openPackage makes the table package with what require and PreloadModule need. Search paths and loaders are not for scripts to
// change.
func (x *execution) openPackage() {
	x.preload = x.L.NewTable()
	pkg := x.L.CreateTable(0, 2)
	pkg.RawSetString("loaded", x.loaded)
	pkg.RawSetString("preload", x.preload)
	x.loaded.RawSetString("package", pkg)
	x.L.SetGlobal("package", pkg)
}

// print writes its arguments to the runner's output, a line in one piece.
func (x *execution) print(L *lua.LState) int {
	var b strings.Builder
	for i := 1; i <= L.GetTop(); i++ {
		if i > 1 {
			b.WriteByte('\t')
		}
		b.WriteString(L.ToStringMeta(L.Get(i)).String())
	}
	b.WriteByte('\n')
	if _, err := x.r.stdout.Write([]byte(b.String())); err != nil {
		x.output = err
		L.RaiseError("%s", printFailed(err))
	}
	return 0
}

// printFailed is the text by which a failure of print is known again when it ends the script.
func printFailed(err error) string { return "print: " + err.Error() }

// pcall is that of Lua, but lets panics of Go code through.
func (x *execution) pcall(L *lua.LState) int {
	L.CheckAny(1)
	if raised := x.protect(L, L.GetTop()-1); raised != nil {
		L.Push(lua.LFalse)
		L.Push(raised)
		return 2
	}
	L.Insert(lua.LTrue, 1)
	return L.GetTop()
}

// xpcall is that of Lua, but lets panics of Go code through. The handler is called when the failed calls are gone, which no
// script can tell without the debug library; while they are in place gopher-lua leaves their upvalues pointing into the stack.
func (x *execution) xpcall(L *lua.LState) int {
	L.CheckFunction(1)
	handler := L.CheckFunction(2)
	L.SetTop(1)
	raised := x.protect(L, 0)
	if raised == nil {
		L.Insert(lua.LTrue, 1)
		return L.GetTop()
	}
	L.Push(lua.LFalse)
	L.Push(handler)
	L.Push(raised)
	if failed := x.protect(L, 1); failed != nil {
		L.Push(failed)
	}
	return L.GetTop()
}

// protect calls the function below nargs arguments. It leaves the results on the stack, or returns the value that was raised.
func (x *execution) protect(L *lua.LState, nargs int) (raised lua.LValue) {
	err := L.PCall(nargs, lua.MultRet, nil)
	if err == nil {
		return nil
	}
	var failed *lua.ApiError
	switch {
	case !errors.As(err, &failed):
		return lua.LString(err.Error())
	case failed.Type != lua.ApiErrorPanic:
		return failed.Object
	case failed.Object.String() == callOverflow:
		return lua.LString("stack overflow")
	}
	if x.panic == nil {
		x.panic = &goPanic{value: failed.Object.String(), stack: failed.StackTrace}
	}
	panic(x.panic)
}

// collectGarbage answers "count" and the rest with 0. That of gopher-lua stops the whole process for a collection.
func collectGarbage(L *lua.LState) int {
	L.Push(lua.LNumber(0))
	return 1
}
