package luaunit

import _ "embed"

//go:embed annotations.lua
var annotations string

// Annotations returns definitions of the module test for the Lua language server (LuaLS): a file that goes as test.lua into a folder
// which workspace.library names.
func Annotations() string { return annotations }
