package memstore

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/luastore/store"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]Options{
		"mem:":                                 {},
		"mem://":                               {},
		"mem:?":                                {},
		"mem:?max_entries=1000":                {MaxEntries: 1000},
		"mem:?max_bytes=5":                     {MaxBytes: 5},
		"mem:?max_bytes=3KiB":                  {MaxBytes: 3 << 10},
		"mem:?max_bytes=64MiB&on_full=evict":   {MaxBytes: 64 << 20, OnFull: Evict},
		"mem:?max_bytes=2GiB&on_full=refuse":   {MaxBytes: 2 << 30, OnFull: Refuse},
		"mem:?max_entries=9223372036854775807": {MaxEntries: math.MaxInt64},
		"mem:?on_full=evict&max_entries=7&max_bytes=8": {MaxEntries: 7, MaxBytes: 8, OnFull: Evict},
	} {
		got, err := ParseURL(raw)
		if err != nil || *got != want {
			t.Errorf("%s: %+v, %v, want %+v", raw, got, err, want)
		}
	}
}

func TestParseURL_Errors(t *testing.T) {
	for raw, hint := range map[string]string{
		"":                                     `want "mem:"`,
		"redis://host":                         `want "mem:"`,
		"mem://host":                           "no host",
		"mem://user:secret@":                   "no host",
		"mem:///path":                          "no host, path",
		"mem:name":                             "no host, path",
		"mem:#f":                               "fragment",
		"mem:?%zz":                             "bad parameters",
		"mem:?a;b":                             "bad parameters",
		"mem:?max=5":                           "want max_entries, max_bytes or on_full",
		"mem:?max_entries=":                    "whole number",
		"mem:?max_entries=0":                   "leave it out for no bound",
		"mem:?max_entries=-1":                  "whole number",
		"mem:?max_entries=1.5":                 "whole number",
		"mem:?max_entries=1&max_entries=1":     "want it once",
		"mem:?max_entries=9223372036854775808": "whole number",
		"mem:?max_bytes=64MB":                  `"64MiB"`,
		"mem:?max_bytes=KiB":                   `"64MiB"`,
		"mem:?max_bytes=8589934592GiB":         `"64MiB"`,
		"mem:?max_bytes=0":                     "leave it out",
		"mem:?max_entries=1&on_full=drop":      `want "refuse" or "evict"`,
		"mem:?max_entries=1&on_full=":          `want "refuse" or "evict"`,
		"mem:?on_full=evict":                   "want max_entries or max_bytes too",
		"mem://user:secret@host:bad":           "not a memory URL",
	} {
		_, err := ParseURL(raw)
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v, want it to say %s", raw, err, hint)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", raw, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("mem:?max_entries=1000&max_bytes=64MiB&on_full=evict")
	f.Add("mem://host?max_bytes=9999999999GiB")
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := ParseURL(raw)
		if err != nil {
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		d, err := Open(o)
		if err != nil {
			t.Fatalf("%q is accepted and then refused: %v", raw, err)
		}
		defer d.Close()
		if n := len(d.shards); n < 1 || n > maxShards || n&(n-1) != 0 {
			t.Errorf("%q: %d shards", raw, n)
		}
	})
}

func TestOptions_Bad_AreRefusedByOpen(t *testing.T) {
	for _, o := range []Options{{MaxEntries: -1}, {MaxBytes: -1}, {OnFull: "drop"}, {OnFull: Evict}} {
		if _, err := Open(&o); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestInfo_StatesTheBounds(t *testing.T) {
	if info := opened(t, nil).Info(); info.MaxEntries != 0 || info.MaxBytes != 0 || info.Network || info.Shared || !info.Ordered {
		t.Errorf("unbounded: %+v", info)
	}
	info := opened(t, &Options{MaxEntries: 5, MaxBytes: 6, OnFull: Evict}).Info()
	if info.MaxEntries != 5 || info.MaxBytes != 6 || !strings.Contains(info.Durability, "evicted") {
		t.Errorf("evicting: %+v", info)
	}
}
