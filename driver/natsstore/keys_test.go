package natsstore

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
)

// kvKey is what keys of a key-value bucket must look like.
var kvKey = regexp.MustCompile(`^[-/_=\.a-zA-Z0-9]+$`)

func TestKeys_AreWrittenAsOthersWouldWriteThem(t *testing.T) {
	for key, want := range map[string]string{
		"sessions:u1":    "sessions.u1",
		"a:b:c/d-e_f":    "a.b.c/d-e_f",
		"a:b.c":          "a.b=2Ec",
		"a:":             "a.=",
		"a:b:":           "a.b.=",
		":":              "=3A",
		"::":             "=3A.=",
		":a":             "=3Aa",
		"a::b":           "a.=3Ab",
		"a:::b":          "a.=3A.b",
		"a:=2E":          "a.=3D2E",
		"a:=":            "a.=3D",
		"_kv:x":          "=5Fkv.x",
		"a:_kv":          "a._kv",
		"a:é *>\x7f\x00": "a.=C3=A9=20=2A=3E=7F=00",
		"plain":          "plain",
	} {
		got := string(appendKey(nil, key))
		if got != want {
			t.Errorf("%q is written as %q, want %q", key, got, want)
		}
		if back, ok := parseKey(got); back != key || !ok {
			t.Errorf("%q is read back as %q, %v", got, back, ok)
		}
	}
}

func TestKeys_WhatNoKeyIsWrittenAs_IsNone(t *testing.T) {
	for _, text := range []string{"", "=", "=2", "=2e", "=41", "a=", "a.=2", "a b", "a..b", ".a", "a.", "a.=3A.=.", "_a", "=3A=3A", "a=3Ab", "é", "a.b.=x"} {
		if key, ok := parseKey(text); ok {
			t.Errorf("%q is read as %q", text, key)
		}
	}
}

// checkKey states all that must hold of how a key is written.
func checkKey(t rapid.TB, key string) {
	written := string(appendKey(nil, key))
	if back, ok := parseKey(written); back != key || !ok {
		t.Fatalf("%q is written as %q and read back as %q, %v", key, written, back, ok)
	}
	if !kvKey.MatchString(written) || strings.Contains("."+written+".", "..") {
		t.Fatalf("%q is written as %q, which is no key of a bucket", key, written)
	}
	if strings.HasPrefix(written, "_kv") {
		t.Fatalf("%q is written as %q, which is reserved", key, written)
	}
	for cut := range len(key) + 1 {
		if begin := string(appendPrefix(nil, key[:cut])); !strings.HasPrefix(written, begin) {
			t.Fatalf("%q is written as %q, which does not begin with %q as its prefix %q does", key, written, begin, key[:cut])
		}
	}
}

func TestKeys_ComeBackAndAreKeysOfABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkKey(t, rapid.OneOf(rapid.StringMatching(`[:a._=é]{1,12}`), rapid.StringN(1, 40, -1)).Draw(t, "key"))
	})
}

func FuzzKeys(f *testing.F) {
	for _, seed := range []string{"a:b", "::", "a:b.c=", "_kv", "é\xff", "a:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text != "" {
			checkKey(t, text)
		}
		if key, ok := parseKey(text); ok && string(appendKey(nil, key)) != text {
			t.Fatalf("%q is read as %q, which is written otherwise", text, key)
		}
	})
}

func TestKeys_TheLongest_FitTheLinesOfTheServer(t *testing.T) {
	d, ctx := openURL(t, natstest.Shared(t).URL()), testContext(t)
	for _, fill := range []string{"x", " ", "é", ":a"} {
		key := "t:" + strings.Repeat(fill, 1022/len(fill))
		if err := d.Set(ctx, key, []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		if v, err := d.Get(ctx, key); err != nil || string(v) != "v" {
			t.Errorf("Get of a key of %d bytes: %q, %v", len(key), v, err)
		}
		if page, err := d.List(ctx, key[:500], "", 10); err != nil || len(page.Keys) != 1 || page.Keys[0] != key {
			t.Errorf("List: %v, %v", page.Keys, err)
		}
		if existed, err := d.Delete(ctx, key); err != nil || !existed {
			t.Errorf("Delete: %v, %v", existed, err)
		}
	}
	if err := d.Set(ctx, "t:"+strings.Repeat(" ", 1300), []byte("v"), 0); store.Kind(err) != "too_large" {
		t.Errorf("a key that does not fit: %v, want too_large", err)
	}
	if _, err := d.Has(ctx, "t:k"); err != nil {
		t.Errorf("the connection suffered: %v", err)
	}
}
