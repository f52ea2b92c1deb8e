// Package examples holds what a newcomer runs first: Lua scripts for the command, such as
//
//	go run ./cmd/luastore run examples/preferences.lua
//
// tests of a module that scripts share,
//
//	go run ./cmd/luastore test examples
//
// and webhost, a Go program that serves HTTP with Lua. A test runs each of them.
package examples
