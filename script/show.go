package script

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/luatext"
)

// How much of results is shown.
const (
	shownWidth    = 100      // columns, up to which a table stays on its line
	shownResults  = 100      // values of one chunk
	shownElements = 200      // of one table
	shownNodes    = 2000     // elements of all tables
	shownDepth    = 8        // tables inside tables
	shownString   = 8 << 10  // bytes of one string
	shownText     = 64 << 10 // bytes of it all, or little more
	shownName     = 200      // bytes of what a userdata is called
	countedRest   = 1e5      // elements that are counted when they are not shown
)

// show returns the values on the stack of a thread as people read them.
func (s *sandbox) show(th *lua.LState) []string {
	n := th.GetTop()
	texts := make([]string, 0, min(n, shownResults+1))
	v := viewer{s: s}
	for i := 1; i <= min(n, shownResults); i++ {
		start := len(v.b)
		v.line = start
		_ = v.value(th.Get(i)) // it may be as wide as it is
		texts = append(texts, string(v.b[start:]))
	}
	if n > shownResults {
		texts = append(texts, "-- "+grouped(n-shownResults)+" more results")
	}
	return texts
}

// errWide is why a table is spread over lines.
var errWide = errors.New("the table does not fit the line")

// A viewer writes values. It reads tables without metamethods.
type viewer struct {
	s     *sandbox
	b     []byte
	nodes int           // elements so far
	line  int           // where in b the present line begins
	flat  bool          // the present table has to end within the line
	path  []*lua.LTable // those around the present place
}

// value writes a value and what is in it.
func (v *viewer) value(value lua.LValue) error {
	switch value := value.(type) {
	case lua.LString:
		v.string(string(value))
	case lua.LNumber:
		v.b = luatext.AppendNumber(v.b, float64(value))
	case *lua.LTable:
		return v.table(value)
	case *lua.LFunction:
		v.function(value)
	case *lua.LUserData:
		v.plain(v.s.userdataName(value))
	default:
		v.plain(value.String())
	}
	return v.fits()
}

// string writes a string, or how it begins.
func (v *viewer) string(s string) {
	most := shownString
	if v.full() {
		most = shownName
	}
	cut := s
	if len(s) > most {
		cut = s[:most]
		for !utf8.RuneStart(s[len(cut)]) && len(cut) > most-utf8.UTFMax {
			cut = cut[:len(cut)-1]
		}
	}
	v.b = luatext.AppendString(v.b, cut)
	if len(cut) < len(s) {
		v.b = append(v.b, " --[[ "+grouped(len(s)-len(cut))+" more bytes ]]"...)
	}
}

// function writes what is no literal: where a function of Lua is, and that another is Go's.
func (v *viewer) function(fn *lua.LFunction) {
	if fn.IsG {
		v.plain("function: builtin")
		return
	}
	v.plain(fn.String())
}

// plain writes text that is not Lua.
func (v *viewer) plain(text string) {
	if luatext.Printable(text) {
		v.b = append(v.b, text...)
		return
	}
	v.b = luatext.AppendString(v.b, text)
}

// fits reports, as errWide, that a table which has to end within the line does not.
func (v *viewer) fits() error {
	if v.flat && len(v.b)-v.line > shownWidth && utf8.RuneCount(v.b[v.line:]) > shownWidth {
		return errWide
	}
	return nil
}

// table writes a table: in this line if it fits.
func (v *viewer) table(t *lua.LTable) error {
	switch first, _ := t.Next(lua.LNil); {
	case slices.Contains(v.path, t):
		v.plain("<cycle>")
	case first == lua.LNil:
		v.plain("{}")
	case len(v.path) == shownDepth:
		v.plain("{ ... }")
	default:
		v.path = append(v.path, t)
		err := v.laidOut(t)
		v.path = v.path[:len(v.path)-1]
		return err
	}
	return v.fits()
}

// laidOut tries whether a table fits the line, and spreads it over several where it does not.
func (v *viewer) laidOut(t *lua.LTable) error {
	if v.flat {
		return v.inLine(t)
	}
	start, nodes := len(v.b), v.nodes
	v.flat = true
	err := v.inLine(t)
	v.flat = false
	if err == nil {
		return nil
	}
	v.b, v.nodes = v.b[:start], nodes
	v.spread(t)
	return nil
}

// inLine writes a table in the present line, up to the end of that.
func (v *viewer) inLine(t *lua.LTable) error {
	v.b = append(v.b, '{')
	position, comma := 0.0, " "
	for key, value := t.Next(lua.LNil); key != lua.LNil; key, value = t.Next(key) {
		v.b = append(v.b, comma...)
		comma = ", "
		if err := v.element(&position, key, value); err != nil {
			return err
		}
	}
	v.b = append(v.b, " }"...)
	return v.fits()
}

// spread writes a table with a line for each element.
func (v *viewer) spread(t *lua.LTable) {
	v.b = append(v.b, '{')
	position, n := 0.0, 0
	for key, value := t.Next(lua.LNil); key != lua.LNil; key, value = t.Next(key) {
		v.newLine(len(v.path))
		if n++; n > shownElements || v.full() {
			v.b = append(v.b, "-- "+remaining(t, key)+" more"...)
			break
		}
		_ = v.element(&position, key, value) // it may be as wide as it is
		v.b = append(v.b, ',')
	}
	v.newLine(len(v.path) - 1)
	v.b = append(v.b, '}')
}

// full reports whether enough is written.
func (v *viewer) full() bool { return v.nodes >= shownNodes || len(v.b) >= shownText }

// newLine begins a line, two columns further in for each table around it.
func (v *viewer) newLine(depth int) {
	v.b = append(v.b, '\n')
	v.line = len(v.b)
	for range depth {
		v.b = append(v.b, "  "...)
	}
}

// element writes an element, with its key unless that is the next position.
func (v *viewer) element(position *float64, key, value lua.LValue) error {
	v.nodes++
	if key == lua.LNumber(*position+1) {
		*position++
		return v.value(value)
	}
	*position = math.NaN() // no key follows that
	v.key(key)
	v.b = append(v.b, " = "...)
	return v.value(value)
}

// key writes the key of an element.
func (v *viewer) key(key lua.LValue) {
	if name, ok := key.(lua.LString); ok && len(name) <= shownName {
		v.b = luatext.AppendKey(v.b, string(name))
		return
	}
	v.b = append(v.b, '[')
	if t, ok := key.(*lua.LTable); ok {
		v.plain(t.String())
	} else {
		_ = v.value(key) // the value that follows tells whether the line is too long
	}
	v.b = append(v.b, ']')
}

// userdataName returns what tostring says of a userdata, where that is Go's own function: a store names itself.
func (s *sandbox) userdataName(ud *lua.LUserData) string {
	mt := s.metatableOf(ud)
	if mt == nil {
		return ud.String()
	}
	fn, ok := mt.RawGetString("__tostring").(*lua.LFunction)
	if !ok || !fn.IsG {
		return ud.String()
	}
	th := s.newThread()
	th.SetContext(s.ctx)
	th.Push(fn)
	th.Push(ud)
	if raised := s.call(th, 1); raised != nil || th.GetTop() == 0 {
		return ud.String()
	}
	name := lua.LVAsString(th.Get(1))
	return name[:min(len(name), shownName)]
}

// remaining returns how many elements a table has from a key on.
func remaining(t *lua.LTable, from lua.LValue) string {
	n := 0
	for key := from; key != lua.LNil; key, _ = t.Next(key) {
		if n++; n > countedRest {
			return "over " + grouped(countedRest)
		}
	}
	return grouped(n)
}

// grouped returns a number with commas between its thousands.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
