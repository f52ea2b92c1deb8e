package storelua_test

import (
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

// The values that performance is measured with, as Lua source.
var measured = []struct{ name, source string }{
	{"16-byte string", `"0123456789abcdef"`},
	{"preferences", `{theme="dark",fontSize=14,notifications=true}`},
	{"session", `{user_id=42,last_access=1767225600,data={permissions={"read","write"}}}`},
	{"100 numbers", `{` + strings.Repeat("1234,", 100) + `}`},
	{"50 rows of 5 fields", `{` + strings.Repeat(`{id=1,name="item",price=9.95,quantity=3,active=true},`, 50) + `}`},
}

// made returns the value of Lua source.
func made(tb testing.TB, L *lua.LState, source string) lua.LValue {
	tb.Helper()
	if err := L.DoString("return " + source); err != nil {
		tb.Fatal(err)
	}
	v := L.Get(-1)
	L.Pop(1)
	return v
}

func BenchmarkEncode(b *testing.B) {
	L := lua.NewState()
	defer L.Close()
	for _, c := range measured {
		v := made(b, L, c.source)
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := storelua.Encode(v, value.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	L := lua.NewState()
	defer L.Close()
	for _, c := range measured {
		stored, err := storelua.Encode(made(b, L, c.source), value.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := storelua.Decode(L, stored, value.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
