package cli

import (
	"os"
	"strings"
	"testing"
)

func TestRun_Allow(t *testing.T) {
	folder(t, "data.csv", "a,1\nb,2\n", "import.lua", `
		local s = require("store").get("imported")
		for line in io.lines((...)) do
			local k, v = line:match("(%w+),(%d+)")
			assert(s:set("row:" .. k, tonumber(v)))
		end
		print(s:get("row:a") + s:get("row:b"))
		os.exit(s:get("row:b"))`)
	got := luastore(t, "run", "--store", "imported=mem:", "--allow", "io,os", "import.lua", "data.csv")
	if got.code != 2 || got.stdout != "3\n" || got.stderr != "" {
		t.Errorf("got %+v", got)
	}
	got = luastore(t, "run", "--store", "imported=mem:", "import.lua", "data.csv")
	if got.code != exitScript || !strings.Contains(got.stderr, "import.lua:3: ") {
		t.Errorf("without --allow: got %+v", got)
	}
	if !strings.Contains(got.stderr, "--allow io gives it") {
		t.Errorf("without --allow no hint: got %+v", got)
	}
}

func TestRun_Exit_HasTheCodeOfTheScript(t *testing.T) {
	folder(t)
	for source, want := range map[string]int{"os.exit()": 0, "os.exit(0)": 0, "os.exit(7)": 7, "pcall(os.exit, 7)": 7} {
		if err := os.WriteFile("a.lua", []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := luastore(t, "run", "--store", "a=mem:", "--allow", "os", "a.lua"); got.code != want || got.stdout+got.stderr != "" {
			t.Errorf("%s: got %+v", source, got)
		}
	}
}

func TestRun_Allow_Mistakes(t *testing.T) {
	folder(t, "a.lua", "")
	for _, list := range []string{"files", "io,", ""} {
		got := luastore(t, "run", "--allow", list, "a.lua")
		if got.code != exitUsage || !strings.Contains(got.stderr, "want some of io, os, load, debug, separated by commas") {
			t.Errorf("%q: got %+v", list, got)
		}
	}
}

func TestRun_WhatAScriptRaises_IsNoCommandForTheTerminal(t *testing.T) {
	folder(t, "a.lua", `error("\27]0;title\7\27[31mred\r", 0)`)
	got := luastore(t, "run", "--store", "a=mem:", "a.lua")
	if want := `luastore: \x1b]0;title\a\x1b[31mred\r` + "\n"; !strings.HasPrefix(got.stderr, want) {
		t.Errorf("got %q, want %q", got.stderr, want)
	}
}
