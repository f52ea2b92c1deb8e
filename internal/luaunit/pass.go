package luaunit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/luatext"
	"github.com/luastore/store/script"
	"github.com/luastore/store/value"
)

// A pass is one run of a file, in a Lua state that serves nothing else.
type pass struct {
	file        *File
	only        string // the case to run; "" for none
	stop        context.CancelCauseFunc
	grantedLoad bool // scripts have load

	natives natives
	cases   []Case         // that the file has named
	body    *lua.LFunction // of the one to run
	running bool           // it is
	verdict *Result        // what ended the pass before its end, nil for nothing
}

// natives are what scripts may replace, as it was before.
type natives struct {
	pcall, require, loadstring, match lua.LValue
	packages                          packages // those that a unit has until it asks for them
}

// packages are two tables of package.
type packages struct{ loaded, preload *lua.LTable }

// packagesOf returns those of the table package, nil where it has none.
func packagesOf(pkg lua.LValue) packages {
	t, ok := pkg.(*lua.LTable)
	if !ok {
		return packages{}
	}
	loaded, _ := t.RawGetString("loaded").(*lua.LTable)
	preload, _ := t.RawGetString("preload").(*lua.LTable)
	return packages{loaded, preload}
}

// start is the name of the module that is the whole of the main program: it runs the file.
const start = "luastore test"

// run runs the file and its case.
func (p *pass) run(ctx context.Context, runner *script.Runner) error {
	if _, err := script.Compile(p.file.Name, p.file.Source); err != nil {
		return err
	}
	program, err := script.Compile(p.file.Name, fmt.Sprintf("require(%q)", start))
	if err != nil {
		return err
	}
	return runner.Exec(ctx, program)
}

// setUp adds the module to a state. Scripts lose load again, which is there for the file itself, unless it was granted.
func (p *pass) setUp(L *lua.LState) {
	p.natives = natives{
		pcall: L.GetGlobal("pcall"), require: L.GetGlobal("require"), loadstring: L.GetGlobal("loadstring"),
		match: L.GetField(L.GetGlobal("string"), "match"), packages: packagesOf(L.GetGlobal("package")),
	}
	if !p.grantedLoad {
		L.SetGlobal("load", lua.LNil)
		L.SetGlobal("loadstring", lua.LNil)
	}
	L.SetGlobal("require", L.NewFunction(p.requireModule))
	L.PreloadModule("test", p.open)
	L.PreloadModule(start, p.begin)
}

// begin runs the file, all of it, and then the function of the case.
func (p *pass) begin(L *lua.LState) int {
	p.natives.packages.preload.RawSetString(start, lua.LNil)
	L.Push(p.compile(L, p.file.Name, p.file.Source))
	L.Call(0, 0)
	if p.only == "" {
		return 0
	}
	if p.body == nil {
		p.verdict = &Result{
			Status:  Broken,
			Message: fmt.Sprintf("%s: the file no longer has a case named %q: names must not change from run to run", p.file.Name, p.only),
		}
		return 0
	}
	p.running = true
	L.Push(p.body)
	L.Call(0, 0)
	return 0
}

// compile returns the function that a source is.
func (p *pass) compile(L *lua.LState, name, source string) lua.LValue {
	L.Push(p.natives.loadstring)
	L.Push(lua.LString(source))
	L.Push(lua.LString("@" + name))
	L.Call(2, 2)
	fn, message := L.Get(-2), L.Get(-1)
	L.Pop(2)
	if fn == lua.LNil {
		L.Error(message, 0)
	}
	return fn
}

// end ends the pass with a result, to whose message it adds the place. It does not return.
func (p *pass) end(L *lua.LState, result Result) int {
	text := result.Message
	if p.verdict == nil {
		result.Message = p.placed(L, text)
		p.verdict = &result
		p.stop(errEnded)
	}
	L.RaiseError("%s", text)
	return 0
}

// positioned is what a message begins with that names its place.
var positioned = regexp.MustCompile(`^.+?:\d+: `)

// maxTrace is how many calls are shown that led to an error.
const maxTrace = 10

// result tells what became of the pass, whose unit ended with err.
func (p *pass) result(err error) Result {
	var failed *script.Error
	switch {
	case p.verdict != nil:
		return *p.verdict
	case err == nil:
		return Result{Status: Passed}
	case !errors.As(err, &failed):
		return Result{Status: Broken, Message: p.file.Name + ": " + err.Error()}
	}
	r := Result{Status: Broken, Message: failed.Message, Missing: failed.Missing}
	trace := p.lineage(failed.Traceback)
	if len(trace) > maxTrace {
		trace = append(trace[:maxTrace], "...")
	}
	if len(trace) > 1 {
		r.Traceback = "called from\n  " + strings.Join(trace[1:], "\n  ")
	}
	switch failed.Kind {
	case script.KindError:
		if text, ok := raisedTable(failed); ok {
			r.Message = p.at(trace) + "raised " + text
		} else if !positioned.MatchString(failed.Message) {
			r.Message = p.at(trace) + failed.Message
		}
	case script.KindExit:
		r.Message = p.at(trace) + "a test must not call os.exit"
	case script.KindStopped, script.KindMemory:
		r.Message = p.at(trace) + strings.TrimPrefix(failed.Message, "script ")
	case script.KindPanic:
		r.Message, r.Traceback = p.at(trace)+failed.Message, failed.GoStack
	}
	return r
}

// maxRaised is how much is shown of a table that was raised, in bytes.
const maxRaised = 500

// raisedTable returns the table that was raised as an error, where the message can only say that it was one.
func raisedTable(failed *script.Error) (text string, ok bool) {
	if _, isText := failed.Value.(string); isText || !strings.HasPrefix(failed.Message, "(error object is a table") {
		return "", false
	}
	stored, err := value.Marshal(failed.Value, value.Limits{})
	if err != nil {
		return "", false
	}
	b, err := luatext.Append(nil, stored, nil)
	return string(b), err == nil && len(b) <= maxRaised
}

// at returns what a message begins with that names no place itself.
func (p *pass) at(trace []string) string {
	if len(trace) == 0 {
		return p.file.Name + ": "
	}
	place, _, _ := strings.Cut(trace[0], ": in ")
	return place + ": "
}

// lineage returns the calls of Lua in a traceback, innermost first, but for the main program, which nobody has written.
func (p *pass) lineage(traceback string) []string {
	lines := strings.Split(traceback, "\n\t")[1:] // the first says what follows
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "[Go]") || strings.HasPrefix(line, "=") })
	if last := len(lines) - 1; last >= 0 && lines[last] == p.file.Name+":1: in main chunk" {
		return lines[:last]
	}
	return lines
}
