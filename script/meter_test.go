package script_test

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/luastore/store/script"
)

func TestMemory_WhatIsKept_IsBounded(t *testing.T) {
	failed := fail(t, &script.Options{Memory: 32 << 20}, `local t = {} for i = 1, 1e9 do t[i] = { i } end`)
	if failed.Kind != script.KindMemory || failed.Message != "script stopped: it needed more than 32 MB of memory" {
		t.Errorf("got %s: %s", failed.Kind, failed.Message)
	}
}

func TestMemory_NoPcallKeepsTheUnit(t *testing.T) {
	failed := fail(t, &script.Options{Memory: 32 << 20}, `
		local t = {}
		while true do pcall(function() while true do t[#t + 1] = ("x"):rep(2^20) end end) end`)
	if failed.Kind != script.KindMemory {
		t.Errorf("got %s: %s", failed.Kind, failed.Message)
	}
}

func TestMemory_Garbage_DoesNotCount(t *testing.T) {
	ballast := make([][]byte, 64)
	for i := range ballast {
		ballast[i] = make([]byte, 1<<20)
	}
	passes(t, &script.Options{Memory: 32 << 20, Timeout: -1}, `
		local s
		for i = 1, 300 do s = ("x"):rep(2^20) .. i end
		for i = 1, 1e6 do s = { i } end`)
	runtime.KeepAlive(ballast)
}

// What the host keeps when a unit begins is not the unit's, even if no collection has seen it.
func TestMemory_WhatTheHostKeeps_DoesNotCount(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	ballast := make([][]byte, 64)
	for i := range ballast {
		ballast[i] = make([]byte, 1<<20)
	}
	o := &script.Options{Memory: 32 << 20, Timeout: -1}
	passes(t, o, `for i = 1, 1e7 do local s = { i } end`)
	passes(t, o, `local s for i = 1, 300 do s = ("x"):rep(2^20) .. i end`)
	failed := fail(t, o, `local t = {} for i = 1, 1e9 do t[i] = { i } end`)
	if failed.Kind != script.KindMemory {
		t.Errorf("got %s: %s", failed.Kind, failed.Message)
	}
	runtime.KeepAlive(ballast)
}

func TestMemory_WithoutBound(t *testing.T) {
	passes(t, &script.Options{Memory: -1}, `local t = {} for i = 1, 200 do t[i] = ("x"):rep(2^20) end`)
}
