package luaunit

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/luatext"
	"github.com/luastore/store/internal/suggest"
)

// open is the loader of the module test.
func (p *pass) open(L *lua.LState) int {
	functions := map[string]lua.LGFunction{
		"case": p.addCase, "equal": p.equal, "not_equal": p.notEqual, "ok": p.ok, "no": p.no, "near": p.near,
		"matches": p.matches, "fails": p.fails, "fail": p.fail, "skip": p.skip,
	}
	names := make([]string, 0, len(functions))
	for name := range functions {
		names = append(names, name)
	}
	slices.Sort(names)
	module := L.CreateTable(0, len(functions))
	for name, fn := range functions {
		module.RawSetString(name, L.NewFunction(p.dotted(module, name, fn)))
	}
	mt := L.CreateTable(0, 1)
	mt.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		return p.misuse(L, "the module test has no %s", unknown(L.Get(2).String(), names))
	}))
	module.Metatable = mt
	L.Push(module)
	return 1
}

// dotted returns a function of the module that refuses to be called with a colon: test:ok(false) would look at the module, and hold.
func (p *pass) dotted(module *lua.LTable, name string, fn lua.LGFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		if L.Get(1) == module {
			return p.misuse(L, "want test.%s(...) with a dot, got test:%s(...)", name, name)
		}
		return fn(L)
	}
}

// unknown names what is not there, and what may have been meant or what there is.
func unknown(name string, names []string) string {
	name = string(luatext.AppendString(nil, clipped(name)))
	if meant, ok := suggest.Closest(strings.Trim(name, `"`), names); ok {
		return fmt.Sprintf("%s: did you mean test.%s?", name, meant)
	}
	return fmt.Sprintf("%s: it has %s", name, strings.Join(names, ", "))
}

// misuse ends the pass because of a mistake in the test itself.
func (p *pass) misuse(L *lua.LState, format string, args ...any) int {
	return p.end(L, Result{Status: Broken, Message: fmt.Sprintf(format, args...)})
}

// failed ends the pass because an assertion does not hold. What the test says about it, argument n, stands in front.
func (p *pass) failed(L *lua.LState, n int, why explanation) int {
	if message, ok := L.Get(n).(lua.LString); ok && n > 0 {
		why.message = string(message) + ": " + why.message
	}
	return p.end(L, Result{Status: Failed, Message: why.message, Diff: why.diff})
}

// need ends the pass unless an assertion got so many arguments.
func (p *pass) need(L *lua.LState, n int, usage string) {
	if L.GetTop() < n {
		p.misuse(L, "want %s, got %d of %d arguments", usage, L.GetTop(), n)
	}
}

// maxName is how long the name of a case may be, in bytes.
const maxName = 200

// addCase is test.case.
func (p *pass) addCase(L *lua.LState) int {
	name, ok := L.Get(1).(lua.LString)
	fn, isFunction := L.Get(2).(*lua.LFunction)
	line := p.line(L)
	switch first := slices.IndexFunc(p.cases, func(c Case) bool { return c.Name == string(name) }); {
	case !ok || !isFunction:
		return p.misuse(L, `want test.case("what holds", function() ... end), got a %s and a %s`, L.Get(1).Type(), L.Get(2).Type())
	case p.running:
		return p.misuse(L, "test.case inside a case: cases stand at the top level of the file")
	case !goodName(string(name)):
		return p.misuse(L, "bad name of a case: want 1 to %d bytes of text in one line", maxName)
	case first >= 0:
		return p.misuse(L, "two cases are named %q, the first in line %d: give each a name of its own", string(name), p.cases[first].Line)
	}
	p.cases = append(p.cases, Case{Name: string(name), Line: line})
	if string(name) == p.only {
		p.body = fn
	}
	return 0
}

