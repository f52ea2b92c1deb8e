package script

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/boundtest"
)

// limitArrays lowers how far the array part of tables reaches, until the test ends.
func limitArrays(t testing.TB, n int) {
	before := lua.MaxArrayIndex
	t.Cleanup(func() { lua.MaxArrayIndex = before })
	lua.MaxArrayIndex = n
}

func TestTables_AnswerAsLua51(t *testing.T) {
	agree(t, newLibraries(t, t.Context()), 17, []string{
		`table.concat()`, `table.concat({})`, `table.concat({ 1, 2, "x" })`, `table.concat({ 1, 2, 3 }, ", ")`,
		`table.concat({ 1, 2, 3 }, 0, 2)`,
		`table.concat({ 1, 2, 3 }, ",", 2, 3)`, `table.concat({ 1, 2, 3 }, ",", 3, 2)`, `table.concat({ 1, 2 }, ",", 1, 3)`,
		`table.concat({ 1, {} })`,
		`table.concat({ 1, true, 3 })`, `table.concat({}, {})`, `table.concat(1, {})`, `table.concat({}, "", {})`,
		`table.concat({}, "", 1, {})`,
		`table.concat({ [0] = 0, 1, [-1] = "a" }, ",", -1)`, `table.concat({ 1 }, ",", 5)`, `table.concat({ 1/0, -1/0 }, " ")`,
		`table.concat({ 1, 2 }, nil, nil, nil)`,
		`table.concat({ 1, 2 }, "", "1", "2")`, `table.concat({}, "x", 1, 0)`, `table.concat({}, "x", 0, 0)`,
		`table.getn()`, `table.getn({})`, `table.getn({ 1, 2, 3 })`, `table.getn("abc")`,
		`table.insert()`, `table.insert({})`, `table.insert({}, 1, 2, 3)`, `table.insert(1, 2)`, `table.insert({}, "x", 2)`,
		`table.insert({}, nil)`,
		`(function() local t = { 1, 2 } table.insert(t, 9, "x") return t[9], t[3], t[10] end)()`,
		`(function() local t = { 1, 2 } table.insert(t, 0, "x") return t[0], t[1], t[2], t[3], t[4] end)()`,
		`(function() local t = { 1, 2 } table.insert(t, -2, "x") return t[-2], t[-1], t[0], t[1], t[2], t[3], t[4] end)()`,
		`(function() local t = { 1, 2 } table.insert(t, 1, nil) return t[1], t[2], t[3] end)()`,
		`(function() local t = { 1, 2 } table.insert(t, "2", 5) return t[1], t[2], t[3] end)()`,
		`table.maxn()`, `table.maxn({})`, `table.maxn({ 1, 2, [3.5] = 1, [-5] = 1, x = 1 })`, `table.maxn({ [1e300] = 1 })`,
		`table.maxn({ [-1] = 1 })`,
		`table.remove()`, `table.remove({})`, `select("#", table.remove({}))`, `select("#", table.remove({ 1 }, 2))`,
		`table.remove({ 1, 2, 3 })`, `table.remove({ 1, 2, 3 }, 1)`,
		`table.remove({ 1 }, "x")`, `table.remove({ 1, 2 }, "1")`, `table.remove({ 1, 2 }, 0)`, `table.remove({ 1, 2 }, nil)`,
		`table.remove({ 1, 2 }, -1)`,
		`table.sort()`, `table.sort({})`, `table.sort({ 1 }, 1)`, `table.sort({ 1 }, nil)`, `table.sort({ 1, {}, 3 })`,
		`table.sort({ 1, "2", 3 })`, `table.sort({ {}, {} })`,
		`table.sort({ true, false })`, `table.sort({ 1, 2, 3 }, {})`, `table.sort({ 3, 1, 2 }, function() return true end)`,
		`table.sort({ 1, 2, 3, 4, 5 }, function() return true end)`,
		`table.sort({ 1, 2, 3, 4, 5 }, function(a, b) return a <= b or b <= a end)`,
	})
}

func TestTables_RandomLists_AreAsInLua51(t *testing.T) {
	n := 2500
	if boundtest.Race {
		n = 250
	}
	random := rand.New(rand.NewPCG(3, 4))
	expressions := make([]string, n)
	for i := range expressions {
		expressions[i] = randomList(random)
	}
	for _, limit := range []int{lua.MaxArrayIndex, 17, 8, 2} {
		t.Run(fmt.Sprintf("arrays up to %d", limit), func(t *testing.T) {
			limitArrays(t, limit)
			agree(t, newLibraries(t, t.Context()), 17, expressions)
		})
	}
}

