package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/script/internal/pattern"
)

// A substitution is one call of gsub.
type substitution struct {
	*stringMatcher

	out    result
	copied int        // how much of the subject is in out, or replaced
	with   lua.LValue // a table or a function, or a string:
	text   string     // what it says
	plain  bool       // it has no "%"
}

// gsub takes time and room in proportion to its subject and its result, whatever the number of replacements. Where nothing is
// replaced, it returns the subject itself.
func (l *stringLibrary) gsub(L *lua.LState) int {
	s, p := checkString(L, 1, "gsub"), checkString(L, 2, "gsub")
	most := cIntOr(L, 4, "gsub", len(s)+1)
	with := replacement(L)
	p, anchored := pattern.Anchored(p)
	b := substitution{stringMatcher: l.matcher(L, s, p), out: result{guard: l.guard, L: L}, with: with}
	if text, ok := with.(lua.LString); ok {
		b.text, b.plain = string(text), strings.IndexByte(string(text), '%') < 0
	}
	n := b.all(most, anchored)
	if n == 0 {
		L.Push(lua.LString(s))
	} else {
		b.out.add(s[b.copied:])
		L.Push(b.out.text())
	}
	b.release()
	L.Push(lua.LNumber(n))
	return 2
}

// replacement returns the argument of gsub that says what to put in place of a match.
func replacement(L *lua.LState) lua.LValue {
	switch v := L.Get(3).(type) {
	case lua.LString, *lua.LTable, *lua.LFunction:
		return v
	case lua.LNumber:
		return lua.LString(numberText(v))
	}
	argumentError(L, 3, "gsub", "string/function/table expected")
	return nil
}

// all replaces up to most matches, or the first at the beginning only, and returns how many there were.
func (b *substitution) all(most int, anchored bool) (n int) {
	for next := 0; n < most; {
		start, end := b.find(next, anchored)
		if end == pattern.None {
			return n
		}
		if n++; n == 1 {
			b.out.expect(len(b.subject))
		}
		b.out.add(b.subject[b.copied:start])
		b.replace(start, end)
		b.copied = end
		next = max(end, start+1) // behind an empty match the next byte stays
		if anchored || next > len(b.subject) {
			return n
		}
	}
	return n
}

// replace adds what takes the place of a match. False and nil, from a table or a function, leave it as it is.
func (b *substitution) replace(start, end int) {
	if b.plain {
		b.out.add(b.text)
		return
	}
	var v lua.LValue
	switch with := b.with.(type) {
	case lua.LString:
		b.expand(start, end)
		return
	case *lua.LTable:
		v = b.L.GetTable(with, b.capture(0, start, end))
	default:
		v = b.call(start, end)
	}
	switch v := v.(type) {
	case lua.LString:
		b.out.add(string(v))
	case lua.LNumber:
		b.out.add(numberText(v))
	default:
		if lua.LVAsBool(v) {
			raise(b.L, "invalid replacement value (a %s)", v.Type())
		}
		b.out.add(b.subject[start:end])
	}
}

// call returns what the function says to put in place of a match.
func (b *substitution) call(start, end int) lua.LValue {
	b.L.Push(b.with)
	b.L.Call(b.pushCaptures(start, end), 1)
	v := b.L.Get(-1)
	b.L.Pop(1)
	return v
}

// expand adds the text with captures for "%0" to "%9". A "%" stands before any other byte for that byte, and at the end, as in
// Lua 5.1, for a NUL byte.
func (b *substitution) expand(start, end int) {
	for text := b.text; text != ""; {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			b.out.add(text)
			return
		}
		b.out.add(text[:i])
		b.Spend(1)
		c := byte(0)
		if text = text[i+1:]; text != "" {
			c, text = text[0], text[1:]
		}
		switch {
		case c == '0':
			b.out.add(b.subject[start:end])
		case '1' <= c && c <= '9':
			b.out.add(b.capture(int(c-'1'), start, end).String())
		default:
			b.out.add(string([]byte{c}))
		}
	}
}