// goodName reports whether a name can stand in one line of a report.
func goodName(name string) bool {
	return strings.TrimSpace(name) != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// equal is test.equal.
func (p *pass) equal(L *lua.LState) int {
	p.need(L, 2, "test.equal(got, want [, message])")
	if d := compare(L, L.Get(1), L.Get(2)); d != nil {
		return p.failed(L, 3, d.explain(L, L.Get(1), L.Get(2)))
	}
	return 0
}

// notEqual is test.not_equal.
func (p *pass) notEqual(L *lua.LState) int {
	p.need(L, 2, "test.not_equal(got, other [, message])")
	if compare(L, L.Get(1), L.Get(2)) == nil {
		return p.failed(L, 3, explanation{message: "both are " + short(L, L.Get(1))})
	}
	return 0
}

// ok is test.ok, which passes on what it got.
func (p *pass) ok(L *lua.LState) int {
	p.need(L, 1, "test.ok(value, ...)")
	if lua.LVAsBool(L.Get(1)) {
		return L.GetTop()
	}
	message := "got " + brief(L.Get(1)) + ", want a value that is not nil or false"
	if text, ok := L.Get(2).(lua.LString); ok {
		message = fmt.Sprintf("got %s: %s", brief(L.Get(1)), string(text))
	}
	if kind, ok := L.Get(3).(lua.LString); ok {
		message += " (" + string(kind) + ")"
	}
	return p.failed(L, 0, explanation{message: message})
}

// no is test.no.
func (p *pass) no(L *lua.LState) int {
	p.need(L, 1, "test.no(value [, message])")
	if lua.LVAsBool(L.Get(1)) {
		return p.failed(L, 2, explanation{message: "got " + short(L, L.Get(1)) + ", want nil or false"})
	}
	return 0
}

// near is test.near.
func (p *pass) near(L *lua.LState) int {
	want, ok := L.Get(2).(lua.LNumber)
	tolerance, ok2 := L.Get(3).(lua.LNumber)
	if !ok || !ok2 || !(tolerance >= 0) {
		return p.misuse(L, "want test.near(got, want, tolerance [, message]) with numbers, and a tolerance of 0 or more")
	}
	got, ok := L.Get(1).(lua.LNumber)
	apart := math.Abs(float64(got - want))
	if ok && (apart <= float64(tolerance) || sameNumber(got, want)) {
		return 0
	}
	message := fmt.Sprintf("got %s, want %s ± %s", brief(L.Get(1)), brief(want), brief(tolerance))
	if ok {
		message += ": they are " + brief(lua.LNumber(apart)) + " apart"
	}
	return p.failed(L, 4, explanation{message: message})
}

// matches is test.matches, which returns what string.match does.
func (p *pass) matches(L *lua.LState) int {
	pattern, ok := L.Get(2).(lua.LString)
	if !ok {
		return p.misuse(L, "want test.matches(text, pattern [, message]) with a pattern of Lua, got a %s", L.Get(2).Type())
	}
	if _, ok := L.Get(1).(lua.LString); !ok {
		return p.failed(L, 3, explanation{message: "got " + short(L, L.Get(1)) + ", want a text that matches " + brief(pattern)})
	}
	message := L.Get(3)
	L.SetTop(2)
	n := p.match(L, L.Get(1), pattern)
	if L.Get(-n) == lua.LNil {
		L.Replace(3, message)
		return p.failed(L, 3, explanation{message: "got " + short(L, L.Get(1)) + ", want a text that matches " + brief(pattern)})
	}
	return n
}

// match pushes what string.match answers, and returns how many values that are. A pattern that is none ends the pass.
func (p *pass) match(L *lua.LState, text, pattern lua.LValue) (n int) {
	top := L.GetTop()
	if raised, ok := p.try(L, p.natives.match, text, pattern); !ok {
		p.misuse(L, "bad pattern %s: %s", brief(pattern), raised.String())
	}
	return L.GetTop() - top
}

// try calls a function as pcall does, and leaves its results on the stack; or it returns the value that was raised.
func (p *pass) try(L *lua.LState, fn lua.LValue, args ...lua.LValue) (raised lua.LValue, ok bool) {
	top := L.GetTop()
	L.Push(p.natives.pcall)
	L.Push(fn)
	for _, arg := range args {
		L.Push(arg)
	}
	L.Call(len(args)+1, lua.MultRet)
	if ctx := L.Context(); ctx.Err() != nil { // the unit has ended, which is no error of fn
		L.RaiseError("%v", ctx.Err())
	}
	if L.Get(top+1) == lua.LTrue {
		L.Remove(top + 1)
		return nil, true
	}
	raised = L.Get(top + 2)
	L.SetTop(top)
	return raised, false
}

// fails is test.fails, which returns the error.
func (p *pass) fails(L *lua.LState) int {
	fn, ok := L.Get(1).(*lua.LFunction)
	pattern := L.Get(2)
	if _, isText := pattern.(lua.LString); !ok || !isText && pattern != lua.LNil {
		return p.misuse(L, "want test.fails(function() ... end [, pattern])")
	}
	L.SetTop(0)
	raised, returned := p.try(L, fn)
	if returned {
		return p.failed(L, 0, explanation{message: "no error was raised" + returnedError(L)})
	}
	if pattern != lua.LNil {
		text := lua.LString(L.ToStringMeta(raised).String())
		n := p.match(L, text, pattern)
		matched := L.Get(-n) != lua.LNil
		L.SetTop(0)
		if !matched {
			return p.failed(L, 0, explanation{message: "the error is " + brief(text) + ", want one that matches " + brief(pattern)})
		}
	}
	L.Push(raised)
	return 1
}

// returnedError tells of a function that answers nil and a message, as those of stores do.
func returnedError(L *lua.LState) string {
	message, ok := L.Get(2).(lua.LString)
	if !ok || L.Get(1) != lua.LNil {
		return ""
	}
	return ": the function returned nil and " + brief(message) + ", which test.no and test.matches can look at"
}

// fail is test.fail.
func (p *pass) fail(L *lua.LState) int {
	message, ok := L.Get(1).(lua.LString)
	if !ok {
		return p.misuse(L, "want test.fail(message)")
	}
	return p.failed(L, 0, explanation{message: string(message)})
}

// skip is test.skip.
func (p *pass) skip(L *lua.LState) int {
	reason, ok := L.Get(1).(lua.LString)
	if !ok || reason == "" {
		return p.misuse(L, "want test.skip(reason)")
	}
	return p.end(L, Result{Status: Skipped, Message: string(reason)})
}
