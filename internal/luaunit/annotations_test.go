package luaunit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The definitions are valid Lua, and name every function of the module with its parameters and nothing else.
func TestAnnotations_DescribeTheModule(t *testing.T) {
	var declared []string
	for _, m := range regexp.MustCompile(`(?m)^function (test\.\w+)\(`).FindAllStringSubmatch(Annotations(), -1) {
		declared = append(declared, m[1])
	}
	f := file(`
		local names = {}
		for name, fn in pairs(test) do
			if type(fn) == "function" then names[#names + 1] = "test." .. name end
		end
		test.case("lists", function() print(table.concat(names, " ")) end)
		test.case("definitions run", function() test.equal(type(require("definitions")), "table") end)`,
		"definitions.lua", Annotations())
	results := runAll(t, nil, f)
	exist := strings.Fields(results["lists"].Output)
	slices.Sort(exist)
	slices.Sort(declared)
	if !slices.Equal(declared, exist) {
		t.Errorf("declared %v, there are %v", declared, exist)
	}
	if r := results["definitions run"]; r.Status != Passed {
		t.Errorf("got %+v", r)
	}
}

// Each parameter that a function declares is told of, in its order.
func TestAnnotations_TellOfEveryParameter(t *testing.T) {
	blocks := regexp.MustCompile(`(?m)((?:^---.*\n)+)^function (test\.\w+)\((.*)\) end`).FindAllStringSubmatch(Annotations(), -1)
	if len(blocks) < 10 {
		t.Fatalf("only %d functions found", len(blocks))
	}
	for _, b := range blocks {
		var told []string
		for _, m := range regexp.MustCompile(`(?m)^---@param (\S+?)\?? `).FindAllStringSubmatch(b[1], -1) {
			told = append(told, m[1])
		}
		if got, want := fmt.Sprint(told), fmt.Sprint(strings.Split(b[3], ", ")); got != want {
			t.Errorf("%s: told of %s, declared %s", b[2], got, want)
		}
	}
}
