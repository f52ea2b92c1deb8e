package script

import (
	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/script/internal/pattern"
)

// keptMatchers is how many matchers are kept for the next call. More are in use at once only where replacements match.
const keptMatchers = 8

// A stringMatcher matches for one call at a time: a replacement of gsub may match too.
type stringMatcher struct {
	pattern.Matcher

	library *stringLibrary
	L       *lua.LState // of the call
	subject string
}

// matcher returns a matcher that is the caller's until [stringMatcher.release].
func (l *stringLibrary) matcher(L *lua.LState, subject, pattern string) *stringMatcher {
	var m *stringMatcher
	if n := len(l.matchers); n > 0 {
		m, l.matchers = l.matchers[n-1], l.matchers[:n-1]
	} else {
		m = &stringMatcher{library: l}
		m.Poll = func() { l.guard.poll(m.L) }
	}
	m.L, m.subject = L, subject
	m.Reset(subject, pattern)
	return m
}

// release gives m back. One whose call raised an error is left to the garbage collector.
func (m *stringMatcher) release() {
	m.L, m.subject = nil, ""
	m.Forget()
	if len(m.library.matchers) < keptMatchers {
		m.library.matchers = append(m.library.matchers, m)
	}
}

// raise raises an error of a pattern.
func (m *stringMatcher) raise(err error) { raise(m.L, "%s", err.Error()) }

// find returns the first match at from or behind it, or only at from. Its end is [pattern.None] if there is none.
func (m *stringMatcher) find(from int, anchored bool) (start, end int) {
	var err error
	if anchored {
		start = from
		end, err = m.Match(from)
	} else {
		start, end, err = m.Find(from)
	}
	if err != nil {
		m.raise(err)
	}
	return start, end
}

// capture returns a capture, counted from 0. The first of a match without any is the match itself, from start to end.
func (m *stringMatcher) capture(i, start, end int) lua.LValue {
	if i == 0 && m.Captures() == 0 {
		return lua.LString(m.subject[start:end])
	}
	from, to, err := m.Capture(i)
	switch {
	case err != nil:
		m.raise(err)
	case to == pattern.None:
		return lua.LNumber(from + 1)
	}
	return lua.LString(m.subject[from:to])
}

// pushCaptures pushes all captures, or the match itself, and returns how many these are.
func (m *stringMatcher) pushCaptures(start, end int) int {
	n := max(m.Captures(), 1)
	for i := range n {
		m.L.Push(m.capture(i, start, end))
	}
	return n
}

// subjectAndInit returns the subject of find and match, and where in it they begin.
func subjectAndInit(L *lua.LState, function string) (subject, pattern string, init int) {
	subject, pattern = checkString(L, 1, function), checkString(L, 2, function)
	init = fromStart(cIntOr(L, 3, function, 1), len(subject)) - 1
	return subject, pattern, min(max(init, 0), len(subject))
}

// find takes a pattern that matches only itself for a plain string.
func (l *stringLibrary) find(L *lua.LState) int {
	s, p, init := subjectAndInit(L, "find")
	if lua.LVAsBool(L.Get(4)) || plain(p) {
		return l.findPlain(L, s, p, init)
	}
	p, anchored := pattern.Anchored(p)
	m := l.matcher(L, s, p)
	start, end := m.find(init, anchored)
	if end == pattern.None {
		m.release()
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(start + 1))
	L.Push(lua.LNumber(end))
	n := 2
	if m.Captures() > 0 {
		n += m.pushCaptures(start, end)
	}
	m.release()
	return n
}

func (l *stringLibrary) findPlain(L *lua.LState, s, find string, init int) int {
	i := l.index(L, s[init:], find)
	if i < 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(init + i + 1))
	L.Push(lua.LNumber(init + i + len(find)))
	return 2
}

// plain reports whether a pattern matches nothing but itself. As in Lua 5.1 nothing behind a NUL byte is special, and a ")" or a
// "]" alone is not.
func plain(p string) bool {
	for i := range len(p) {
		switch p[i] {
		case '^', '$', '*', '+', '?', '.', '(', '[', '%', '-':
			return false
		case 0:
			return true
		}
	}
	return true
}

func (l *stringLibrary) match(L *lua.LState) int {
	s, p, init := subjectAndInit(L, "match")
	p, anchored := pattern.Anchored(p)
	m := l.matcher(L, s, p)
	start, end := m.find(init, anchored)
	n := 1
	if end == pattern.None {
		L.Push(lua.LNil)
	} else {
		n = m.pushCaptures(start, end)
	}
	m.release()
	return n
}

// A gmatch is the state of one iterator.
type gmatch struct {
	library          *stringLibrary
	subject, pattern string
	next             int // where the next match may begin
}

// gmatch returns an iterator. As in Lua 5.1 a "^" is no anchor there.
func (l *stringLibrary) gmatch(L *lua.LState) int {
	g := &gmatch{library: l, subject: checkString(L, 1, "gmatch"), pattern: checkString(L, 2, "gmatch")}
	L.Push(L.NewFunction(g.step))
	return 1
}

// step pushes the captures of the next match, or nothing.
func (g *gmatch) step(L *lua.LState) int {
	if g.next > len(g.subject) {
		return 0
	}
	m := g.library.matcher(L, g.subject, g.pattern)
	start, end := m.find(g.next, false)
	n := 0
	if end == pattern.None {
		g.next = len(g.subject) + 1
	} else {
		n = m.pushCaptures(start, end)
		g.next = max(end, start+1)
	}
	m.release()
	return n
}
