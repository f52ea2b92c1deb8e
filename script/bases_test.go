package script

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/servertest"
)

// newLibraries returns a state with the libraries base, table, math and os, and what else the tests of them need.
func newLibraries(t testing.TB, ctx context.Context) *lua.LState {
	t.Helper()
	L := lua.NewState(stateOptions)
	t.Cleanup(L.Close)
	L.SetContext(ctx)
	lua.OpenBase(L)
	lua.OpenString(L)
	g := &guard{ctx: ctx}
	for name, fn := range baseFunctions(g) {
		L.SetGlobal(name, L.NewFunction(fn))
	}
	L.SetGlobal("table", L.SetFuncs(L.NewTable(), tableFunctions(g)))
	L.SetGlobal("math", L.SetFuncs(L.NewTable(), mathFunctions(&randomness{})))
	L.SetGlobal("os", L.SetFuncs(L.NewTable(), osFunctions(g, &clock{time.Now()})))
	return L
}

// evaluate returns what an expression results in: all its values as text, or its error.
func evaluate(L *lua.LState, digits int, expression string) string {
	fn, err := L.Load(strings.NewReader("return "+expression), "case")
	if err != nil {
		return "no Lua: " + err.Error()
	}
	defer L.SetTop(L.GetTop())
	base := L.GetTop()
	L.Push(fn)
	if err := L.PCall(0, lua.MultRet, nil); err != nil {
		var raised *lua.ApiError
		if !errors.As(err, &raised) {
			return "no error of Lua: " + err.Error()
		}
		return "error " + show(raised.Object, digits)
	}
	var texts []string
	for i := base + 1; i <= L.GetTop(); i++ {
		texts = append(texts, show(L.Get(i), digits))
	}
	return strings.Join(texts, " ")
}

// show returns a value as text: what differs shows, but the addresses of tables and functions do not.
func show(v lua.LValue, digits int) string {
	switch v := v.(type) {
	case lua.LNumber:
		if float64(v) != math.Trunc(float64(v)) || math.IsInf(float64(v), 0) {
			return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(float64(v), 'g', digits, 64)), "+")
		}
		return strconv.FormatFloat(float64(v), 'g', digits, 64)
	case lua.LString:
		var b strings.Builder
		for _, c := range []byte(v) {
			if c < ' ' || c > '~' {
				fmt.Fprintf(&b, "\\%d", c)
			} else {
				b.WriteByte(c)
			}
		}
		return `"` + b.String() + `"`
	case lua.LBool, *lua.LNilType:
		return v.String()
	}
	return v.Type().String()
}

// lua51 reads expressions, a line each, and writes a line as evaluate does.
const lua51 = `
local digits = ...
local function show(v)
	if type(v) == "number" then
		return v ~= v and "nan" or ("%." .. digits .. "g"):format(v)
	elseif type(v) == "string" then
		return '"' .. v:gsub("[^ -~]", function(c) return "\\" .. c:byte() end) .. '"'
	end
	return (v == nil or type(v) == "boolean") and tostring(v) or type(v)
end
local function texts(ok, ...)
	local t = { ... }
	for i = 1, select("#", ...) do t[i] = show(t[i]) end
	return (ok and "" or "error ") .. table.concat(t, " ")
end
for line in io.lines() do
	local fn, err = loadstring("return " .. line, "=case")
	print(fn and texts(pcall(fn)) or "no Lua: " .. err)
end`

