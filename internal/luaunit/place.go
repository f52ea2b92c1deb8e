package luaunit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// maxLevels is how many calls of a thread are looked at for one of the file.
const maxLevels = 200

// placed puts in front of a text where in the file it belongs; a call that stands in a module is named behind it. Where the calls that
// lead there are out of sight, as pcall(test.equal, 1, 2) has none in Lua, the case is named.
func (p *pass) placed(L *lua.LState, text string) string {
	innermost, inFile := p.place(L)
	switch {
	case innermost == "" && p.running:
		return fmt.Sprintf("%s:%d: %s", p.file.Name, p.caseLine(), text)
	case innermost == "":
		return p.file.Name + ": " + text
	case inFile == "" || inFile == innermost:
		return innermost + ": " + text
	}
	return inFile + ": " + text + " (checked at " + innermost + ")"
}

// caseLine returns the line of the case that runs.
func (p *pass) caseLine() int {
	i := slices.IndexFunc(p.cases, func(c Case) bool { return c.Name == p.only })
	return p.cases[i].Line
}

// place returns the places of the innermost call in Lua and the innermost in the file, such as "cart_test.lua:9", "" for none.
func (p *pass) place(L *lua.LState) (innermost, inFile string) {
	for th := L; th != nil; th = th.Parent {
		for _, at := range places(th) {
			if innermost == "" {
				innermost = at
			}
			if strings.HasPrefix(at, p.file.Name+":") {
				return innermost, at
			}
		}
	}
	return innermost, ""
}

// places returns those of the calls in Lua of one thread, innermost first.
func places(th *lua.LState) []string {
	var all []string
	for level := range maxLevels {
		at := strings.TrimSuffix(th.Where(level), ":")
		if at == "" {
			break
		}
		if at != "[G]" && !strings.HasPrefix(at, "=") { // what nobody has written begins a coroutine
			all = append(all, at)
		}
	}
	return all
}

// line returns the line of the file in which the call stands.
func (p *pass) line(L *lua.LState) int {
	_, at := p.place(L)
	n, err := strconv.Atoi(at[strings.LastIndexByte(at, ':')+1:])
	if err != nil {
		return 0
	}
	return n
}
