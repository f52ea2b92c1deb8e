package script

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"

	"github.com/luastore/store/internal/boundtest"
)

// cases returns how many of n generated cases are tried: under the race detector a tenth.
func cases(n int) int {
	if boundtest.Race {
		return n / 10
	}
	return n
}

// stock compiles as gopher-lua does.
func stock(t testing.TB, source string) *lua.FunctionProto {
	t.Helper()
	chunk, err := parse.Parse(strings.NewReader(source), "test.lua")
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	proto, err := lua.Compile(chunk, "test.lua")
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	return proto
}

// ours compiles as this package does.
func ours(t testing.TB, source string) *lua.FunctionProto {
	t.Helper()
	p, err := Compile("test.lua", source)
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, source)
	}
	return p.proto
}

// outcome runs a function and writes down its results or its error.
func outcome(proto *lua.FunctionProto) string {
	L := lua.NewState()
	defer L.Close()
	L.Push(L.NewFunctionFromProto(proto))
	if err := L.PCall(0, lua.MultRet, nil); err != nil {
		return addresses.ReplaceAllString("error: "+err.(*lua.ApiError).Object.String(), "0x")
	}
	var b strings.Builder
	for i := 1; i <= L.GetTop(); i++ {
		fmt.Fprintf(&b, "%s %s\n", L.Get(i).Type(), L.ToStringMeta(L.Get(i)))
	}
	return addresses.ReplaceAllString(b.String(), "0x")
}

// addresses are what no two runs have in common.
var addresses = regexp.MustCompile("0x[0-9a-f]+")

// concatPrelude defines operands of all kinds. Those with metamethods write down how they are called.
const concatPrelude = `
log = ""
local function show(v)
	if type(v) == "table" then return v.name or "t" end
	return type(v) .. ":" .. tostring(v)
end
local function meta(name, answer)
	return setmetatable({name = name}, {__concat = function(a, b)
		log = table.concat({log, name, "(", show(a), ",", show(b), ") "})
		return answer(a, b)
	end, __tostring = function() return name end})
end
local s, e, n, h, z, b, u = "str", "", 7, 1.5, -0, true, nil
local t, f = {}, function(...) return ... end
local m = meta("m", function(a, b) return "M" end)
local k = meta("k", function(a, b) return meta("kk", function() return 3 end) end)
local r = meta("r", function(a, b) error("raised") end)
local q = meta("q", function(a, b) error({}, 2) end)
local l = meta("l", function(a, b) error("level", 2) end)
local nothing = meta("nothing", function() end)
local wrong = setmetatable({}, {__concat = 5})
`

// A grammar writes Lua around the operator .. at random.
type grammar struct{ *rand.Rand }

func (g grammar) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g grammar) operand(depth int) string {
	if depth > 0 && g.IntN(3) == 0 {
		return g.pick("(%s)", "f(%s)", "f(%s, 2)", "(f(%s))", "#(%s)", "-(%s)", "not (%s)", "({%s})[1]", "f{%s}[1]", "f(1, %s)",
			"(%s == s and n or s)", "(b and %s)", "(u or %s)", "(%s < s)", "(%s == h)", "(%s + 1)", "tostring(%s)", "(%s):len()",
			"(function(...) return %s end)(1, 2)", "(function(p, o, ...) p = %s return p end)(1)", "({f(%s)})[1]", "select('#', %s)")
	}
	if g.IntN(5) == 0 {
		return g.pick("m", "k", "r", "l", "q", "nothing", "wrong", "t", "f", "u", "b", "f()", "...")
	}
	return g.pick("s", "s", "s", "e", "n", "h", "z", "'lit'", "12", "1e100", "f('x', 'y')", "f(n)", "t.x", "m.name")
}

func (g grammar) chain(depth int) string {
	operands := make([]string, 1+g.IntN(5))
	if g.IntN(40) == 0 {
		operands = make([]string, 40+g.IntN(30))
	}
	for i := range operands {
		o := g.operand(depth)
		if strings.Contains(o, "%s") {
			o = fmt.Sprintf(o, g.chain(depth-1))
		}
		operands[i] = o
	}
	return strings.Join(operands, g.pick(" .. ", " ..\n"))
}

