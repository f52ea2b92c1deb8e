package storelua

import (
	"fmt"
	"math"
	"slices"
	"sync"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/value"
)

// maxGap is how many absent positions the array parts of one value may have in all. A Lua state keeps a slot of 16 bytes for
// every position up to the largest integer key below lua.MaxArrayIndex, so that {[10000000]=true}, seven bytes when stored,
// would take 160 MB when read.
const maxGap = 1 << 17

// An encoder writes one Lua value.
type encoder struct {
	b      []byte
	limits value.Limits
	nodes  int // that may still come
	depth  int // that may still be entered
	gap    int // that may still be left
}

// encoders keeps the buffers of encoders.
var encoders = sync.Pool{New: func() any { return &encoder{b: make([]byte, 0, 512)} }}

// maxShort is the length up to which a string is encoded without a buffer that is kept, which costs more than it saves.
const maxShort = 255

// The largest buffers that are kept: for all, and for each Lua state, of which there may be thousands.
const (
	maxPooled = 64 << 10
	maxKept   = 4 << 10
)

// Encode returns the stored form of a Lua value, which the caller owns. Metatables are ignored and access is raw; a table used
// twice is stored twice. The keys of a table that is no array keep the order in which pairs visits them.
//
// What cannot be stored (nil, functions, userdata, threads, channels, integer keys that leave too many positions below them
// empty) is a [value.ErrInvalid]; what is beyond limits, which a cycle always is, a [value.ErrTooLarge]. Both name the place.
func Encode(v lua.LValue, limits value.Limits) ([]byte, error) {
	if b, ok := brief(v, limits); ok {
		return b, nil
	}
	e := encoders.Get().(*encoder)
	b, err := e.encode(v, limits)
	if cap(e.b) <= maxPooled {
		encoders.Put(e)
	}
	return b, err
}

// brief returns the stored form of a string that is short and certainly within limits.
func brief(v lua.LValue, limits value.Limits) ([]byte, bool) {
	s, ok := v.(lua.LString)
	if !ok || len(s) > maxShort || limits.Bytes != 0 && len(s)+2 > limits.Bytes {
		return nil, false
	}
	return value.AppendString(make([]byte, 0, len(s)+2), string(s)), true
}

// encode is Encode of what is not short.
func (e *encoder) encode(v lua.LValue, limits value.Limits) ([]byte, error) {
	e.b, e.limits = e.b[:0], limits.WithDefaults()
	e.nodes, e.depth, e.gap = e.limits.Nodes-1, e.limits.Depth, maxGap
	err := e.value(v)
	if err == nil && len(e.b) > e.limits.Bytes {
		err = value.TooLong(e.limits.Bytes)
	}
	if err != nil {
		return nil, err
	}
	b := make([]byte, len(e.b))
	copy(b, e.b)
	return b, nil
}

// encode is [Encode] with the encoder of a Lua state, of which it keeps a small buffer.
func (m *module) encode(v lua.LValue, limits value.Limits) ([]byte, error) {
	if b, ok := brief(v, limits); ok {
		return b, nil
	}
	b, err := m.encoder.encode(v, limits)
	if cap(m.encoder.b) > maxKept {
		m.encoder.b = nil
	}
	return b, err
}

// value appends one value and everything in it.
func (e *encoder) value(v lua.LValue) error {
	switch v := v.(type) {
	case lua.LString:
		return e.string(string(v))
	case lua.LNumber:
		e.b = value.AppendNumber(e.b, float64(v))
		return nil
	case lua.LBool:
		e.b = value.AppendBool(e.b, bool(v))
		return nil
	case *lua.LTable:
		return e.table(v)
	}
	return value.Unstorable(article(v))
}

// string appends a string, unless it alone is beyond the limit: a copy of it would be the cost of a mistake.
func (e *encoder) string(s string) error {
	if len(e.b)+len(s) > e.limits.Bytes {
		return value.TooLong(e.limits.Bytes)
	}
	e.b = value.AppendString(e.b, s)
	return nil
}

// article names what cannot be stored.
func article(v lua.LValue) string {
	if v == nil || v == lua.LNil {
		return "nil"
	}
	if ud, ok := v.(*lua.LUserData); ok && ud.Value == (remover{}) {
		return "store.REMOVE, which is for the function of update to return"
	}
	return "a " + v.Type().String()
}

// table appends a table: as an array where its keys are 1 to n, else as a map.
func (e *encoder) table(t *lua.LTable) error {
	if e.depth == 0 {
		return value.TooDeep(e.limits.Depth)
	}
	e.depth--
	err := e.contents(t)
	e.depth++
	return err
}

func (e *encoder) contents(t *lua.LTable) error {
	last := t.MaxN()
	n, err := e.count(t, last)
	if err != nil {
		return err
	}
	k, v := hash(t, last)
	switch {
	case last >= lua.MaxArrayIndex:
		return e.overlong(t, n, last)
	case n < last:
	case k == lua.LNil:
		return e.array(t, n)
	case last == lua.MaxArrayIndex-1:
		if n := e.sequence(t, last); n > 0 {
			return e.array(t, n)
		}
	}
	return e.pairs(t, last, k, v)
}