// randomList returns a function that makes a list, changes it and returns what it is then. It asks for no length of a list that has
// holes.
func randomList(random *rand.Rand) string {
	var b strings.Builder
	b.WriteString("(function() local t, r, n = {}, '' local function k(v) return tonumber(v) or 5 end ")
	for i := range random.IntN(24) {
		fmt.Fprintf(&b, "t[%d] = %d ", i+1, random.IntN(20))
	}
	for range random.IntN(12) {
		step := []string{
			"table.insert(t, N) ", "table.insert(t, 1, N) ", "table.insert(t, 1 + N % (table.getn(t) + 1), 'i') ",
			"r = r .. (table.remove(t) or 'none') ",
			"r = r .. (table.remove(t, 1) or 'none') ", "r = r .. (table.remove(t, N) or 'none') ",
			"r = r .. table.concat(t, ',', 1 + N % 3) ",
			"table.sort(t, function(a, b) return k(a) % 3 < k(b) % 3 end) ", "table.sort(t, function(a, b) return k(a) > k(b) end) ",
			"table.sort(t) ", "table.sort(t, function(a, b) return k(a) % N < k(b) % N end) ",
			"r = r .. table.getn(t) .. table.maxn(t) ",
			"for i, v in ipairs(t) do r = r .. i .. v end ",
			"n = 0 for i, v in pairs(t) do n = n + i * k(v) end r = r .. n ", "t[table.getn(t)] = nil ",
			"for i = table.getn(t), 1, -1 do t[i] = nil end ",
		}[random.IntN(16)]
		b.WriteString(strings.ReplaceAll(step, "N", fmt.Sprint(1+random.IntN(20))))
	}
	b.WriteString("return r, unpack(t) end)()")
	return b.String()
}

func TestSort_ManyElements_AreInOrder(t *testing.T) {
	limitArrays(t, 1<<14)
	L := newLibraries(t, t.Context())
	if err := L.DoString(`
		local x = 1
		local function random() x = x * 16807 % 2147483647 return x end
		local makers = {
			random, function() return random() % 10 end, function(i) return i end, function(i) return -i end,
			function() return 0 end,
			function() return tostring(random()) end, function(i) return ("x"):rep(i % 100) end,
		}
		for _, make in ipairs(makers) do
			for _, less in ipairs { false, function(a, b) return a < b end } do
				local list, count = {}, {}
				for i = 1, 3000 do
					list[i] = make(i)
					count[list[i]] = (count[list[i]] or 0) + 1
				end
				table.sort(list, less or nil)
				for i = 1, 3000 do
					assert(i == 1 or list[i - 1] <= list[i])
					count[list[i]] = count[list[i]] - 1
				end
				for _, n in pairs(count) do assert(n == 0) end
			end
		end
	`); err != nil {
		t.Error(err)
	}
}

func BenchmarkTables(b *testing.B) {
	compare(b, []benchmark{
		{"insert/few", `for n = 1, 1000 do local t = {} for i = 1, 10 do table.insert(t, i) end end`},
		{"insert/many", `local t = {} for i = 1, 100000 do table.insert(t, i) end`},
		{"insert/front", `local t = {} for i = 1, 3000 do table.insert(t, 1, i) end`},
		{"remove/last", `local t = {} for i = 1, 10000 do t[i] = i end for i = 1, 10000 do table.remove(t) end`},
		{"remove/front", `local t = {} for i = 1, 3000 do t[i] = i end for i = 1, 3000 do table.remove(t, 1) end`},
		{"sort/few", `for n = 1, 1000 do local t = { 3, 1, 2, 9, 8, 7 } table.sort(t) end`},
		{"sort/numbers", `local t, x = {}, 1 for i = 1, 20000 do x = x * 16807 % 2147483647 t[i] = x end table.sort(t)`},
		{"sort/strings", `local t, x = {}, 1 for i = 1, 20000 do x = x * 16807 % 2147483647 t[i] = "key:" .. x end table.sort(t)`},
		{"sort/function", `local t = {} for i = 1, 5000 do t[i] = i * 16807 % 65537 end table.sort(t, function(a, b) return a > b end)`},
		{"sort/function sorted", `local t = {} for i = 1, 5000 do t[i] = i end table.sort(t, function(a, b) return a < b end)`},
		{"concat/few", `for n = 1, 1000 do local t = { "a", "b", "c", 1 } table.concat(t, ",") end`},
		{"concat/many", `local t = {} for i = 1, 1000 do t[i] = "piece" end for n = 1, 100 do table.concat(t, ",") end`},
	})
}
