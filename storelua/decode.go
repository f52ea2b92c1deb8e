package storelua

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/value"
)

// validateFrom is the length from which a value is checked as a whole before any of it is built: shorter ones cannot be
// made to allocate much before they turn out corrupt.
const validateFrom = 16 << 10

// Decode returns the Lua value whose stored form is b, fresh tables for L. Its strings alias b, which must not change while they
// live; and whoever keeps a number or string of it keeps the places of up to 127 others, 2 KiB at most. Bytes that are no value, or one beyond limits, are a [value.ErrCorrupt]; so are integer keys that leave too many
// positions below them empty, for which Lua would take memory out of all proportion.
func Decode(L *lua.LState, b []byte, limits value.Limits) (lua.LValue, error) {
	if s, ok := value.ShortString(b); ok && (limits.Bytes == 0 || len(b) <= limits.Bytes) {
		return lua.LString(s), nil
	}
	if len(b) > validateFrom {
		if err := value.Validate(b, limits); err != nil {
			return nil, err
		}
	}
	r, err := value.NewReader(b, limits)
	if err != nil {
		return nil, err
	}
	d := decoder{L: L, r: r, gap: maxGap}
	v, err := d.value()
	if err == nil {
		err = d.r.End()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// A decoder builds one Lua value.
type decoder struct {
	L     *lua.LState
	r     value.Reader
	boxer boxer
	gap   int // absent positions that arrays may still have
}

// value builds one value and everything in it.
func (d *decoder) value() (lua.LValue, error) {
	k, err := d.r.Next()
	if err != nil {
		return nil, err
	}
	if k < value.Array {
		return d.scalar(k), nil
	}
	if err := d.r.Deeper(); err != nil {
		return nil, err
	}
	d.boxer.left += d.r.Len
	var t *lua.LTable
	if k == value.Array {
		t, err = d.array(d.r.Len)
	} else {
		t, err = d.table(d.r.Len)
	}
	d.r.Up()
	return t, err
}

// scalar returns the boolean, number or string that was just read.
func (d *decoder) scalar(k value.Kind) lua.LValue {
	switch k {
	case value.Bool:
		return lua.LBool(d.r.Bool)
	case value.Number:
		return d.boxer.number(d.r.Num)
	}
	return d.boxer.string(d.r.Str)
}

// array builds a table of n elements.
func (d *decoder) array(n int) (*lua.LTable, error) {
	t := d.L.CreateTable(n, 0)
	for i := 1; i <= n; i++ {
		d.boxer.left--
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		t.RawSetInt(i, v)
	}
	return t, nil
}

// table builds a table of n pairs.
func (d *decoder) table(n int) (*lua.LTable, error) {
	if n == 0 {
		return d.L.CreateTable(0, 0), nil
	}
	var t *lua.LTable
	for i := range n {
		k, err := d.r.Key()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			if t, err = d.sized(k, n); err != nil {
				return nil, err
			}
		}
		key, num, flag := d.r.Str, d.r.Num, d.r.Bool
		d.boxer.left--
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		switch k {
		case value.String:
			t.RawSetString(key, v)
		case value.Bool:
			t.RawSetH(lua.LBool(flag), v)
		default:
			if err := d.setNumber(t, num, v); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// sized returns a table for n pairs, of which the first key, of kind k, was just read. Its array part is made as long as the
// leading pairs with positions as keys and scalars as elements ask for: growing it step by step takes five times the memory.
func (d *decoder) sized(k value.Kind, n int) (*lua.LTable, error) {
	if k != value.Number {
		return d.L.CreateTable(0, n), nil
	}
	last, ahead := 0, d.r // a copy, which reads ahead
	count := 0
	for k == value.Number && count < n {
		i, ok := position(ahead.Num)
		if !ok {
			break
		}
		if k, err := ahead.Next(); err != nil || k >= value.Array {
			break
		}
		last = max(last, i)
		if count++; count < n {
			k, _ = ahead.Key() // an error ends this loop, and is found again
		}
	}
	if last-count > d.gap {
		return nil, errGap(last)
	}
	return d.L.CreateTable(last, n-count), nil
}

// position reports whether a number as key stands for a position in the array part of a table.
func position(f float64) (int, bool) {
	i := int(f)
	return i, float64(i) == f && i >= 1 && i < lua.MaxArrayIndex
}

func errGap(i int) error {
	return fmt.Errorf("%w: the integer key %d leaves too many positions below it empty", value.ErrCorrupt, i)
}

// setNumber sets an element under a number. One that would make the array part too long is refused.
func (d *decoder) setNumber(t *lua.LTable, key float64, v lua.LValue) error {
	i, ok := position(key)
	if !ok {
		t.RawSetH(lua.LNumber(key+0), v)
		return nil
	}
	switch last := t.MaxN(); {
	case i > last:
		d.gap -= i - 1 - last
	case t.RawGetInt(i) == lua.LNil:
		d.gap++ // an empty position is filled: keys may come in any order
	}
	if d.gap < 0 {
		return errGap(i)
	}
	t.RawSetInt(i, v)
	return nil
}
