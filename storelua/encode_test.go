package storelua_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

func TestEncode_WritesGoldenBytes(t *testing.T) {
	L := newState(t)
	for code, want := range map[string]string{
		"true":                       "c3",
		"0":                          "00",
		"-0.0":                       "cb8000000000000000",
		"-1":                         "ff",
		"1.5":                        "cb3ff8000000000000",
		"2^53":                       "cf0020000000000000",
		"2^53 + 2":                   "cb4340000000000001",
		"-(2^53)":                    "d3ffe0000000000000",
		"math.huge":                  "cb7fefffffffffffff", // of gopher-lua, which is not infinite
		"1/0":                        "cb7ff0000000000000",
		"0/0":                        "cb7ff8000000000001",
		"'a'":                        "a161",
		`"\255"`:                     "c401ff",
		"{}":                         "90",
		"{1, 2, 3}":                  "93010203",
		"{{}, {a = {}}}":             "929081a16190",
		"{[1] = 'a', [2] = 'b'}":     "92a161a162",
		"{[2] = 'b', [1] = 'a'}":     "92a161a162",
		"{1, nil, 3}":                "8201010303",
		"{1, 2, nil}":                "920102",
		"{nil, nil}":                 "90",
		"{[0] = 0}":                  "810000",
		"{[-0.0] = 1}":               "810001",
		"{[0] = 0, 1}":               "8201010000",
		"{[-1] = true, [false] = 1}": "82ffc3c201",
		"{b = 1, a = 2}":             "82a16201a16102", // in the order in which they were set
		"{1, x = 2}":                 "820101a17802",
		"{[1.5] = 1, [1/0] = 2}":     "82cb3ff800000000000001cb7ff000000000000002",
		"local t = {1, 2, 3}; t[3] = nil; return t":                                      "920102",
		"local t = {1, 2, 3}; t[1] = nil; return t":                                      "8202020303",
		"local t = {1, 2, 3}; table.remove(t, 1); return t":                              "920203",
		"local t = {a = 1}; t.a = nil; return t":                                         "90",
		"local t = {1, a = 1}; t.a = nil; return t":                                      "9101",
		"local t = {a = 1, b = 2}; t.a = nil; t.a = 3; return t":                         "82a16103a16202",
		"local t = {}; for i = 3, 1, -1 do t[i] = i end; return t":                       "93010203",
		"local t = {}; for i = 1, 16 do t['k' .. i] = i; t['k' .. i] = nil end return t": "90",
	} {
		if got := hex.EncodeToString(encode(t, eval(t, L, code))); got != want {
			t.Errorf("%s: got %s, want %s", code, got, want)
		}
	}
}

// Only Go code can set NaN as a key, and no script can read such an element.
func TestEncode_LeavesOutWhatStandsUnderNaN(t *testing.T) {
	tbl := newState(t).NewTable()
	for _, key := range []lua.LValue{lua.LNumber(math.NaN()), lua.LString("a"), lua.LNumber(math.NaN())} {
		tbl.RawSetH(key, lua.LTrue)
	}
	if got := hex.EncodeToString(encode(t, tbl)); got != "81a161c3" {
		t.Errorf("got %s, want 81a161c3", got)
	}
}

func TestEncode_MapsOfEachHeaderAreValid(t *testing.T) {
	L := newState(t)
	for n, head := range map[int]string{15: "8f", 16: "de0010", 65535: "deffff", 65536: "df00010000"} {
		tbl := L.NewTable()
		for i := range n {
			tbl.RawSet(lua.LNumber(-1-i), lua.LTrue)
		}
		b := encode(t, tbl)
		if got := hex.EncodeToString(b[:len(head)/2]); got != head {
			t.Errorf("a map of %d begins with %s, want %s", n, got, head)
		}
		wantSame(t, decode(t, L, b), tbl)
	}
}

const tooSparse = "which leaves too many positions below it empty (use a string key)"

