package script

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// How much of a traceback is shown and looked at.
const (
	maxTraceLines = 20
	maxTailLevels = 1000
)

// traceback lists the calls of a state, innermost first, and those of the coroutines that resumed it. It is called while the
// failed calls are still in place. gopher-lua has a traceback of its own, which holds a line for each tail call ever made: a
// gigabyte for a loop of them.
func traceback(L *lua.LState) string {
	var t trace
	for th := L; th != nil && !t.full(); th = th.Parent {
		t.thread(th)
	}
	if len(t.lines) == 0 {
		return ""
	}
	if t.full() {
		t.lines = append(t.lines[:maxTraceLines], "...")
	}
	return "stack traceback:\n\t" + strings.Join(t.lines, "\n\t")
}

type trace struct{ lines []string }

func (t *trace) full() bool { return len(t.lines) > maxTraceLines }

// thread lists the calls of one coroutine. The levels that tail calls took are answered with the outermost call, which is thus
// shown when no other follows. In a coroutine that is one which nobody has written: the one above it is where it began.
func (t *trace) thread(L *lua.LState) {
	var outermost string
	grounded := false
	first, tails := len(t.lines), 0
	for level := 0; !t.full() && tails < maxTailLevels; level++ {
		d, ok := L.GetStack(level)
		if !ok {
			break
		}
		v, err := L.GetInfo("nSlf", d, lua.LNil)
		fn, ok := v.(*lua.LFunction)
		if err != nil || !ok {
			break
		}
		grounded = grounded || fn.Proto == ground && d.What == "main"
		switch {
		case isOperator(fn):
		case d.What == "main":
			outermost = line(d, L.Parent != nil)
			tails++
		default:
			if tails > 0 {
				t.lines = append(t.lines, "(tail calls)")
				tails = 0
			}
			t.lines = append(t.lines, line(d, false))
		}
	}
	if last := len(t.lines) - 1; grounded && last >= first {
		where, _, _ := strings.Cut(t.lines[last], ": in ")
		t.lines[last], outermost = where+": in coroutine", ""
		return
	}
	if tails > 1 {
		t.lines = append(t.lines, "(tail calls)")
	}
	if outermost != "" {
		t.lines = append(t.lines, outermost)
	}
}

// line returns one call as people read it.
func line(d *lua.Debug, coroutine bool) string {
	where := "[Go]"
	if d.Source != "" {
		where = fmt.Sprintf("%s:%d", d.Source, d.CurrentLine)
	}
	switch {
	case coroutine:
		return where + ": in coroutine"
	case d.Source != "" && d.LineDefined == 0, d.Name == "main chunk":
		return where + ": in main chunk"
	case strings.HasPrefix(d.Name, "<"), strings.HasPrefix(d.Name, "("):
		return where + ": in function " + d.Name
	case d.Name == "?":
		return where + ": in a function"
	}
	return fmt.Sprintf("%s: in function '%s'", where, d.Name)
}

// isOperator reports whether a function stands for an operator, which is no call to a reader.
func isOperator(fn *lua.LFunction) bool {
	return fn == concatFunction || fn == concatListFunction || fn == lengthFunction
}
