package jsonvalue_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/luastore/store/internal/jsonvalue"
	"github.com/luastore/store/value"
)

// stored generates values in every form that a reader takes, canonical or not.
func stored(depth int) *rapid.Generator[[]byte] {
	scalars := []*rapid.Generator[[]byte]{
		rapid.Map(rapid.Bool(), func(v bool) []byte { return value.AppendBool(nil, v) }),
		rapid.Map(number(), func(f float64) []byte { return value.AppendNumber(nil, f) }),
		rapid.Map(rapid.Int64Range(-value.MaxInteger, value.MaxInteger), wideInteger),
		rapid.Map(rapid.Float32(), func(f float32) []byte { return binary.BigEndian.AppendUint32([]byte{0xca}, math.Float32bits(f)) }),
		rapid.Map(rapid.Float64(), func(f float64) []byte { return binary.BigEndian.AppendUint64([]byte{0xcb}, math.Float64bits(f)) }),
		text(),
		rapid.Custom(func(t *rapid.T) []byte { return wideText(t, text().Draw(t, "text")) }),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	return rapid.OneOf(append(scalars, table(depth), table(depth))...)
}

func number() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64(), rapid.Map(rapid.IntRange(-70000, 70000), func(i int) float64 { return float64(i) }),
		rapid.SampledFrom([]float64{
			math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1 << 53, -1 << 53, 1<<53 + 2, 1e300, 5e-324, 1e-7, 0.1, 1e15,
			math.MaxFloat64, 1e16, 123456789012345680000,
		}))
}

// wideInteger returns an integer in nine bytes.
func wideInteger(i int64) []byte { return binary.BigEndian.AppendUint64([]byte{0xd3}, uint64(i)) }

func text() *rapid.Generator[[]byte] {
	return rapid.Map(rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.RuneFrom([]rune("\"\\/\b\f\n\r\t\x00\x1f\x7f\u0085\u200b\u202e\u2028\ufeff\ufffd𝄞\U000e0041é"))),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", "$stored", "\xff", strings.Repeat("x", 300)}),
	), func(s string) []byte { return value.AppendString(nil, s) })
}

// wideText returns a string behind a header of five bytes, as str or as bin whatever it holds.
func wideText(t *rapid.T, canonical []byte) []byte {
	r, err := value.NewReader(canonical, value.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	head := []byte{rapid.SampledFrom([]byte{0xdb, 0xc6}).Draw(t, "form")}
	return append(binary.BigEndian.AppendUint32(head, uint32(len(r.Str))), r.Str...)
}

// table generates arrays and tables with keys of every kind, in any order, perhaps twice.
func table(depth int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		n := rapid.SampledFrom([]int{0, 1, 1, 2, 3, 15, 16, 20}).Draw(t, "n")
		isMap, wide := rapid.Bool().Draw(t, "map"), rapid.IntRange(0, 4).Draw(t, "wide") == 0
		var b []byte
		switch {
		case isMap && wide:
			b = binary.BigEndian.AppendUint32([]byte{0xdf}, uint32(n))
		case isMap:
			b = value.AppendMapHeader(nil, n)
		case wide:
			b = binary.BigEndian.AppendUint32([]byte{0xdd}, uint32(n))
		default:
			b = value.AppendArrayHeader(nil, n)
		}
		onlyText := rapid.IntRange(0, 3).Draw(t, "keys") > 0
		for range n {
			if isMap {
				b = append(b, key(onlyText).Draw(t, "key")...)
			}
			b = append(b, stored(depth-1).Draw(t, "element")...)
		}
		return b
	})
}

func key(onlyText bool) *rapid.Generator[[]byte] {
	if onlyText {
		return text()
	}
	return stored(0).Filter(func(b []byte) bool { f, ok := value.ParseNumber(b); return !ok || f == f })
}

// comesBack checks that a valid stored value comes back as it was, by one line of JSON that commands no terminal.
func comesBack(t interface {
	Helper()
	Fatalf(string, ...any)
}, b []byte,
) {
	t.Helper()
	text := jsonvalue.Append([]byte("before"), b)
	text, ok := bytes.CutPrefix(text, []byte("before"))
	if !ok || !json.Valid(text) || len(text) > jsonvalue.MaxLen(len(b)) {
		t.Fatalf("%x is written as %q", b, text)
	}
	if i := bytes.IndexFunc(text, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }); i >= 0 {
		t.Fatalf("%x is written as %q, with a character that does not print at %d", b, text, i)
	}
	got, err := jsonvalue.Parse(text, value.Limits{})
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("%x is written as %q and comes back as %x, %v", b, text, got, err)
	}
}

func TestAppend_OfAnyStoredValue_IsReadBackToTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := stored(3).Draw(t, "stored")
		if err := value.Validate(b, value.Limits{}); err != nil {
			t.Fatalf("the generator made %x: %v", b, err)
		}
		comesBack(t, b)
	})
}

