package script

import (
	"context"
	"fmt"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
)

// The compiler has the main function of a program make a table of its arguments, under no name, at each run of one without "...".
func TestCompile_TheMainFunctionMakesNoTableOfItsArguments(t *testing.T) {
	reg := store.New(nil)
	t.Cleanup(func() { _ = reg.Close(context.Background()) })
	for source, want := range map[string]string{
		"return nil":                                    "[<nil>]",
		"local a, b return a, b":                        "[<nil> <nil>]",
		"return select('#', ...), (...)":                "[2 x]",
		"return arg[0], arg[1], arg[2], #arg, arg.n":    "[main.lua x y 2 <nil>]",
		"return (function(...) return arg.n end)(7, 8)": "[2]",
		"return (function(...) return ..., arg end)(7)": "[7 <nil>]",
	} {
		p, err := Compile("main.lua", source)
		if err != nil {
			t.Fatal(err)
		}
		if p.proto.IsVarArg != lua.VarArgHasArg|lua.VarArgIsVarArg {
			t.Errorf("%s: flags %b", source, p.proto.IsVarArg)
		}
		results, err := New(reg, nil).Run(t.Context(), p, "x", "y")
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		values, ptrs := make([]any, len(results)), make([]any, len(results))
		for i := range values {
			ptrs[i] = &values[i]
		}
		if err := results.Decode(ptrs...); err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		if got := fmt.Sprint(values); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}
