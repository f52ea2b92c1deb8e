package script

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/servertest"
)

func TestProgram_KnowsWhichGlobalsItUses(t *testing.T) {
	for _, c := range []struct{ source, assigned, escapes string }{
		{"x = 1", "x", ""},
		{"x, y = y", "x y", "y"},
		{"x.y = 1", "", "x"},
		{"x[k] = 1", "", "k x"},
		{"x.y.z = 1", "", ""},
		{"function x() end", "x", ""},
		{"function x.y() end", "", "x"},
		{"function x.y.z() end", "", ""},
		{"function x:y() end", "", "x"},
		{"function x.y:z() end", "", ""},
		{"local function x() y = 1 end", "y", ""},
		{"local x = y", "", "y"},
		{"local x = y.z, y[k]", "", "k"},
		{"x.rep('a', 2)", "", ""},
		{"x:rep()", "", "x"},
		{"x.y:rep()", "", ""},
		{"f(x)", "", "f x"},
		{"f{x, y = z, [k] = v}", "", "f k v x z"},
		{"return x .. y .. z.a", "", "x y"},
		{"return x + -y, not z, #w", "", "w x y z"},
		{"return x and y or z", "", "x y z"},
		{"return x == y", "", "x y"},
		{"return (x).y, (x.y)", "", ""},
		{"return function() return x end", "", "x"},
		{"if x then y() elseif z then w() else v() end", "", "v w x y z"},
		{"while x do y() end repeat z() until w", "", "w x y z"},
		{"for i = x, y, z do w() end", "", "w x y z"},
		{"for k, v in x, y.z do k() end", "", "k x"},
		{"do x = x end goto a ::a::", "x", "x"},
		{"for i = 1, 2 do break end", "", ""},
		{"return ..., 1, 'x', nil, true, false", "", ""},
		{"x = 1 x = 2 y.z = x.y", "x", "y"},
	} {
		p, err := Compile("a.lua", c.source)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := strings.Join(p.assigned, " "); got != c.assigned {
			t.Errorf("%s: assigns %q, want %q", c.source, got, c.assigned)
		}
		if got := strings.Join(p.escapes, " "); got != c.escapes {
			t.Errorf("%s: lets %q escape, want %q", c.source, got, c.escapes)
		}
	}
}

func TestCompile_LeavesNoConcatInstruction(t *testing.T) {
	g := grammar{rand.New(rand.NewPCG(1, 2))}
	for range 500 {
		source := "local run = function(...) " + g.statement() + " end"
		if proto := ours(t, source); hasConcat(proto) {
			t.Errorf("instruction left in %s", source)
		}
	}
}

func hasConcat(p *lua.FunctionProto) bool {
	for _, inst := range p.Code {
		if opcode(inst) == lua.OP_CONCAT {
			return true
		}
	}
	return slices.ContainsFunc(p.FunctionPrototypes, hasConcat)
}

// program returns a program full of what gopher-lua compiles wrong: assignments of several variables that depend on each other,
// calls in brackets, and table constructors whose elements fill whole instructions. It answers everything that it changed.
func (g grammar) program() string {
	var b strings.Builder
	b.WriteString("local function f(...) return ... end local function run(p, q) local a, b, c = 1, 2, 3 G, H = 5, 6 ")
	b.WriteString("local t, u = {x = 1, y = 2, 3, 4}, {x = 5, y = 6, 7, 8} ")
	for range 1 + g.IntN(4) {
		targets, values := make([]string, 1+g.IntN(3)), make([]string, 1+g.IntN(3))
		for i := range targets {
			targets[i] = g.pick("a", "b", "c", "p", "q", "q", "q", "G", "H",
				"t.x", "t.y", "t[1]", "t[2]", "u.x", "t[a]", "u[q]", "t[G]", "v")
		}
		for i := range values {
			values[i] = g.value()
		}
		b.WriteString(strings.Join(targets, ", ") + " = " + strings.Join(values, ", ") + " ")
		if g.IntN(4) == 0 {
			b.WriteString(g.pick("t, t.x = u, 9 ", "t.x, t = 9, u ", "t, u = u, t ", "t[1], t, u = t[2], u, t "))
		}
		if g.IntN(4) == 0 {
			b.WriteString("v = " + g.constructor() + " for i = 1, 160 do H = H .. (type(v[i]) == 'table' and 'table' or tostring(v[i])) end ")
			b.WriteString("for _, w in ipairs{'k', 'l'} do H = H .. (type(v[w]) == 'table' and 'table' or tostring(v[w])) end ")
		}
	}
	b.WriteString("local r = '' for _, v in ipairs{a, b, c, p, q, G, t.x, t.y, t[1], t[2], u.x, u.y, u[1], u[2]} do ")
	b.WriteString("r = r .. tostring(v) .. ' ' end return r .. H end return run(7, 8)")
	return b.String()
}

func (g grammar) value() string {
	value := g.pick("a", "b", "c", "p", "q", "G", "H", "t.x", "t[2]", "u.y", "4", "0x10", "007", "a .. b", "p .. '-' .. q", "f(a, q)",
		"(f(q, a))", "(f(q))", "f(f(p, b))", "a == q", "(q or p)", "a and q", "not q", "#H", "(function(z) z = (f(z)) return z end)(q)")
	if g.IntN(4) == 0 {
		return value + " .. " + g.pick("a", "q", "(f(q, a))", "'s'", "t.y")
	}
	return value
}