func FuzzAppend(f *testing.F) {
	f.Add([]byte{0x90})
	f.Add([]byte{0x80})
	f.Add([]byte("\x81\xa7$stored\xa1x"))
	f.Add([]byte("\x82\xa1a\x01\xa1a\x02"))
	f.Add([]byte("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if value.Validate(b, value.Limits{}) != nil {
			if got, err := jsonvalue.Parse(jsonvalue.Append(nil, b), value.Limits{}); err == nil {
				t.Fatalf("%x, which is no value, comes back as %x", b, got)
			}
			return
		}
		comesBack(t, b)
	})
}

func FuzzParse(f *testing.F) {
	for _, c := range forms {
		f.Add([]byte(c.text))
	}
	for text := range refused {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := jsonvalue.Parse(text, value.Limits{})
		if err != nil {
			if !errors.Is(err, value.ErrInvalid) && !errors.Is(err, value.ErrTooLarge) {
				t.Fatalf("%q: %v is of no kind", text, err)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is taken, and is no JSON", text)
		}
		if err := value.Validate(b, value.Limits{}); err != nil {
			t.Fatalf("%q is read as %x: %v", text, b, err)
		}
		comesBack(t, b)
	})
}

// forms pairs stored values with how they are written.
var forms = []struct {
	stored []byte
	text   string
}{
	{value.AppendBool(nil, true), `true`},
	{value.AppendNumber(nil, 42), `42`},
	{value.AppendNumber(nil, -0.5), `-0.5`},
	{value.AppendNumber(nil, math.Copysign(0, -1)), `-0`},
	{value.AppendNumber(nil, 1<<53), `9007199254740992`},
	{value.AppendNumber(nil, 1<<60), `1.152921504606847e+18`},
	{value.AppendNumber(nil, 1e-9), `1e-09`},
	{value.AppendNumber(nil, math.Inf(1)), `{"$stored":"y3/wAAAAAAAA"}`},
	{value.AppendString(nil, "Grüße, 世界 / 𝄞"), `"Grüße, 世界 / 𝄞"`},
	{value.AppendString(nil, "a\"\\\n\t\x1b[31m\u202e\U000e0041"), `"a\"\\\n\t\u001b[31m\u202e\udb40\udc41"`},
	{value.AppendString(nil, "\xff"), `{"$stored":"xAH/"}`},
	{[]byte{0x90}, `[]`},
	{[]byte("\x82\xa1b\x01\xa1a\x92\xc3\x90"), `{"b":1,"a":[true,[]]}`},
	{[]byte("\x81\xa1a\x81\xa7$stored\xa1x"), `{"a":{"$stored":"x"}}`}, // inside a value it is a key as others are
	{[]byte("\x82\xa7$stored\xa1x\xa1a\x01"), `{"$stored":"x","a":1}`},
	{[]byte("\x81\xa7$stored\xa1x"), `{"$stored":"gackc3RvcmVkoXg="}`},
	{[]byte("\x82\xa1a\x01\xa1a\x02"), `{"$stored":"gqFhAaFhAg=="}`},
	{[]byte("\x81\x05\xa1x"), `{"$stored":"gQWheA=="}`},
	{[]byte{0x80}, `{"$stored":"gA=="}`}, // the empty table as only others write it
}

func TestAppend_WritesWhatAPersonExpects(t *testing.T) {
	for _, c := range forms {
		if got := string(jsonvalue.Append(nil, c.stored)); got != c.text {
			t.Errorf("%x is written as %s, want %s", c.stored, got, c.text)
		}
		comesBack(t, c.stored)
	}
}

func TestAppend_LongInJSON_IsWrittenInBase64(t *testing.T) {
	b := value.AppendArrayHeader(nil, 50_000)
	for range 50_000 {
		b = value.AppendBool(b, false)
	}
	want := `{"$stored":"` + base64.StdEncoding.EncodeToString(b) + `"}`
	if got := string(jsonvalue.Append(nil, b)); got != want {
		t.Errorf("got %d bytes: %.80s", len(got), got)
	}
	comesBack(t, b)
}

// TestParse_TakesWhatPeopleWrite is about JSON that Append does not write.
func TestParse_TakesWhatPeopleWrite(t *testing.T) {
	for text, want := range map[string]string{
		" {} ": "\x90",
		"{ \"b\" : [ 1 , 2.0 ],\r\n\t\"a\" : -1E+2 }": "\x82\xa1b\x92\x01\x02\xa1a\xd0\x9c",
		`"\/\u0041\ud834\udd1e\b\f"`:                  "\xa8/A𝄞\b\f",
		`{"\u0024stored":"kA=="}`:                     "\x90",
		`0.1e1`:                                       "\x01",
		`1e-999`:                                      "\x00",
	} {
		if got, err := jsonvalue.Parse([]byte(text), value.Limits{}); err != nil || string(got) != want {
			t.Errorf("%s: got %x, %v, want %x", text, got, err, want)
		}
	}
}

