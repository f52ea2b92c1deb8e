package luaunit

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/luatext"
)

// What is shown of a value.
const (
	maxLine    = 60       // bytes of a value in one line; longer tables go over several
	maxString  = 200      // bytes of a string inside a line
	maxWhole   = 64 << 10 // bytes of one that is compared line by line
	maxEntries = 10_000   // of one table
	maxLevel   = 64       // tables inside tables
	maxText    = 1 << 20
)

// A printer writes values as Lua literals, in the order of their keys, as far as they have a literal.
type printer struct {
	poller
	b    []byte
	open []*lua.LTable // that are being printed, outermost first
	line int           // where longer than this a text need not go on; 0 for no end
	over bool          // it would be longer
}

// inLine returns a value in one line, if that is no longer than maxLine.
func inLine(L *lua.LState, v lua.LValue) (text string, ok bool) {
	p := &printer{poller: poller{L: L}, line: maxLine}
	p.value(v)
	return string(p.b), !p.over && len(p.b) <= maxLine
}

// literal returns a value over several lines, each entry of a table in one of its own.
func literal(L *lua.LState, v lua.LValue) []byte {
	p := &printer{poller: poller{L: L}}
	p.value(v)
	return append(p.b, '\n')
}

// short returns a value in one line if it is short, or what it is.
func short(L *lua.LState, v lua.LValue) string {
	if text, ok := inLine(L, v); ok && v.Type() == lua.LTTable {
		return text
	}
	return brief(v)
}

// brief is short for where tables, which may be many, are only named.
func brief(v lua.LValue) string {
	switch v := v.(type) {
	case *lua.LTable:
		return "a table"
	case lua.LString:
		if text := luatext.AppendString(nil, string(v)); len(text) <= maxString {
			return string(text)
		}
		return fmt.Sprintf("a string of %d bytes", len(v))
	case lua.LNumber:
		if v != v {
			return "0/0 (not a number)"
		}
	}
	p := &printer{}
	p.value(v)
	return string(p.b)
}

// value writes any value.
func (p *printer) value(v lua.LValue) {
	switch v := v.(type) {
	case lua.LString:
		p.text(string(v))
	case lua.LNumber:
		p.b = luatext.AppendNumber(p.b, float64(v)+0) // no -0: it is equal to 0
	case lua.LBool, *lua.LNilType:
		p.b = append(p.b, v.String()...)
	case *lua.LTable:
		p.table(v)
	default:
		p.b = fmt.Appendf(p.b, "<%s>", v.Type())
	}
}

// text writes a string, or how it begins.
func (p *printer) text(s string) {
	limit := maxString
	if p.line == 0 {
		limit = maxWhole
	}
	p.b = luatext.AppendString(p.b, beginning(s, limit))
	if len(s) > limit {
		p.b = fmt.Appendf(p.b, "... (%d bytes)", len(s))
	}
}

// clipped returns a string that may stand in a line, or how it begins.
func clipped(s string) string { return beginning(s, maxString) }

// beginning returns up to n bytes of a string, in whole characters.
func beginning(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:boundary(s, n)]
}

// boundary returns the last place up to n where a character begins.
func boundary(s string, n int) int {
	const longest = 3 // continuation bytes
	for i := n; i > 0 && n-i <= longest; i-- {
		if s[i]&0xc0 != 0x80 {
			return i
		}
	}
	return n
}

// full reports whether the text is as long as it may be.
func (p *printer) full() bool {
	return p.over || p.line > 0 && len(p.b) > p.line || len(p.b) > maxText
}

// table writes a table, in one line if that is all there may be, or if it is short and holds no other.
func (p *printer) table(t *lua.LTable) {
	switch {
	case !longer(t, 0):
		p.b = append(p.b, "{}"...)
		return
	case slices.Contains(p.open, t):
		p.b = append(p.b, "<itself>"...)
		return
	case p.line > 0 && longer(t, p.line/len("1, ")):
		p.over = true
		return
	case len(p.open) == maxLevel:
		p.b = append(p.b, "<more tables>"...)
		return
	case p.line == 0 && len(p.open) > 0:
		if text, ok := inLine(p.L, t); ok && !strings.Contains(text[1:], "{") {
			p.b = append(p.b, text...)
			return
		}
	}
	p.open = append(p.open, t)
	p.entries(t)
	p.open = p.open[:len(p.open)-1]
}