func (g grammar) constructor() string {
	var b strings.Builder
	b.WriteByte('{')
	for range g.IntN(4) {
		n := g.IntN(4)
		if g.IntN(2) == 0 {
			n = 50*g.IntN(3) + g.IntN(3) - 1
		}
		for i := range max(n, 0) {
			b.WriteString(g.pick("a,", "q,", "1;", "'s',", "c;", "G,"))
			if i == 1 && g.IntN(5) == 0 {
				b.WriteString("(f(q, a)), f(a, b), {a, f(q, b)},")
			}
		}
		for range g.IntN(3) {
			b.WriteString(g.pick("k = f(a, b)", "l = q .. a", "k = {1, k = 2}", "l = a == q", "k = f(f(q))", "[160] = f(8, 9)") + ",")
		}
	}
	return b.String() + g.pick("", "f(a, q, b)", "(f(a, b))", "'s'", "k = f(a, b)", "f()") + "}"
}

func TestCompile_ProgramsAnswerAsInLua51(t *testing.T) {
	path, err := exec.LookPath("lua5.1")
	if err != nil {
		servertest.Missing(t, "needs lua5.1 to compare with: apt-get install lua5.1")
	}
	g := grammar{rand.New(rand.NewPCG(51, 6))}
	programs := make([]string, cases(1000))
	script := "local function try(f) local ok, v = pcall(f) print(ok and v or 'error') end\n"
	for i := range programs {
		programs[i] = g.program()
		script += "try(function() " + programs[i] + " end)\n"
	}
	cmd := exec.CommandContext(t.Context(), path, "-")
	cmd.Stdin = strings.NewReader(script)
	answer, err := cmd.CombinedOutput()
	want := strings.Split(strings.TrimSpace(string(answer)), "\n")
	if err != nil || len(want) != len(programs) {
		t.Fatalf("lua5.1 answered %d of %d: %v\n%.2000s", len(want), len(programs), err, answer)
	}
	for i, program := range programs {
		got := strings.TrimSuffix(strings.TrimPrefix(outcome(ours(t, program)), "string "), "\n")
		if strings.HasPrefix(got, "error: ") {
			got = "error"
		}
		if w := addresses.ReplaceAllString(want[i], "0x"); got != w {
			t.Errorf("got  %s\nwant %s\n%s", got, w, program)
		}
	}
}

func TestCompile_Numbers_AreThoseOfLua51(t *testing.T) {
	for source, want := range map[string]string{
		"0010": "10", "00": "0", "0": "0", "0.5": "0.5", "00.5": "0.5", ".5": "0.5", "5.": "5", "1e2": "100", "1E+2": "100", "1e-1": "0.1",
		"0x10": "16", "0XfF": "255", "0x7fffffffffffffff == 2^63": "true", "0xffffffffffffffff == 2^64": "true",
		"0xfffffffffffffffff == 2^64": "true", "1e400 == 1/0": "true", "-1e400 == -1/0": "true", "1e-400": "0",
		"99999999999999999999 == 1e20": "true",
	} {
		got := strings.Fields(outcome(ours(t, "return tostring("+source+")")))
		if len(got) != 2 || got[1] != want {
			t.Errorf("%s is %v, want %s", source, got, want)
		}
	}
	for _, source := range []string{"1ex", "1e+", "return 3e\n", "1..2..3"} {
		if p, err := Compile("a.lua", "x = "+source); err == nil {
			t.Errorf("%q is taken as %v", source, p.proto.Constants)
		}
	}
}

func TestCompile_WhatGopherLuaGetsWrong_IsRefused(t *testing.T) {
	var many [2]strings.Builder
	for i := range 150 {
		fmt.Fprintf(&many[0], "local a%d = 1 ", i)
		fmt.Fprintf(&many[1], "local b%d = 1 ", i)
	}
	var uses strings.Builder
	for i := range 150 {
		fmt.Fprintf(&uses, "x = a%d + b%d ", i, i)
	}
	for name, c := range map[string]struct{ source, want string }{
		"upvalues": {
			many[0].String() + "function f() " + many[1].String() + "return function() " + uses.String() + "end end",
			"a.lua:1: function uses more than 255 local variables of the functions around it: put them into a table",
		},
		"long loop": {
			"for i = 1, 2 do " + strings.Repeat("x = 1 ", 70000) + "end",
			"a.lua:1: loop too long: split it",
		},
		"long way back": {
			"::a:: " + strings.Repeat("x = 1 ", 70000) + "goto a",
			"a.lua:1: function too long: split it",
		},
		"many branches": {strings.Repeat("if x then end ", 50000), "a.lua:1: function too long: split it"},
		"many elements": {
			"x = {" + strings.Repeat("1,", 25551) + "}",
			"a.lua:1: more than 25550 elements in one table constructor: put them into several tables",
		},
		"many targets": {
			strings.Repeat("x, ", 200) + "x = f()",
			"a.lua:1: more than 200 variables in one assignment: split it",
		},
	} {
		if _, err := Compile("a.lua", c.source); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestCompile_LargestConstructor_IsWhole(t *testing.T) {
	got := outcome(ours(t, "local t = {"+strings.Repeat("1,", 25549)+"2} return #t, t[1], t[25500], t[25549], t[25550]"))
	if want := "number 25550\nnumber 1\nnumber 1\nnumber 1\nnumber 2\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