// refused are texts with what a person reads about them.
var refused = map[string]string{
	``:                             "invalid JSON at column 1: want a value, but the text ends",
	`hello`:                        "invalid JSON at column 1: want a value, not 'h'",
	`{"a":1} x`:                    "invalid JSON at column 9: want nothing after the value, not 'x'",
	`[1,]`:                         "invalid JSON at column 4: want a value, not ']'",
	`[1 2]`:                        "invalid JSON at column 4: want , or ], not '2'",
	`{"a" 1}`:                      "invalid JSON at column 6: want :, not '1'",
	`{"a":1 "b":2}`:                "invalid JSON at column 8: want , or }, not '\"'",
	`{a:1}`:                        `invalid JSON at column 2: want a string in "quotes", not 'a'`,
	`"abc`:                         `invalid JSON at column 5: want the end of a string, ", but the text ends`,
	"\"\t\"":                       `invalid JSON at column 2: want control characters in strings escaped, this one as \u0009`,
	"\"\xff\"":                     "invalid JSON at column 2: want strings in UTF-8, this one is not",
	`"a\x41"`:                      `invalid JSON at column 3: want \n, \t, \", \\ or \u and four hexadecimal digits, of both halves where a character has two`,
	`"\ud800"`:                     `invalid JSON at column 2: want \n, \t, \", \\ or \u and four hexadecimal digits, of both halves where a character has two`,
	`01`:                           "invalid JSON at column 2: want nothing after the value, not '1'",
	`1.`:                           "invalid JSON at column 3: want a digit after the point, but the text ends",
	`-`:                            "invalid JSON at column 2: want a digit, but the text ends",
	`1e`:                           "invalid JSON at column 3: want a digit of the exponent, but the text ends",
	`null`:                         "cannot store null",
	`{"a":[1,{"b":null}]}`:         "cannot store null at .a[2].b",
	`{"a":1,"b":{"x":1,"x":2}}`:    "cannot store two elements under one key at .b.x",
	`[9007199254740993]`:           "cannot store 9007199254740993 exactly, an integer beyond ±2^53 (in quotes it is text) at [1]",
	`-9007199254740994`:            "cannot store -9007199254740994 exactly, an integer beyond ±2^53 (in quotes it is text)",
	`1e999`:                        "cannot store 1e999, which is beyond the largest number",
	`{"$stored":"!"}`:              `invalid "$stored": want the stored bytes of a value in base64: illegal base64 data at input byte 0`,
	`{"$stored":"wA=="}`:           `invalid "$stored": not the stored bytes of a value: corrupt value: byte 0xc0 is no value`,
	strings.Repeat(`[`, 100_000):   "value too large: tables nested deeper than 64 (a cycle?) at …[1][1][1][1][1][1][1][1]",
	`"` + long + `"`:               "value too large: more than 1048576 bytes",
	`{"$stored":"` + long + `=="}`: "value too large: more than 1048576 bytes",
	`[` + strings.Repeat(`1,`, 100_000) + `1]`: "value too large: more than 100000 tables and elements at [100000]",
}

var long = strings.Repeat("A", 2<<20)

func TestParse_Mistakes_SayWhereAndWhatToDo(t *testing.T) {
	for text, want := range refused {
		b, err := jsonvalue.Parse([]byte(text), value.Limits{})
		if err == nil || err.Error() != want {
			t.Errorf("%.80s: got %x, %v\nwant %s", text, b, err, want)
		}
	}
}

func TestMembers_GivesEachInOrder(t *testing.T) {
	var got []string
	err := jsonvalue.Members([]byte(` {"key":"a:b", "value":{"$stored":"gA=="} ,"n":1}`), value.Limits{}, func(name string, stored []byte) error {
		got = append(got, name+"="+string(stored))
		return nil
	})
	if want := "key=\xa3a:b|value=\x80|n=\x01"; err != nil || strings.Join(got, "|") != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestMembers_Mistakes_NameTheMember(t *testing.T) {
	stop := errors.New("stop")
	for text, want := range map[string]string{
		`[]`:                         "invalid JSON at column 1: want an object, {, not '['",
		`{"value":{"a":null}}`:       "cannot store null at .value.a",
		`{"a":1,"a":2}`:              "cannot store two elements under one key at .a",
		`{"a":1}}`:                   "invalid JSON at column 8: want nothing after the value, not '}'",
		`{"a":1`:                     "invalid JSON at column 7: want , or }, but the text ends",
		`{"stop":1,`:                 "stop",
		`{"value":{"$stored":"wA"}}`: `invalid "$stored": want the stored bytes of a value in base64: illegal base64 data at input byte 0`,
	} {
		err := jsonvalue.Members([]byte(text), value.Limits{}, func(name string, _ []byte) error {
			if name == "stop" {
				return stop
			}
			return nil
		})
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
