package storelua

import (
	"errors"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/value"
)

// A store believes what Encode returns without a look (store.Handle.SetEncoded): all of it must be valid within the limits it was given.
func TestEncode_ReturnsOnlyValuesWithinTheLimits(t *testing.T) {
	L := lua.NewState()
	defer L.Close()
	if err := L.DoString(`
local function nest(n) if n == 0 then return 1 end return {nest(n - 1)} end
local function many(n) local t = {} for i = 1, n do t[i] = i end return t end
local function fields(n) local t = {} for i = 1, n do t["k" .. i] = i end return t end
values = {1, -1.5, "", ("x"):rep(31), ("x"):rep(32), ("x"):rep(255), ("x"):rep(256), "\255\254", true, {}, {1, nil, 3}, {[0] = 1, [-1] = 2, [1.5] = 3, [true] = 4},
  nest(1), nest(4), nest(5), many(9), many(10), many(11), fields(9), fields(10), fields(11), {fields(3), many(3)}}`); err != nil {
		t.Fatal(err)
	}
	refused := 0
	L.GetGlobal("values").(*lua.LTable).ForEach(func(_, v lua.LValue) {
		for size := range 300 {
			limits := value.Limits{Depth: 1 + size%5, Nodes: 1 + size%11, Bytes: 1 + size}
			b, err := Encode(v, limits)
			switch {
			case errors.Is(err, value.ErrTooLarge):
				refused++
			case err != nil:
				t.Fatalf("%v within %+v: %v", v, limits, err)
			default:
				if err := value.Validate(b, limits); err != nil {
					t.Fatalf("%v within %+v is %x: %v", v, limits, b, err)
				}
			}
		}
	})
	if refused == 0 {
		t.Error("nothing was beyond a limit")
	}
}