// longer reports whether a table has more than n entries.
func longer(t *lua.LTable, n int) bool {
	count := 0
	for k, _ := t.Next(lua.LNil); k != lua.LNil; k, _ = t.Next(k) {
		if count++; count > n {
			return true
		}
	}
	return false
}

// entries writes what is in a table: its list first, then what is under other keys, in their order.
func (p *printer) entries(t *lua.LTable) {
	p.b = append(p.b, '{')
	list, keys := p.keys(t)
	for i := range min(list, maxEntries) {
		p.separate(i)
		p.value(t.RawGetInt(i + 1))
		if p.full() {
			return
		}
	}
	for i, k := range keys[:min(len(keys), max(0, maxEntries-list))] {
		p.separate(list + i)
		p.key(k)
		p.value(t.RawGet(k))
		if p.full() {
			return
		}
	}
	if rest := list + len(keys) - maxEntries; rest > 0 {
		p.separate(1)
		p.b = fmt.Appendf(p.b, "-- %d more", rest)
	}
	p.close()
}

// separate goes to where the next entry stands.
func (p *printer) separate(before int) {
	switch {
	case p.line == 0:
		if before > 0 {
			p.b = append(p.b, ',')
		}
		p.b = append(p.b, '\n')
		p.b = append(p.b, bytes.Repeat([]byte("  "), len(p.open))...)
	case before > 0:
		p.b = append(p.b, ", "...)
	default:
		p.b = append(p.b, ' ')
	}
}

// close ends a table. Every entry that has a line of its own has a comma, so that one more changes no other line.
func (p *printer) close() {
	if p.line > 0 {
		p.b = append(p.b, " }"...)
		return
	}
	p.b = append(p.b, ",\n"...)
	p.b = append(p.b, bytes.Repeat([]byte("  "), len(p.open)-1)...)
	p.b = append(p.b, '}')
}

// key writes the key of an entry.
func (p *printer) key(k lua.LValue) {
	if name, ok := k.(lua.LString); ok {
		p.b = append(luatext.AppendKey(p.b, clipped(string(name))), " = "...)
		return
	}
	p.b = append(append(p.b, '['), brief(k)...)
	p.b = append(p.b, "] = "...)
}

// keys returns how many entries a table has as a list, from 1 on without a gap, and its other keys in order.
func (p *printer) keys(t *lua.LTable) (list int, others []lua.LValue) {
	for t.RawGetInt(list+1) != lua.LNil {
		list++
		p.poll()
	}
	for k, _ := t.Next(lua.LNil); k != lua.LNil; k, _ = t.Next(k) {
		p.poll()
		if n, ok := k.(lua.LNumber); ok && n >= 1 && n <= lua.LNumber(list) && n == lua.LNumber(int(n)) {
			continue
		}
		others = append(others, k)
	}
	slices.SortStableFunc(others, compareKeys)
	return list, others
}

// poll looks whether the unit has ended, where there is one.
func (p *printer) poll() {
	if p.L != nil {
		p.step()
	}
}

// compareKeys orders keys: numbers, then strings, then the rest as they come.
func compareKeys(a, b lua.LValue) int {
	if a.Type() != b.Type() {
		return cmp.Compare(rank(a), rank(b))
	}
	switch a := a.(type) {
	case lua.LNumber:
		return cmp.Compare(a, b.(lua.LNumber))
	case lua.LString:
		return cmp.Compare(a, b.(lua.LString))
	case lua.LBool:
		return cmp.Compare(a.String(), b.String())
	}
	return 0
}

// rank orders the types of keys.
func rank(k lua.LValue) int {
	return slices.Index([]lua.LValueType{lua.LTNumber, lua.LTString, lua.LTBool, lua.LTTable, lua.LTFunction, lua.LTUserData}, k.Type())
}