// agree evaluates expressions here and in Lua 5.1, and fails where the results differ. Numbers count to so many digits.
func agree(t *testing.T, L *lua.LState, digits int, expressions []string) {
	t.Helper()
	path, err := exec.LookPath("lua5.1")
	if err != nil {
		servertest.Missing(t, "needs lua5.1 to compare with: apt-get install lua5.1")
	}
	script := filepath.Join(t.TempDir(), "evaluate.lua")
	if err := os.WriteFile(script, []byte(lua51), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, script, strconv.Itoa(digits))
	cmd.Stdin = strings.NewReader(strings.Join(expressions, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(want) != len(expressions) {
		t.Fatalf("%d results for %d expressions", len(want), len(expressions))
	}
	faults := 0
	for i, expression := range expressions {
		if got := evaluate(L, digits, expression); got != want[i] && faults < 5 {
			faults++
			t.Errorf("%s\ngot  %s\nwant %s", expression, got, want[i])
		}
	}
}

func TestBases_AnswerAsLua51(t *testing.T) {
	agree(t, newLibraries(t, t.Context()), 17, []string{
		`assert(1, 2, nil)`, `assert()`, `assert(false)`, `assert(nil, "m")`, `assert(false, 42)`, `pcall(assert, false, "m")`,
		`error()`, `error("m")`, `error("m", 0)`, `error("m", 1)`, `error("m", "1")`, `error("m", {})`, `error("m", 99)`,
		`error({})`, `pcall(error, "m")`,
		`(function() local function f() error("m", 2) end f() end)()`,
		`collectgarbage("x")`, `collectgarbage()`, `collectgarbage("collect", {})`, `collectgarbage({})`,
		`ipairs()`, `ipairs(1)`, `ipairs({})`,
		`(function() local s = "" for i, v in ipairs({ 1, 2, nil, 4 }) do s = s .. i .. v end return s end)()`,
		`pairs()`, `pairs("")`, `pairs({})`,
		`(function() local s = 0 for k, v in pairs({ 1, 2, nil, 4, x = 1 }) do s = s + v end return s end)()`,
		`next()`, `next({})`, `next({ 1 })`, `next({ 1 }, 1)`, `next({ a = 1 })`, `next({ a = 1 }, "a")`, `next({}, nil)`,
		`next(nil)`,
		`rawequal()`, `rawequal(1)`, `rawequal(1, 1)`, `rawequal("a", "a")`, `rawequal({}, {})`, `rawequal(1, "1")`,
		`rawequal(0/0, 0/0)`, `rawequal(nil, false)`,
		`rawget()`, `rawget({})`, `rawget({ 5 }, 1)`, `rawget({ 5 }, "1")`, `rawget({}, nil)`, `rawget("", 1)`,
		`rawget(setmetatable({}, { __index = { a = 1 } }), "a")`,
		`rawset()`, `rawset({}, 1)`, `rawset({}, nil, 1)`, `rawset({}, 0/0, 1)`, `rawset({}, 1, nil)`, `rawset({}, 1, 2)[1]`,
		`rawset(1, 2, 3)`,
		`select()`, `select(0)`, `select("#")`, `select("#", nil, nil)`, `select("#x", 1)`, `select(2, 1, 2, 3)`,
		`select(-1, 1, 2)`, `select(-3, 1, 2)`,
		`select(9, 1)`, `select("2", 1, 2)`, `select("x")`, `select({})`, `select(1.9, 1, 2)`, `select(0/0)`, `select(-0.5, 1)`,
		`setmetatable()`, `setmetatable({})`, `setmetatable({}, nil)`, `setmetatable({}, {})`, `setmetatable(1, {})`,
		`setmetatable("", nil)`,
		`setmetatable({}, 1)`, `setmetatable(setmetatable({}, { __metatable = false }), nil)`,
		`tostring()`, `tostring(nil)`, `tostring(true)`, `tostring(12)`, `tostring(-1/0)`, `tostring(1/0)`, `tostring(0/0)`,
		`tostring(-(0/0))`,
		`tostring("a\000b")`, `tostring(setmetatable({}, { __tostring = function() return 5 end }))`,
		`tostring(setmetatable({}, { __tostring = function() end }))`,
		`tostring(setmetatable({}, { __tostring = setmetatable({}, { __call = function() return "called" end }) }))`,
		`tostring(setmetatable({}, { __metatable = "m", __tostring = function() return "t" end }))`,
		`type()`, `type(nil)`, `type(1)`, `type("")`, `type({})`, `type(type)`, `type(true)`,
		`unpack()`, `unpack({})`, `unpack({ 1, nil, 3 }, 1, 3)`, `unpack({ 1, 2, 3 }, 2)`, `unpack({}, 1, 3)`,
		`unpack({ 1 }, 3, 1)`, `unpack({}, 1, 1e9)`,
		`unpack({}, -3, 0)`, `unpack({}, {})`, `unpack({ 1, 2 }, nil, nil)`, `unpack({ 1, 2 }, "1", "2")`, `unpack("", 1)`,
		`unpack({ 1 }, 0/0, 1)`,
	})
}

func TestTonumber_AnswersAsLua51(t *testing.T) {
	expressions := []string{
		`tonumber()`, `tonumber(nil)`, `tonumber({})`, `tonumber({}, 16)`, `tonumber(nil, 99)`, `tonumber("1", 1)`, `tonumber("1", 37)`,
		`tonumber("1", "x")`,
		`tonumber(10, 16)`, `tonumber("10", 10.9)`, `tonumber(" ", 2)`,
	}
	for _, s := range []string{
		"1e5", "0x10", " 10 ", "", " ", "1.", ".5", ".", "1e", "1e+", "1e+5", "0x", "0X1F", "-0x10",
		"0x.8", "0x1p4", "0x1p", "0x_1", "1_0", "0b1", "0o7",
		"inf", "-inf", "+Infinity", "nan", "-nan", "1e400", "-1e400", "1e-400", "- 1",
		"+-1", "--1", "\\t\\v1\\f\\r\\n", "1 2", "1\\0002", "\\0001", "1,5", "1f",
		"00012", "0x1e5", "9007199254740993", "0.1", "123456789012345678901234567890", "0xffffffffffffffffffff",
		"infx", "0xinf", "5e-324", "1\\160",
	} {
		expressions = append(expressions, fmt.Sprintf(`tonumber("%s")`, s))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		text, base := randomText(random, "0179aAfFeExXpP.+-  zZ_"), []string{"", ", 10", ", 16", ", 36", ", 2"}[random.IntN(5)]
		expressions = append(expressions, fmt.Sprintf(`tonumber("%s"%s)`, text, base))
	}
	agree(t, newLibraries(t, t.Context()), 17, expressions)
}

// randomText returns up to six of the letters.
func randomText(random *rand.Rand, letters string) string {
	b := make([]byte, random.IntN(7))
	for i := range b {
		b[i] = letters[random.IntN(len(letters))]
	}
	return string(b)
}

func TestNumberText_IsThatOfGopherLua(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	numbers := []float64{
		0, math.Copysign(0, -1), 1e15, 1e20, 1e21, 1e22, 1 << 53, 1 << 63, -1 << 63, 0.1, 1e-4, 1e-5, 123456.5, 1234567.5, 1e100, 5e-324,
		math.MaxFloat64,
	}
	for range 10_000 {
		numbers = append(numbers, random.NormFloat64(), float64(random.Int64()), math.Float64frombits(random.Uint64()))
	}
	for _, f := range numbers {
		n := lua.LNumber(f)
		if got := numberText(n); got != n.String() && !math.IsNaN(f) {
			t.Errorf("got %s, want %v", got, n)
		}
	}
}

func TestAssert_AnyValue_IsRaisedAsItIs(t *testing.T) {
	L := newLibraries(t, t.Context())
	for expression, want := range map[string]string{
		`pcall(assert, false, { 7 })`: "false table", `pcall(assert, nil, true)`: "false true",
		`pcall(assert, nil, print)`: "false function",
		`(function() local _, e = pcall(assert, false, { 7 }) return e[1] end)()`: "7",
		`(function() local _, e = pcall(error, 7) return e + 1 end)()`:            "8", `pcall(error, { 7 }, 2)`: "false table",
	} {
		if got := evaluate(L, 17, expression); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", expression, got, want)
		}
	}
}

// A benchmark is a script that is timed with these libraries and with those of gopher-lua.
type benchmark struct{ name, source string }

func compare(b *testing.B, benchmarks []benchmark) {
	libraries := map[string]func() *lua.LState{
		"ours": func() *lua.LState { return newLibraries(b, b.Context()) },
		"gopher-lua": func() *lua.LState {
			options := stateOptions
			options.SkipOpenLibs = false
			L := lua.NewState(options)
			b.Cleanup(L.Close)
			L.SetContext(b.Context())
			return L
		},
	}
	for _, c := range benchmarks {
		for who, open := range libraries {
			b.Run(c.name+"/"+who, func(b *testing.B) {
				L := open()
				fn, err := L.LoadString(c.source)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					L.Push(fn)
					L.Call(0, 0)
				}
			})
		}
	}
}