// count returns how many elements an array part has that ends at last. It stops where a value may have no more elements or
// holes: last may be in the millions.
func (e *encoder) count(t *lua.LTable, last int) (n int, err error) {
	for i := 1; i <= last; i++ {
		if t.RawGetInt(i) != lua.LNil {
			n++
		}
		if n > e.nodes {
			return 0, value.TooMany(e.limits.Nodes)
		}
		if i-n > e.gap {
			return 0, value.Unstorable(fmt.Sprintf("the integer key %d, which leaves too many positions below it empty (use a string key)", last))
		}
	}
	e.gap -= last - n
	return n, nil
}

// overlong appends an array part that table.insert made longer than lua.MaxArrayIndex. In such a table Next skips a key: if it
// has keys beside the array part they would be lost.
func (e *encoder) overlong(t *lua.LTable, n, last int) error {
	all := 0
	t.ForEach(func(lua.LValue, lua.LValue) { all++ })
	if n < last || all > n {
		return value.Unstorable(fmt.Sprintf("a table of %d elements with other keys: its host sets lua.MaxArrayIndex to %d",
			last, lua.MaxArrayIndex))
	}
	return e.array(t, n)
}

// sequence returns n if the keys of a table are 1 to n, although its array part ends at last because lua.MaxArrayIndex is
// low; else 0.
func (e *encoder) sequence(t *lua.LTable, last int) int {
	n := last
	for k, _ := hash(t, last); k != lua.LNil; k, _ = t.Next(k) {
		if n++; n > e.nodes {
			return 0
		}
	}
	for i := last + 1; i <= n; i++ {
		if t.RawGetH(lua.LNumber(i)) == lua.LNil {
			return 0
		}
	}
	return n
}

// hash returns the first key behind the array part of a table, which ends at last, and its element.
func hash(t *lua.LTable, last int) (k, v lua.LValue) {
	if last == 0 {
		return t.Next(lua.LNil) // Next(LNumber(0)) would skip a key
	}
	return t.Next(number(float64(last)))
}

// array appends a table whose keys are 1 to n.
func (e *encoder) array(t *lua.LTable, n int) error {
	if e.nodes -= n; e.nodes < 0 {
		return value.TooMany(e.limits.Nodes)
	}
	e.b = value.AppendArrayHeader(e.b, n)
	for i := 1; i <= n; i++ {
		v := t.RawGetInt(i)
		if v == lua.LNil { // at lua.MaxArrayIndex or behind
			v = t.RawGetH(lua.LNumber(i))
		}
		if err := e.value(v); err != nil {
			return value.AtIndex(err, float64(i))
		}
	}
	return e.tooLong()
}

// tooLong stops a value that has grown beyond the limit before it grows further.
func (e *encoder) tooLong() error {
	if len(e.b) > e.limits.Bytes {
		return value.TooLong(e.limits.Bytes)
	}
	return nil
}

// pairs appends a table that is no array. How many elements it has is known when they are written: counting them first would
// walk the table twice. Behind the array part, which ends at last, k and v come first.
func (e *encoder) pairs(t *lua.LTable, last int, k, v lua.LValue) error {
	head := len(e.b)
	e.b = append(e.b, 0)
	n := 0
	for i := 1; i <= last; i++ {
		v := t.RawGetInt(i)
		if v == lua.LNil {
			continue
		}
		n++
		if err := e.pair(lua.LNumber(i), v); err != nil {
			return err
		}
	}
	for ; k != lua.LNil; k, v = t.Next(k) {
		n++
		if err := e.pair(k, v); err != nil {
			return err
		}
	}
	e.header(head, n)
	return e.tooLong()
}

// header puts the header of a map of n pairs in the place of the byte at i.
func (e *encoder) header(i, n int) {
	var buf [5]byte
	h := value.AppendMapHeader(buf[:0], n)
	if len(h) == 1 {
		e.b[i] = h[0]
		return
	}
	e.b = slices.Replace(e.b, i, i+1, h...)
}

// pair appends one key and its element.
func (e *encoder) pair(k, v lua.LValue) error {
	if e.nodes--; e.nodes < 0 {
		return value.TooMany(e.limits.Nodes)
	}
	var err error
	if s, ok := k.(lua.LString); ok {
		err = e.string(string(s))
	} else {
		err = e.key(k)
	}
	if err == nil {
		err = e.value(v)
	}
	if err != nil {
		return at(err, k)
	}
	return nil
}

// key appends one key that is no string.
func (e *encoder) key(k lua.LValue) error {
	switch k := k.(type) {
	case lua.LNumber:
		if math.IsNaN(float64(k)) {
			return value.Unstorable("NaN as key")
		}
		e.b = value.AppendNumber(e.b, float64(k)+0) // -0 and 0 are one key
		return nil
	case lua.LBool:
		e.b = value.AppendBool(e.b, bool(k))
		return nil
	}
	return value.Unstorable(article(k) + " as key")
}

// at places err at a key.
func at(err error, k lua.LValue) error {
	switch k := k.(type) {
	case lua.LString:
		return value.AtKey(err, string(k))
	case lua.LNumber:
		return value.AtIndex(err, float64(k))
	case lua.LBool:
		return value.AtBool(err, bool(k))
	}
	return err
}
