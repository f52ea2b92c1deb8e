package store_test

import (
	"strings"
	"testing"

	"github.com/luastore/store"
)

func TestCheckKey_ValidKeys_AreAccepted(t *testing.T) {
	for _, key := range []string{
		"a:b", "user:42", "a:b:c", "a::", "a:b:", " : ",
		"ключ:значение", "a:b c", "a:\u00a0", "日:本", "a:\U0010FFFF", "{x}:*?[",
		"a:\ufffd", // the replacement character itself is a character like any other
	} {
		if err := store.CheckKey(key); err != nil {
			t.Errorf("CheckKey(%q) = %v", key, err)
		}
	}
}

func TestCheckKey_BadKeys_SayWhatIsWanted(t *testing.T) {
	for _, c := range []struct{ key, want string }{
		{"", `invalid key "": want "namespace:name"`},
		{"foo", `invalid key "foo": want "namespace:name"`},
		{":x", `invalid key ":x": want "namespace:name"`},
		{"a:", `invalid key "a:": want "namespace:name"`},
		{":", `invalid key ":": want "namespace:name"`},
		{"::", `invalid key "::": want "namespace:name"`},
		{"é", `invalid key "é": want "namespace:name"`},
		{"a:\x00", `invalid key "a:\x00": control character at byte 2`},
		{"a\n:b", `invalid key "a\n:b": control character at byte 1`},
		{"a:\x1f", `invalid key "a:\x1f": control character at byte 2`},
		{"a:\x7f", `invalid key "a:\x7f": control character at byte 2`},
		{"a:\u0080", `invalid key "a:\u0080": control character`},
		{"a:\u0085", `invalid key "a:\u0085": control character`},
		{"\u009f:b", `invalid key "\u009f:b": control character`},
		{"a:\xff", `invalid key "a:\xff": not valid UTF-8`},
		{"a:\x80", `invalid key "a:\x80": not valid UTF-8`},
		{"a:\xc0\x80", `invalid key "a:\xc0\x80": not valid UTF-8`},         // an overlong NUL
		{"a:\xed\xa0\x80", `invalid key "a:\xed\xa0\x80": not valid UTF-8`}, // a surrogate
		{"a:\xe2\x82", `invalid key "a:\xe2\x82": not valid UTF-8`},         // cut off
	} {
		err := store.CheckKey(c.key)
		if err == nil || err.Error() != c.want {
			t.Errorf("CheckKey(%q) = %v, want %s", c.key, err, c.want)
		}
		if store.Kind(err) != "invalid" {
			t.Errorf("CheckKey(%q) is of kind %q", c.key, store.Kind(err))
		}
	}
}

func TestCheckKey_LongBadKey_MakesAShortMessage(t *testing.T) {
	if err := store.CheckKey(strings.Repeat("x", 1<<20)); len(err.Error()) > 300 {
		t.Errorf("a message of %d bytes", len(err.Error()))
	}
}

func TestHandle_KeyLength_CountsThePrefix(t *testing.T) {
	ctx, h := openStore(t, newBackend(), store.Definition{Prefix: "pre"}, nil)
	longest := "n:" + strings.Repeat("x", 1024-len("pre:n:"))
	ok(t, h.Set(ctx, longest, num(1), 0))
	err := h.Set(ctx, longest+"x", num(1), 0)
	kindIs(t, err, "invalid")
	if got, want := store.Message(err), "invalid key: 1025 bytes with the prefix of the store, limit 1024"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	_, err = h.GetMany(ctx, []string{longest + "x"})
	kindIs(t, err, "invalid")
	_, err = h.List(ctx, longest+"x", "", 0)
	kindIs(t, err, "invalid")
}

func TestHandle_HugeBadKey_MakesAShortMessage(t *testing.T) {
	ctx, h := openStore(t, newBackend(), store.Definition{}, nil)
	huge := strings.Repeat("\xff", 1<<20)
	_, err := h.Get(ctx, huge)
	kindIs(t, err, "invalid")
	if n := len(err.Error()); n > 1000 {
		t.Errorf("an error of %d bytes", n)
	}
	if _, err := h.List(ctx, huge, "", 0); len(err.Error()) > 1000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
	if _, err := store.Get(ctx, huge); len(err.Error()) > 1000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

func FuzzCheckKey(f *testing.F) {
	for _, seed := range []string{"a:b", "foo", ":x", "a:", "a:\u0085", "a:\xff", "a:b:c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		namespace, name, found := strings.Cut(key, ":")
		want := found && namespace != "" && name != "" && strings.ToValidUTF8(key, "\x00") == key
		for _, c := range key {
			want = want && c >= 0x20 && (c < 0x7f || c > 0x9f)
		}
		if err := store.CheckKey(key); (err == nil) != want {
			t.Errorf("CheckKey(%q) = %v, want it valid: %v", key, err, want)
		}
	})
}