func BenchmarkBases(b *testing.B) {
	compare(b, []benchmark{
		{"ipairs/few", `local t = { 1, 2, 3 } for n = 1, 10000 do for i, v in ipairs(t) do end end`},
		{"ipairs/many", `local t = {} for i = 1, 1000 do t[i] = i end for n = 1, 100 do for i, v in ipairs(t) do end end`},
		{"pairs/few", `local t = { a = 1, b = 2 } for n = 1, 10000 do for k, v in pairs(t) do end end`},
		{"pairs/list", `local t = {} for i = 1, 1000 do t[i] = i end for n = 1, 100 do for k, v in pairs(t) do end end`},
		{"pairs/hash", `local t = {} for i = 1, 1000 do t["k" .. i] = i end for n = 1, 100 do for k, v in pairs(t) do end end`},
		{"type", `for n = 1, 10000 do local a = type(n) end`},
		{"tostring", `for n = 1, 10000 do local a = tostring(n + 0.5) end`},
		{"tonumber", `for n = 1, 10000 do local a = tonumber("1234") end`},
		{"select", `local function f(...) for i = 1, 5 do local a = select(i, ...) end end for n = 1, 2000 do f(1, 2, 3, 4) end`},
		{"unpack", `local t = { 1, 2, 3 } for n = 1, 10000 do local a, b, c = unpack(t) end`},
		{"setmetatable", `local m = {} for n = 1, 10000 do local a = setmetatable({}, m) end`},
	})
}
