package storelua

import (
	"fmt"
	"math"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/value"
)

// validateFrom is the length from which a value is checked as a whole before any of it is built: shorter ones cannot be
// made to allocate much before they turn out corrupt.
const validateFrom = 16 << 10

// Decode returns the Lua value whose stored form is b, fresh tables for L. Its strings alias b, which must not change while they live. Bytes
// that are no value, or one beyond limits, are a [value.ErrCorrupt].
func Decode(L *lua.LState, b []byte, limits value.Limits) (lua.LValue, error) {
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
	if err != nil {
		return nil, err
	}
	return v, d.r.End()
}

// A decoder builds one Lua value.
type decoder struct {
	L   *lua.LState
	r   value.Reader
	gap int // absent positions that arrays may still have
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
		return number(d.r.Num)
	}
	return lua.LString(d.r.Str)
}

// array builds a table of n elements.
func (d *decoder) array(n int) (*lua.LTable, error) {
	t := d.L.CreateTable(n, 0)
	for i := 1; i <= n; i++ {
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
	t := d.L.CreateTable(0, n)
	for range n {
		k, err := d.r.Key()
		if err != nil {
			return nil, err
		}
		key, num := d.r.Str, d.r.Num
		flag := d.r.Bool
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

// setNumber sets an element under a number. One that would make the array part too long is refused.
func (d *decoder) setNumber(t *lua.LTable, key float64, v lua.LValue) error {
	if i := int(key); float64(i) == key && i >= 1 && i < lua.MaxArrayIndex {
		if hole := i - 1 - t.MaxN(); hole > 0 {
			if d.gap -= hole; d.gap < 0 {
				return fmt.Errorf("%w: the integer key %d leaves too many positions below it empty", value.ErrCorrupt, i)
			}
		}
		t.RawSetInt(i, v)
		return nil
	}
	t.RawSetH(lua.LNumber(key+0), v)
	return nil
}

// numbers are the boxed forms of the integers that are most common, which save an allocation each.
var numbers = func() (boxed [1024]lua.LValue) {
	for i := range boxed {
		boxed[i] = lua.LNumber(i)
	}
	return boxed
}()

// number boxes a number.
func number(f float64) lua.LValue {
	if i := int(f); i >= 0 && i < len(numbers) && float64(i) == f && !(i == 0 && math.Signbit(f)) {
		return numbers[i]
	}
	return lua.LNumber(f)
}