func (g grammar) statement() string {
	form := g.pick("return %s", "return %s, 1", "return 1, %s", "return (%s)", "return f(%s)", "return {%s}", "x = %s return x",
		"local v = %s return v", "local v, w = %s return v, w", "local v, w = 1, %s return v, w", "s = %s return s",
		"t[s] = %s return t[s]", "t[%s] = 1 return next(t)", "t.x = %s return t.x", "if %s then return 1 end",
		"while %s do return 2 end", "repeat local c = 1 until (%s) or true return 3", "for i = 1, #(%s) do x = i end return x",
		"for i in f(%s) do return i end", "local function g(p, q, o, ...) q = %s return p, q end return g(1, 2)",
		"local v = {a = %s, %s, %s} return v.a, v[1], v[2]", "return f(%s)(%s)", "return %s == %s", "return %s < %s",
		"return not (%s), #(%s)", "return %s and %s or %s", "f(%s) return 4", "(f)(%s) return log",
		"return pcall(function(...) return %s end)", "return (function(...) return %s end)(5, 6)", "x, s = s, %s return x, s",
		"s, x = %s, s return x, s", "s, n = %s, %s return s, n", "x, y = %s return x, y", "x = %s, %s return x", "return %s, %s")
	for strings.Contains(form, "%s") {
		form = strings.Replace(form, "%s", g.chain(2), 1)
	}
	return form
}

// lengthError is what the operator # says of what has no length, in the words of Lua 5.1.
var lengthError = regexp.MustCompile(`attempt to get length of a \w+ value`)

func TestConcat_IsTheOperator(t *testing.T) {
	g := grammar{rand.New(rand.NewPCG(6, uint64(len(concatPrelude))))}
	for range cases(1000) {
		source := concatPrelude + "local function run(...) " + g.statement() + " end\nreturn log, run('v', 'w')"
		got := lengthError.ReplaceAllString(outcome(ours(t, source)), "__len undefined")
		if want := outcome(stock(t, source)); got != want {
			t.Errorf("got %swant %s%s", got, want, strings.TrimPrefix(source, concatPrelude))
		}
	}
}

func TestConcat_MetamethodThatYields_FailsAsTheOperatorDoes(t *testing.T) {
	const source = `local m = setmetatable({}, {__concat = function() return coroutine.yield(1) end})
		return coroutine.resume(coroutine.create(function() return m .. 1 end))`
	if got, want := outcome(ours(t, source)), outcome(stock(t, source)); got != want {
		t.Errorf("got %swant %s", got, want)
	}
}

func TestConcat_TooLong_IsRefusedBeforeItIsMade(t *testing.T) {
	for _, operands := range []int{2, 250} {
		chain := "s" + strings.Repeat(" .. s", operands-1)
		proto := ours(t, "local s = 'x' while true do s = "+chain+" end")
		t.Run(fmt.Sprint(operands), func(t *testing.T) {
			boundtest.Cheap(t, time.Second, 4*MaxString, func() {
				if got, want := outcome(proto), "error: test.lua:1: string longer than 33554432 bytes"; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		})
	}
}

func TestConcat_AsksTheGuardOfItsState(t *testing.T) {
	const source = "local s = 'x' for i = 1, 19 do s = s .. s end return s"
	L := lua.NewState()
	defer L.Close()
	g := &guard{ctx: t.Context()}
	L.SetContext(context.WithValue(g.ctx, guardKey{}, g))
	if guardOf(L) != g {
		t.Fatal("the guard is not found")
	}
	thread, stop := L.NewThread()
	defer stop()
	if guardOf(thread) != g {
		t.Error("a coroutine has another guard")
	}
	L.Push(L.NewFunctionFromProto(ours(t, source)))
	if err := L.PCall(0, 1, nil); err != nil || len(L.ToString(-1)) != 1<<19 {
		t.Errorf("got %d bytes and %v", len(L.ToString(-1)), err)
	}
}

func BenchmarkConcat(b *testing.B) {
	for _, operands := range []string{
		"a .. c", "a .. n", "a .. ':' .. c", "a..c..a..c..a..c..a..c..a..c", strings.Repeat("a..", 59) + "a",
	} {
		source := "local a, c, n = 'alpha', 'gamma', 17 for i = 1, 1000 do local s = " + operands + " end"
		for name, compile := range map[string]func(testing.TB, string) *lua.FunctionProto{"stock": stock, "ours": ours} {
			b.Run(fmt.Sprintf("%d operands/%.8s/%s", strings.Count(operands, "..")+1, operands, name), func(b *testing.B) {
				L := lua.NewState(lua.Options{SkipOpenLibs: true})
				defer L.Close()
				L.SetContext(b.Context())
				fn := L.NewFunctionFromProto(compile(b, source))
				b.ReportAllocs()
				for b.Loop() {
					L.Push(fn)
					L.Call(0, 0)
				}
			})
		}
	}
}
