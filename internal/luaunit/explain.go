package luaunit

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/luatext"
)

const (
	maxDiff     = 60  // lines of a diff that are shown
	maxDiffLine = 240 // bytes of one of them
	maxBoth     = 80  // bytes of two values that are told in one line
)

// diffHeader says which side is which.
const diffHeader = "--- want\n+++ got\n"

// An explanation tells a person why an assertion does not hold.
type explanation struct {
	message string
	diff    string
}

// explain tells how two values differ: in one line if they are short, else by the first difference and a diff.
func (d *difference) explain(L *lua.LState, got, want lua.LValue) explanation {
	g, ok := inLine(L, got)
	w, ok2 := inLine(L, want)
	switch {
	case ok && ok2 && g != w && len(g)+len(w) <= maxBoth:
		return explanation{message: fmt.Sprintf("got %s, want %s", g, w)}
	case ok && ok2 && g == w:
		return explanation{message: fmt.Sprintf("%sgot %s, want another value that looks the same", d.at(), brief(d.got))}
	}
	e := d.here()
	if !d.apparent() {
		return e
	}
	if gs, ws, ok := texts(got, want); ok {
		if strings.ContainsAny(gs+ws, "\n") {
			e.diff = lineDiff(quoted(ws), quoted(gs))
		}
		return e
	}
	if lines := lineDiff(literal(L, want), literal(L, got)); lines != "" {
		e.diff = lines
	}
	return e
}

// here tells the difference itself.
func (d *difference) here() explanation {
	got, want, ok := texts(d.got, d.want)
	if !ok || len(got) <= maxLine && len(want) <= maxLine {
		return explanation{message: fmt.Sprintf("%sgot %s, want %s", d.at(), brief(d.got), brief(d.want))}
	}
	n := common(got, want)
	return explanation{
		message: fmt.Sprintf("%sgot a string of %d bytes, want one of %d bytes that differs from byte %d on", d.at(), len(got), len(want), n+1),
		diff:    fmt.Sprintf("%s-%s\n+%s\n", diffHeader, around(want, n), around(got, n)),
	}
}

// apparent reports whether a diff by lines can show the difference, which it cannot far behind in a long line.
func (d *difference) apparent() bool {
	got, want, ok := texts(d.got, d.want)
	if !ok {
		return true
	}
	before := got[:common(got, want)]
	if len(d.keys) == 0 { // the lines are those of the text itself
		before = before[strings.LastIndexByte(before, '\n')+1:]
	}
	return len(luatext.AppendString(nil, before)) <= maxString
}

// common returns how many bytes two texts begin with that are the same.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// at is what a message begins with that tells of a place inside the values.
func (d *difference) at() string {
	if len(d.keys) == 0 {
		return ""
	}
	var b []byte
	for _, k := range d.keys[:min(len(d.keys), maxLevel)] {
		name, ok := k.(lua.LString)
		key := luatext.AppendKey(nil, clipped(string(name)))
		switch {
		case ok && key[0] != '[':
			b = append(append(b, '.'), key...)
		case ok:
			b = append(b, key...)
		default:
			b = fmt.Appendf(b, "[%s]", brief(k))
		}
	}
	if len(d.keys) > maxLevel {
		b = append(b, "..."...)
	}
	return "at " + string(b) + ": "
}

// texts returns two values as strings, if they are.
func texts(a, b lua.LValue) (x, y string, ok bool) {
	s, ok := a.(lua.LString)
	t, ok2 := b.(lua.LString)
	return string(s), string(t), ok && ok2
}

// around returns the part of a text that is about a place in it, as a literal.
func around(s string, n int) string {
	const before, after = 30, 60
	from, to := boundary(s, max(0, n-before)), min(len(s), n+after)
	if to < len(s) {
		to = boundary(s, to)
	}
	text := string(luatext.AppendString(nil, s[from:to]))
	if from > 0 {
		text = "..." + text
	}
	if to < len(s) {
		text += "..."
	}
	return text
}

// quoted returns the lines of a text as literals, each in a line of its own.
func quoted(s string) []byte {
	var b []byte
	for line := range strings.Lines(s) {
		b = luatext.AppendString(b, beginning(line, maxWhole))
		b = append(b, '\n')
	}
	return b
}

// lineDiff returns what makes one text of lines the other, with a few lines around it; "" for texts that are the same.
func lineDiff(want, got []byte) string {
	if bytes.Equal(want, got) {
		return ""
	}
	lines := strings.SplitAfter(string(diff.Diff("want", want, "got", got)), "\n")[3:]
	var b strings.Builder
	b.WriteString(diffHeader)
	for i, line := range lines {
		switch {
		case i == maxDiff:
			fmt.Fprintf(&b, "... %d more lines\n", len(lines)-1-i)
			return b.String()
		case strings.HasPrefix(line, "@@") && i > 0:
			b.WriteString("...\n")
		case !strings.HasPrefix(line, "@@"):
			b.WriteString(shownLine(line))
		}
	}
	return b.String()
}

// shownLine returns a line of a diff, or how it begins: lines are cut after they were compared, so that two that differ far behind
// never pass for the same.
func shownLine(line string) string {
	if len(line) <= maxDiffLine {
		return line
	}
	return beginning(line, maxDiffLine) + "...\n"
}
