package script

import (
	"cmp"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// tables are the functions of the library table. Those of gopher-lua know the array part of a table only, which ends at
// lua.MaxArrayIndex.
type tables struct{ g *guard }

// tableFunctions returns the library table.
func tableFunctions(g *guard) map[string]lua.LGFunction {
	t := &tables{g}
	return map[string]lua.LGFunction{
		"concat": t.concat, "getn": t.getn, "insert": t.insert, "maxn": t.maxn, "remove": t.remove, "sort": t.sort,
	}
}

// pollEvery is how many steps of a loop pass between two looks at the unit. One takes a few nanoseconds.
const pollEvery = 4096

// A pace counts the steps of a loop and polls in good time.
type pace struct {
	g     *guard
	steps int
}

// step counts so many steps, or what costs as much. It raises when the unit has ended.
func (p *pace) step(L *lua.LState, steps int) {
	if p.steps += steps; p.steps >= pollEvery {
		p.steps = 0
		p.g.poll(L)
	}
}

// element returns t[i]. LTable.RawGetInt does not look into the hash part, and RawGet would need i as an LValue.
func element(t *lua.LTable, i int) lua.LValue {
	if 0 < i && i < lua.MaxArrayIndex {
		return t.RawGetInt(i)
	}
	return t.RawGetH(lua.LNumber(i))
}

// inArray reports whether the list of n elements that t holds is in its array part, and would be with one more.
func inArray(n int) bool { return n < lua.MaxArrayIndex-1 }

func (t *tables) getn(L *lua.LState) int {
	L.Push(lua.LNumber(t.g.length(checkTable(L, 1, "getn"))))
	return 1
}

// maxn looks at all keys, fractions too.
func (t *tables) maxn(L *lua.LState) int {
	largest, p := lua.LNumber(0), pace{g: t.g}
	checkTable(L, 1, "maxn").ForEach(func(key, _ lua.LValue) {
		p.step(L, 1)
		if n, ok := key.(lua.LNumber); ok && n > largest {
			largest = n
		}
	})
	L.Push(largest)
	return 1
}

// insert appends in constant time. In the middle it moves elements, at memory speed while they are in the array part.
func (t *tables) insert(L *lua.LState) int {
	list := checkTable(L, 1, "insert")
	n := t.g.length(list)
	switch L.GetTop() {
	case 2:
		if n > 0 && n%16 == 0 && inArray(n) {
			trim(list, n)
		}
		list.RawSetInt(n+1, L.Get(2))
	case 3:
		t.insertAt(L, list, n, checkInt(L, 2, "insert"), L.Get(3))
	default:
		raise(L, "wrong number of arguments to 'insert'")
	}
	return 0
}

// insertAt puts v at a position and moves what is there and behind it.
func (t *tables) insertAt(L *lua.LState, list *lua.LTable, n, position int, v lua.LValue) {
	if 1 <= position && position <= n && inArray(n) {
		trim(list, n)
		list.Insert(position, v)
		return
	}
	p := pace{g: t.g}
	for i := n + 1; i > position; i-- {
		p.step(L, 1)
		list.RawSetInt(i, element(list, i-1))
	}
	list.RawSetInt(position, v)
}

// remove returns nothing, and not nil, where there is no element.
func (t *tables) remove(L *lua.LState) int {
	list := checkTable(L, 1, "remove")
	n := t.g.length(list)
	position := optInt(L, 2, "remove", n)
	if position < 1 || position > n {
		return 0
	}
	L.Push(t.removeAt(L, list, n, position))
	return 1
}

// removeAt takes out the element at a position and moves what is behind it.
func (t *tables) removeAt(L *lua.LState, list *lua.LTable, n, position int) lua.LValue {
	switch {
	case inArray(n) && position == n:
		return pop(list)
	case inArray(n):
		return list.Remove(position)
	}
	removed, p := element(list, position), pace{g: t.g}
	for i := position; i < n; i++ {
		p.step(L, 1)
		list.RawSetInt(i, element(list, i+1))
	}
	list.RawSetInt(n, lua.LNil)
	return removed
}

// pop removes the last element of a list that is not empty and ends in the array part, and the nils behind it.
func pop(list *lua.LTable) lua.LValue {
	for {
		if v := list.Remove(-1); v != lua.LNil {
			return v
		}
	}
}

// trim drops the nils that the array part may hold behind its n elements. Each call of Len reads them all: a list that was
// emptied and grows again would take quadratic time.
func trim(list *lua.LTable, n int) { list.RawSetInt(n, pop(list)) }

// concat makes the string in one piece, when it is known how long it is.
func (t *tables) concat(L *lua.LState) int {
	separator := optString(L, 2, "concat", "")
	list := checkTable(L, 1, "concat")
	first, last := interval(L, t.g, list, 3, "concat")
	size := t.size(L, list, len(separator), first, last)
	t.g.room(L, size)
	var b strings.Builder
	b.Grow(size)
	p := pace{g: t.g}
	for i := first; i <= last; i++ {
		switch v := element(list, i).(type) {
		case lua.LString:
			b.WriteString(string(v))
		case lua.LNumber:
			var buf [32]byte
			b.Write(appendNumber(buf[:0], v))
		}
		if i < last {
			b.WriteString(separator)
		}
		p.step(L, 1)
	}
	L.Push(lua.LString(b.String()))
	return 1
}

// size returns how long elements of a list are in one string, if they can be in one.
func (t *tables) size(L *lua.LState, list *lua.LTable, separator, first, last int) int {
	size, p := 0, pace{g: t.g}
	for i := first; i <= last; i++ {
		var buf [32]byte
		switch v := element(list, i).(type) {
		case lua.LString:
			size += len(v)
		case lua.LNumber:
			size += len(appendNumber(buf[:0], v))
		default:
			raise(L, "invalid value (%s) at index %d in table for 'concat'", v.Type(), i)
		}
		if i < last {
			size += separator
		}
		if size > MaxString {
			t.g.room(L, size)
		}
		p.step(L, 1)
	}
	return size
}

// sort takes the quick way for lists of nothing but numbers or strings.
func (t *tables) sort(L *lua.LState) int {
	list := checkTable(L, 1, "sort")
	n := t.g.length(list)
	s := sorter{L: L, list: list, pace: pace{g: t.g}}
	if L.Get(2) != lua.LNil {
		fn, ok := L.Get(2).(*lua.LFunction)
		if !ok {
			typeError(L, 2, "sort", "function")
		}
		s.less = fn
	} else if n > fewElements && s.scalars(n) {
		return 0
	}
	s.sort(1, n)
	return 0
}

// fewElements are sorted in place: that is faster than to take them out.
const fewElements = 12

// A sorter sorts one list.
type sorter struct {
	L    *lua.LState
	list *lua.LTable
	less *lua.LFunction // nil for <
	pace pace
}

// scalars sorts a list of nothing but numbers, or nothing but strings, and reports whether it is one. No code of the script runs.
func (s *sorter) scalars(n int) bool {
	if numbers, ok := all[lua.LNumber](s, n); ok {
		slices.SortFunc(numbers, func(a, b lua.LNumber) int {
			s.pace.step(s.L, 1)
			return cmp.Compare(a, b)
		})
		assign(s, numbers)
		return true
	}
	texts, ok := all[lua.LString](s, n)
	if ok {
		slices.SortFunc(texts, func(a, b lua.LString) int {
			s.pace.step(s.L, 1+min(len(a), len(b))/16)
			return cmp.Compare(a, b)
		})
		assign(s, texts)
	}
	return ok
}

// all returns the n elements of the list, if they are of one type.
func all[T lua.LValue](s *sorter, n int) ([]T, bool) {
	if _, ok := element(s.list, n).(T); !ok {
		return nil, false
	}
	elements := make([]T, 0, min(n, s.list.Len())) // n is what a script makes it: t[2^n] is a list of 2^52
	for i := 1; i <= n; i++ {
		s.pace.step(s.L, 1)
		v, ok := element(s.list, i).(T)
		if !ok {
			return nil, false
		}
		elements = append(elements, v)
	}
	return elements, true
}

// assign makes elements those of the list.
func assign[T lua.LValue](s *sorter, elements []T) {
	for i, v := range elements {
		s.pace.step(s.L, 1)
		s.list.RawSetInt(i+1, v)
	}
}

// sort is the quicksort of Lua 5.1, with the same pivots: elements that are equal end in the same order as there. It works in the
// table itself, because code of the script runs meanwhile, which may sort the same table again, thousands of calls deep.
func (s *sorter) sort(from, to int) {
	for from < to {
		middle := s.pivot(from, to)
		if to-from <= 2 {
			return
		}
		i := s.partition(from, to, element(s.list, middle))
		if i-from < to-i {
			s.sort(from, i-1)
			from = i + 1
		} else {
			s.sort(i+1, to)
			to = i - 1
		}
	}
}

// pivot brings the first, middle and last element in order and, where there are more than these, the middle one to the place
// before the last. It returns that place.
func (s *sorter) pivot(from, to int) int {
	middle := from + (to-from)/2
	s.order(from, to)
	if middle == from {
		return middle
	}
	if !s.order(from, middle) {
		s.order(middle, to)
	}
	if to-from > 2 {
		s.swap(middle, to-1)
	}
	return to - 1
}

// order swaps two elements that are in the wrong order and reports whether they were.
func (s *sorter) order(i, j int) bool {
	wrong := s.before(element(s.list, j), element(s.list, i))
	if wrong {
		s.swap(i, j)
	}
	return wrong
}

// swap exchanges two elements.
func (s *sorter) swap(i, j int) {
	a, b := element(s.list, i), element(s.list, j)
	s.list.RawSetInt(i, b)
	s.list.RawSetInt(j, a)
}

// partition moves what is less than the pivot before it and the rest behind it, and returns where the pivot is then. The pivot is
// the last element but one. A function that contradicts itself may lead beyond the ends, by one element at most.
func (s *sorter) partition(from, to int, pivot lua.LValue) int {
	i, j := from, to-1
	for {
		for i++; s.before(element(s.list, i), pivot); i++ {
			if i > to {
				raise(s.L, "invalid order function for sorting")
			}
		}
		for j--; s.before(pivot, element(s.list, j)); j-- {
			if j < from {
				raise(s.L, "invalid order function for sorting")
			}
		}
		if j < i {
			s.swap(to-1, i)
			return i
		}
		s.swap(i, j)
	}
}

// before reports whether a belongs before b.
func (s *sorter) before(a, b lua.LValue) bool {
	s.pace.step(s.L, 1)
	if s.less == nil {
		return s.lessThan(a, b)
	}
	s.L.Push(s.less)
	s.L.Push(a)
	s.L.Push(b)
	s.L.Call(2, 1)
	before := lua.LVAsBool(s.L.Get(-1))
	s.L.Pop(1)
	return before
}

// lessThan is the operator < for values of any type. That of gopher-lua compares strings byte by byte.
func (s *sorter) lessThan(a, b lua.LValue) bool {
	switch a := a.(type) {
	case lua.LNumber:
		if b, ok := b.(lua.LNumber); ok {
			return a < b
		}
	case lua.LString:
		if b, ok := b.(lua.LString); ok {
			s.pace.step(s.L, min(len(a), len(b))/16)
			return a < b
		}
	default:
		less := s.L.GetMetaField(a, "__lt")
		if less.Type() == lua.LTFunction && less == s.L.GetMetaField(b, "__lt") && a.Type() == b.Type() {
			return s.L.LessThan(a, b)
		}
	}
	text := "attempt to compare " + a.Type().String() + " with " + b.Type().String()
	if a.Type() == b.Type() {
		text = "attempt to compare two " + a.Type().String() + " values"
	}
	s.L.Error(lua.LString(text), 0)
	return false
}