func TestEncode_RefusesWhatIsNoValueAndNamesThePlace(t *testing.T) {
	L := newState(t)
	lua.OpenChannel(L)
	for code, text := range map[string]string{
		"nil":                              "cannot store nil",
		"function() end":                   "cannot store a function",
		"print":                            "cannot store a function",
		"newproxy()":                       "cannot store a userdata",
		"coroutine.create(function() end)": "cannot store a thread",
		"channel.make()":                   "cannot store a channel",
		"{[{}] = 1}":                       "cannot store a table as key",
		"{[print] = 1}":                    "cannot store a function as key",
		"{[newproxy()] = 1}":               "cannot store a userdata as key",
		"{[131074] = true}":                "cannot store the integer key 131074, " + tooSparse,
	} {
		wantRefused(t, eval(t, L, code), value.ErrInvalid, text)
		if code != "nil" {
			placed := eval(t, L, "{data = {permissions = {'read', "+code+"}}}")
			wantRefused(t, placed, value.ErrInvalid, text+" at .data.permissions[2]")
		}
	}
	wantRefused(t, nil, value.ErrInvalid, "cannot store nil")
	far := L.CreateTable(10_000_000, 0)
	far.RawSetInt(10_000_000, lua.LTrue)
	wantRefused(t, far, value.ErrInvalid, "cannot store the integer key 10000000, "+tooSparse)
}

// wantRefused fails unless v cannot be stored, for the cause and with the text given.
func wantRefused(t *testing.T, v lua.LValue, cause error, text string) {
	t.Helper()
	b, err := storelua.Encode(v, value.Limits{})
	if b != nil || !errors.Is(err, cause) || err.Error() != text {
		t.Errorf("got %.20x, %v, want %s", b, err, text)
	}
}

func TestEncode_NamesThePlaceUnderEachKindOfKey(t *testing.T) {
	L := newState(t)
	for code, place := range map[string]string{
		"{print}":                      "[1]",
		"{1, nil, print}":              "[3]",
		"{[0] = print}":                "[0]",
		"{[-1] = print}":               "[-1]",
		"{[1.5] = print}":              "[1.5]",
		"{[2^40] = print}":             "[1099511627776]",
		"{[true] = print}":             "[true]",
		"{name = print}":               ".name",
		"{['two words'] = print}":      `["two words"]`,
		`{["\255"] = print}`:           `["\xff"]`,
		"{{{a = {{b = {0, print}}}}}}": "[1][1].a[1].b[2]",
	} {
		wantRefused(t, eval(t, L, code), value.ErrInvalid, "cannot store a function at "+place)
	}
}

func TestEncode_HoldsLimits(t *testing.T) {
	L := newState(t)
	const tooMany = "value too large: more than 100000 tables and elements"
	const tooLong = "value too large: more than 1048576 bytes"
	const tooDeep = "value too large: tables nested deeper than 64 (a cycle?) at …"
	nest := func(n string) string { return "local t = {} for i = 2, " + n + " do t = {t} end return t" }
	fill := func(n string) string { return "local t = {} for i = 1, " + n + " do t[i] = true end return t" }
	for _, c := range []struct{ name, code, text string }{
		{"64 levels", nest("64"), ""},
		{"65 levels", nest("65"), tooDeep + strings.Repeat("[1]", 8)},
		{"a cycle", "local t = {} t.self = t return t", tooDeep + strings.Repeat(".self", 8)},
		{"a cycle over two tables", "local t = {} t.a = {b = t} return t", tooDeep + strings.Repeat(".a.b", 4)},
		{"100,000 nodes", fill("99999"), ""},
		{"100,001 nodes", fill("100000"), tooMany},
		{"far more nodes", fill("300000"), tooMany},
		{"100,001 nodes behind each other", "local t = {} for i = 1, 100000 do t[-i] = i end return t", tooMany},
		{"100,001 nodes, nested", "local t = {{1, {}, {}}} for i = 2, 50000 do t[i] = {1} end return t",
			tooMany + " at [49998]"},
		{"1 MiB", "string.rep('a', 2^20 - 5)", ""},
		{"more than 1 MiB", "string.rep('a', 2^20 - 4)", tooLong},
		{"far more than 1 MiB", "string.rep('a', 2^24)", tooLong},
		{"more than 1 MiB in parts", "local s = string.rep('a', 2^19) return {s, x = {s}}", tooLong + " at .x[1]"},
		{"more than 1 MiB in keys", "local s = string.rep('a', 2^19) return {[s] = 1, [s .. 'b'] = 1}",
			tooLong + ` at ["` + strings.Repeat("a", 64) + `"…]`},
		{"131,072 positions empty", "{[131073] = true}", ""},
		{"131,072 positions empty in two tables", "{{[65537] = true}, {[65537] = true}}", ""},
		{"131,073 positions empty in two tables", "{{[65537] = true}, {[65538] = true}}",
			"cannot store the integer key 65538, " + tooSparse + " at [2]"},
		{"positions that go into the hash part", "{[67108864] = true, [1e10] = true}", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := eval(t, L, c.code)
			if c.text == "" {
				wantSame(t, decode(t, L, encode(t, v)), v)
				return
			}
			cause := value.ErrTooLarge
			if strings.HasPrefix(c.text, "cannot") {
				cause = value.ErrInvalid
			}
			wantRefused(t, v, cause, c.text)
		})
	}
}

