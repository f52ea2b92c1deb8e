package storelua

import _ "embed"

//go:embed annotations.lua
var annotations string

// Annotations returns definitions of the module for the Lua language server (LuaLS): a file that a host writes as store.lua into a
// folder which its users name in workspace.library, so that their editors complete and check scripts. It describes the module
// as it is when nobody restricts it.
func Annotations() string { return annotations }
