package pebblestore

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luastore/store"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]Options{
		"pebble:data/cache":                  {Path: "data/cache"},
		"pebble:./x":                         {Path: "./x"},
		"pebble:/var/lib/x":                  {Path: "/var/lib/x"},
		"PEBBLE:///var/lib/x":                {Path: "/var/lib/x"},
		`pebble:C:\data\x`:                   {Path: `C:\data\x`},
		"pebble:C:/data/x":                   {Path: "C:/data/x"},
		"pebble:a%20b%23%3f%25":              {Path: "a b#?%"},
		"pebble:a+b":                         {Path: "a+b"},
		"pebble:x?sync=false":                {Path: "x", NoSync: true},
		"pebble:x?sync=true":                 {Path: "x"},
		"pebble:x?cache=64MiB&memtable=1GiB": {Path: "x", CacheBytes: 64 << 20, MemtableBytes: 1 << 30},
		"pebble:x?memtable=65536":            {Path: "x", MemtableBytes: 65536},
	} {
		got, err := ParseURL(raw)
		if err != nil || *got != want {
			t.Errorf("ParseURL(%q) = %+v, %v", raw, got, err)
		}
	}
}

func TestParseURL_Mistakes_AreInvalidAndTellWhatToDo(t *testing.T) {
	for raw, want := range map[string]string{
		"":                             "needs the path",
		"sqlite:x":                     "needs the path",
		"pebble:":                      "needs the path",
		"pebble:?sync=false":           "needs the path",
		"pebble://host/x":              "no host",
		"pebble://user:hunter2@h/x":    "no host",
		"pebble://":                    "no host",
		"pebble:x#y":                   "%23",
		"pebble:%zz":                   "%25",
		"pebble:a%00b":                 "needs the path",
		"pebble:x?sync=no":             "true or false",
		"pebble:x?sync":                "empty",
		"pebble:x?sync=":               "empty",
		"pebble:x?sync=true&sync=true": "twice",
		"pebble:x?fsync=false":         `unknown parameter "fsync"`,
		"pebble:x?cache=big":           "64MiB",
		"pebble:x?cache=-1":            "64MiB",
		"pebble:x?cache=1KiB":          "at least 1MiB",
		"pebble:x?cache=99999999GiB9":  "64MiB",
		"pebble:x?memtable=1KiB":       "64KiB to 1GiB",
		"pebble:x?memtable=2GiB":       "64KiB to 1GiB",
		"pebble:x?a;b":                 "%-encoded",
	} {
		_, err := ParseURL(raw)
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseURL(%q): %v, want invalid with %q", raw, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseURL(%q) repeats a secret: %v", raw, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("pebble:a%20b?sync=false&cache=64MiB")
	f.Add(`pebble:///C:\x`)
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := ParseURL(raw)
		if err != nil {
			if store.Kind(err) != "invalid" {
				t.Errorf("%q: %v is not invalid", raw, err)
			}
			return
		}
		if _, err := o.target(); err != nil {
			t.Errorf("%q gives %+v, which is refused: %v", raw, o, err)
		}
	})
}

func TestOpener_OptionsWithoutMeaning_AreInvalid(t *testing.T) {
	for _, o := range []*Options{nil, {}, {Path: "x", CacheBytes: 1}, {Path: "x", MemtableBytes: -1}, {Path: "x", MemtableBytes: 1 << 40}, {Path: "a\x00b"}} {
		if _, err := Opener(o).Open(t.Context()); store.Kind(err) != "invalid" {
			t.Errorf("%+v: %v, want invalid", o, err)
		}
	}
}

func TestOpener_EqualOptions_NameOneConnection(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	same := []*Options{{Path: "x"}, {Path: "./x/"}, {Path: filepath.Join(here, "x")}, {Path: "x", CacheBytes: DefaultCacheBytes, MemtableBytes: DefaultMemtableBytes}}
	for _, o := range same {
		if Opener(o).Connection != Opener(same[0]).Connection {
			t.Errorf("%+v names another connection", o)
		}
	}
	for _, o := range []*Options{{Path: "y"}, {Path: "x", NoSync: true}, {Path: "x", CacheBytes: 1 << 20}, {Path: "x", Logger: slog.Default()}} {
		if Opener(o).Connection == Opener(same[0]).Connection {
			t.Errorf("%+v names the same connection", o)
		}
	}
}

func TestOpen_WithoutParentFolder_SaysSo(t *testing.T) {
	_, err := Opener(&Options{Path: filepath.Join(t.TempDir(), "a", "b")}).Open(context.Background())
	if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "there is no folder") {
		t.Errorf("got %v", err)
	}
}
