package luatext_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/luastore/store/internal/luatext"
	"github.com/luastore/store/value"
)

// stored returns the stored form of a Go value.
func stored(t testing.TB, v any) []byte {
	t.Helper()
	b, err := value.Marshal(v, value.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// text returns the literal of a stored value.
func text(t testing.TB, b []byte, o *luatext.Options) string {
	t.Helper()
	got, err := luatext.Append(nil, b, o)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return string(got)
}

func TestAppend_OnOneLine(t *testing.T) {
	type m = map[any]any
	for _, c := range []struct {
		v    any
		want string
	}{
		{true, "true"},
		{false, "false"},
		{"text", `"text"`},
		{[]any{}, "{}"},
		{[]any{1, "a", true}, `{ 1, "a", true }`},
		{[]any{[]any{}, []any{[]any{1}}}, `{ {}, { { 1 } } }`},
		{m{"theme": "dark", "size": 12}, `{ size = 12, theme = "dark" }`},
		{m{"x y": 1, "": 2, "end": 3, "goto": 4, "_": 5, "a1": 6, "1a": 7, "ä": 8},
			`{ [""] = 2, _ = 5, ["1a"] = 7, a1 = 6, ["ä"] = 8, ["end"] = 3, ["x y"] = 1, ["goto"] = 4 }`},
		{m{1: "a", 2: "b", "n": 2}, `{ "a", "b", n = 2 }`},
		{m{2: "b", "n": 2}, `{ [2] = "b", n = 2 }`},
		{m{1: "a", 3: "c"}, `{ "a", [3] = "c" }`},
		{m{0: "z", 1: "a"}, `{ [0] = "z", [1] = "a" }`},
		{m{-1: 1, 1.5: 2, true: 3, false: 4}, `{ [false] = 4, [true] = 3, [1.5] = 2, [-1] = 1 }`},
		{m{math.Inf(1): 1}, `{ [math.huge] = 1 }`},
	} {
		if got := text(t, stored(t, c.v), nil); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestAppend_ThatDoesNotFit_IsSpreadOverLines(t *testing.T) {
	v := stored(t, map[string]any{
		"short": []int{1, 2, 3},
		"long":  []string{"a string of some length", "another one, which is longer", "and a third"},
		"deep":  map[string]any{"list": []any{[]any{}, strings.Repeat("x", 70), map[string]int{"y": 1}}},
		"cjk":   []string{strings.Repeat("界", 30)},
	})
	const want = `{
  cjk = { "界界界界界界界界界界界界界界界界界界界界界界界界界界界界界界" },
  deep = {
    list = {
      {},
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
      { y = 1 },
    },
  },
  long = {
    "a string of some length",
    "another one, which is longer",
    "and a third",
  },
  short = { 1, 2, 3 },
}`
	if got := text(t, v, &luatext.Options{Width: 60}); got != want {
		t.Errorf("got %s", got)
	}
	one := text(t, v, nil)
	if got := text(t, v, &luatext.Options{Width: len(one)}); got != one {
		t.Errorf("a line that has room for all of it: got %s", got)
	}
}

func TestAppend_StandsBehindWhatIsThere(t *testing.T) {
	got, err := luatext.Append([]byte("x = "), stored(t, []int{1, 2, 3}), &luatext.Options{Width: 11})
	if want := "x = { 1, 2, 3 }"; string(got) != want || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestAppend_OfBytesThatAreNoValue_IsCorrupt(t *testing.T) {
	deep := strings.Repeat("\x91", 100) + "\x01"
	for _, b := range []string{"", "\xc0", "\x92\x01", "\x01\x02", "\xa5abc", "\x81\xc0\x01", "\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01\x01", deep} {
		for _, o := range []*luatext.Options{nil, {Width: 20}} {
			if got, err := luatext.Append([]byte("x"), []byte(b), o); !errors.Is(err, value.ErrCorrupt) || string(got) != "x" {
				t.Errorf("%x: got %s, %v", b, got, err)
			}
		}
	}
	if got, err := luatext.Append(nil, []byte(deep), &luatext.Options{Width: 20, Limits: value.Limits{Depth: 100}}); err != nil {
		t.Errorf("within larger limits: got %s, %v", got, err)
	}
}

func TestAppendNumber_IsShortAndExact(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 1: "1", -5: "-5", 1 << 53: "9007199254740992", -1 << 53: "-9007199254740992", 1<<53 + 2: "9.007199254740994e+15",
		0.1: "0.1", 0.30000000000000004: "0.30000000000000004", 1234567.5: "1234567.5", 0.0001: "0.0001", 0.00001: "1e-05", 1e300: "1e+300",
		math.SmallestNonzeroFloat64: "5e-324", math.MaxFloat64: "1.7976931348623157e+308", 1e15: "1000000000000000",
		math.Inf(1): "math.huge", math.Inf(-1): "-math.huge", 1.0 / 3: "0.3333333333333333",
	} {
		if got := string(luatext.AppendNumber(nil, f)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := string(luatext.AppendNumber(nil, math.NaN())); got != "0/0" {
		t.Errorf("NaN: got %s", got)
	}
	if got := string(luatext.AppendNumber(nil, math.Copysign(0, -1))); got != `tonumber("-0.0")` {
		t.Errorf("-0: got %s", got)
	}
}

func TestAppendString_KeepsWhatPeopleReadAndEscapesTheRest(t *testing.T) {
	for s, want := range map[string]string{
		"":                    `""`,
		`say "hi" \ 'there'`:  `"say \"hi\" \\ 'there'"`,
		"a\nb\r\tc":           `"a\nb\r\tc"`,
		"\x1b[31mred":         `"\27[31mred"`,
		"\x00":                `"\0"`,
		"\x001":               `"\0001"`,
		"\x1b2":               `"\0272"`,
		"\x7f\u0085":          `"\127\194\133"`,
		"Grüße, 世界 👍":         `"Grüße, 世界 👍"`,
		"e\u0301":             "\"e\u0301\"",
		"\xff\xfe7":           `"\255\2547"`,
		"a\xe4\xb8":           `"a\228\184"`,
		"\uFFFD":              "\"\uFFFD\"",
		"user\u202egpj.exe":   `"user\226\128\174gpj.exe"`,
		"\u200b\u2066\ufeff9": `"\226\128\139\226\129\166\239\187\1919"`,
		"\u00a0\u2028\u3000":  `"\194\160\226\128\168\227\128\128"`,
		"\u3164\u034f\ufe0f":  `"\227\133\164\205\143\239\184\143"`,
		"\ue000\U000e0041":    `"\238\128\128\243\160\129\129"`,
	} {
		if got := string(luatext.AppendString(nil, s)); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}

func TestAppendKey_ThatIsNoName_IsInBrackets(t *testing.T) {
	for key, want := range map[string]string{
		"name": "name", "_1": "_1", "": `[""]`, "1a": `["1a"]`, "and": `["and"]`, "goto": `["goto"]`, "x y": `["x y"]`, "naïve": `["naïve"]`,
	} {
		if got := string(luatext.AppendKey(nil, key)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, `user:"1" \ é 世`: true, "\uFFFD": true, "a\x1b": false, "a\xff": false, "a\u202e": false, "a\u200b": false, "a\n": false,
	} {
		if got := luatext.Printable(s); got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
}