func TestEncode_OfWhatIsTooLarge_IsCheap(t *testing.T) {
	L := newState(t)
	for name, code := range map[string]string{
		"used twice at each level": "local t = {} for i = 1, 63 do t = {t, t} end return t",
		"a cycle of many":          "local t = {} for i = 1, 1000 do t[i] = t end return t",
		"a long string":            "string.rep('a', 2^26)",
		"a far position":           "{[1e6] = true}",
	} {
		v := eval(t, L, code)
		t.Run(name, func(t *testing.T) {
			cheap(t, func() {
				if b, err := storelua.Encode(v, value.Limits{}); err == nil {
					t.Fatalf("got %d bytes, want an error", len(b))
				}
			})
		})
	}
}

func TestEncode_ReturnsBytesOfItsOwn(t *testing.T) {
	first := encode(t, lua.LString("first"))
	kept := bytes.Clone(first)
	encode(t, lua.LString("other"))
	if !bytes.Equal(first, kept) {
		t.Errorf("changed from %x to %x by the next call", kept, first)
	}
}

func TestEncode_IgnoresMetatables(t *testing.T) {
	L := newState(t)
	v := eval(t, L, `
		local function never() error("called") end
		local mt = {__index = never, __newindex = never, __len = never, __pairs = never, __ipairs = never, __tostring = never, __call = never}
		local inner = setmetatable({}, mt)
		return setmetatable({1, nil, 3, a = inner}, mt)`)
	got := decode(t, L, encode(t, v))
	wantSame(t, got, eval(t, L, "{1, nil, 3, a = {}}"))
	if mt := got.(*lua.LTable).Metatable; mt != lua.LNil {
		t.Errorf("came back with the metatable %v", mt)
	}
}

func TestEncode_StoresATableUsedTwiceTwice(t *testing.T) {
	L := newState(t)
	v := eval(t, L, "local t = {1} return {t, t}")
	got := decode(t, L, encode(t, v)).(*lua.LTable)
	wantSame(t, got, v)
	if got.RawGetInt(1) == got.RawGetInt(2) {
		t.Error("the two came back as one")
	}
}

func TestDecode_ReturnsFreshTables(t *testing.T) {
	L := newState(t)
	b := encode(t, eval(t, L, "{list = {1, 2}}"))
	first := decode(t, L, b).(*lua.LTable)
	first.RawGetString("list").(*lua.LTable).Append(lua.LNumber(3))
	first.RawSetString("more", lua.LTrue)
	wantSame(t, decode(t, L, b), eval(t, L, "{list = {1, 2}}"))
}

func TestDecode_IsReadByScriptsAsItWasWritten(t *testing.T) {
	L := newState(t)
	L.SetGlobal("copy", L.NewFunction(func(L *lua.LState) int {
		L.Push(decode(t, L, encode(t, L.Get(1))))
		return 1
	}))
	if err := L.DoString(`
		local t = copy{10, 20, nil, 40, [0] = "zero", [-1] = "minus", [1.5] = "half", [true] = "yes", name = "n", [2^31] = "far"}
		assert(#t == 4 and t[1] == 10 and t[2] == 20 and t[3] == nil and t[4] == 40)
		assert(t[0] == "zero" and t[-1] == "minus" and t[1.5] == "half" and t[true] == "yes" and t.name == "n" and t[2^31] == "far")
		local seen, n = {}, 0
		for k, v in pairs(t) do seen[k] = v; n = n + 1 end
		assert(n == 9 and seen[0] == "zero" and seen[4] == 40)
		n = 0
		for i, v in ipairs(t) do n = n + v end
		assert(n == 30)
		table.insert(t, 50)
		assert(t[5] == 50 and #t == 5 and table.remove(t, 1) == 10 and #t == 4)
		local sorted = copy{3, 1, 2}
		table.sort(sorted)
		assert(table.concat(sorted, ",") == "1,2,3" and unpack(copy{7}) == 7)`); err != nil {
		t.Error(err)
	}
}

func TestDecode_RefusesWhatIsNoValue(t *testing.T) {
	L := newState(t)
	for stored, text := range map[string]string{
		"":                       "corrupt value: cut short",
		"c0":                     "corrupt value: byte 0xc0 is no value",
		"d60000000000":           "corrupt value: byte 0xd6 is no value",
		"cf0020000000000001":     "corrupt value: integer 9007199254740993 beyond 2^53",
		"0101":                   "corrupt value: 1 bytes follow the value",
		"9001":                   "corrupt value: 1 bytes follow the value",
		"819001":                 "corrupt value: a table as key",
		"81cb7ff800000000000101": "corrupt value: NaN as key",
		"92c3":                   "corrupt value: cut short",
		"8201c3":                 "corrupt value: cut short",
		"8201c302":               "corrupt value: cut short",
		"81ce00989680c3":         "corrupt value: the integer key 10000000 leaves too many positions below it empty",
		"8190c0":                 "corrupt value: a table as key",
	} {
		b, err := hex.DecodeString(stored)
		if err != nil {
			t.Fatal(err)
		}
		v, err := storelua.Decode(L, b, value.Limits{})
		if v != nil || !errors.Is(err, value.ErrCorrupt) || err.Error() != text {
			t.Errorf("%s: got %v, %v, want %s", stored, v, err, text)
		}
	}
}

func TestDecode_HoldsLimits(t *testing.T) {
	L := newState(t)
	deep := func(n int) []byte { return append(bytes.Repeat([]byte{0x91}, n-1), 0x90) }
	flat := func(n int) []byte { return append(value.AppendArrayHeader(nil, n), make([]byte, n)...) }
	for _, c := range []struct {
		limits    value.Limits
		good, bad []byte
	}{
		{value.Limits{}, deep(64), deep(65)},
		{value.Limits{}, flat(99_999), flat(100_000)},
		{value.Limits{Depth: 2}, deep(2), deep(3)},
		{value.Limits{Nodes: 3}, flat(2), flat(3)},
		{value.Limits{Bytes: 3}, flat(2), flat(3)},
	} {
		if _, err := storelua.Decode(L, c.good, c.limits); err != nil {
			t.Errorf("%.10x within %+v: %v", c.good, c.limits, err)
		}
		if _, err := storelua.Decode(L, c.bad, c.limits); !errors.Is(err, value.ErrCorrupt) {
			t.Errorf("%.10x within %+v: got %v, want ErrCorrupt", c.bad, c.limits, err)
		}
	}
}

// A host may set lua.MaxArrayIndex so low that arrays go on in the hash part.
func TestEncode_ArraysLongerThanMaxArrayIndex(t *testing.T) {
	setMaxArrayIndex(t, 10)
	L := newState(t)
	for code, want := range map[string]string{
		"local t = {} for i = 1, 14 do t[i] = true end return t":           "9e" + strings.Repeat("c3", 14),
		"local t = {} for i = 14, 1, -1 do t[i] = true end return t":       "9e" + strings.Repeat("c3", 14),
		"local t = {} for i = 1, 14 do table.insert(t, true) end return t": "9e" + strings.Repeat("c3", 14),
		"local t = {} for i = 1, 9 do t[i] = true end return t":            "99" + strings.Repeat("c3", 9),
		"local t = {} for i = 1, 9 do t[i] = true end t[11] = 1 return t": "8a" +
			"01c302c303c304c305c306c307c308c309c30b01",
		"local t = {} for i = 1, 9 do t[i] = true end t.x = 1 return t": "8a" +
			"01c302c303c304c305c306c307c308c309c3a17801",
		"{[10000000] = true}": "81ce00989680c3",
	} {
		v := eval(t, L, code)
		b := encode(t, v)
		if got := hex.EncodeToString(b); got != want {
			t.Errorf("%s: got %s, want %s", code, got, want)
		}
		if again := encode(t, decode(t, L, b)); !bytes.Equal(again, b) {
			t.Errorf("%s: written again as %x, want %x", code, again, b)
		}
	}
	// Of such a table Next skips a key: it must not be lost silently.
	wantRefused(t, eval(t, L, "local t = {x = 1} for i = 1, 14 do table.insert(t, true) end return t"), value.ErrInvalid,
		"cannot store a table of 14 elements with other keys: its host sets lua.MaxArrayIndex to 10")
}
