package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

func TestVersion_IsTheBeginningOfTheHash(t *testing.T) {
	for _, v := range [][]byte{num(1), str("x"), nil} {
		sum := sha256.Sum256(v)
		if got, want := store.Version(v), hex.EncodeToString(sum[:16]); got != want {
			t.Errorf("version of %x is %s, want %s", v, got, want)
		}
	}
	if got := (store.Entry{Value: num(1)}).Version(); got != store.Version(num(1)) {
		t.Errorf("version of an entry is %s", got)
	}
}

func TestSetIfAbsent_WritesOnlyWhereThereIsNothing(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{DefaultTTL: time.Minute}, nil)
	for _, want := range []bool{true, false} {
		written, err := h.SetIfAbsent(ctx, "a:b", num(1), store.KeepTTL)
		if ok(t, err); written != want {
			t.Errorf("answered %v, want %v", written, want)
		}
		if e, _ := b.entry("a:b"); e.ttl != time.Minute {
			t.Errorf("stored %v, want the default ttl", e)
		}
	}
}

func TestSetIfVersion_WritesOnlyOverThatVersion(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	set := func(version string, want bool) {
		t.Helper()
		written, err := h.SetIfVersion(ctx, "a:b", num(2), version, store.KeepTTL)
		if ok(t, err); written != want {
			t.Errorf("answered %v, want %v", written, want)
		}
	}
	set(store.Version(num(1)), false)
	b.put("a:b", num(1), time.Hour)
	set(store.Version(num(2)), false)
	set(store.Version(num(1)), true)
	if e, _ := b.entry("a:b"); string(e.value) != string(num(2)) || e.ttl != time.Hour {
		t.Errorf("stored %v", e)
	}
}

func TestDeleteIfVersion_RemovesOnlyThatVersion(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{MaxTTL: time.Hour}, nil)
	b.put("a:b", num(1), 0)
	for _, c := range []struct {
		version []byte
		want    bool
	}{{num(2), false}, {num(1), true}, {num(1), false}} {
		removed, err := h.DeleteIfVersion(ctx, "a:b", store.Version(c.version))
		if ok(t, err); removed != c.want {
			t.Errorf("answered %v, want %v", removed, c.want)
		}
	}
}

// Between its two steps another may write: then the version is no longer the one asked for.
func TestSetIfVersion_WhereAnotherComesBetween_IsFalse(t *testing.T) {
	b := newBackend()
	b.put("a:b", num(1), 0)
	b.before = func(_ context.Context, c fakeCall) error {
		if c.op == "CompareAndSwap" {
			b.put("a:b", num(9), 0)
		}
		return nil
	}
	ctx, h := openStore(t, b, store.Definition{}, nil)
	for _, write := range []func() (bool, error){
		func() (bool, error) { return h.SetIfVersion(ctx, "a:b", num(2), store.Version(num(1)), 0) },
		func() (bool, error) { return h.DeleteIfVersion(ctx, "a:b", store.Version(num(1))) },
	} {
		b.put("a:b", num(1), 0)
		if done, err := write(); done || err != nil {
			t.Errorf("answered %v, %v", done, err)
		}
		if e, _ := b.entry("a:b"); string(e.value) != string(num(9)) {
			t.Errorf("stored %v", e)
		}
	}
}

func TestConditionalWrites_OfBadArguments_ReachNothing(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{
		Policy: func(_ context.Context, a store.Access) error { t.Errorf("asked about %v", a); return nil },
	})
	good := store.Version(num(1))
	for _, err := range []error{
		second(h.SetIfAbsent(ctx, "ab", num(1), 0)), second(h.SetIfAbsent(ctx, "a:b", nil, 0)), second(h.SetIfAbsent(ctx, "a:b", num(1), -5)),
		second(h.SetIfVersion(ctx, "a:b", nil, good, 0)), second(h.SetIfVersion(ctx, "a:b", []byte{0xc1}, good, 0)),
		second(h.SetIfVersion(ctx, "a:b", num(1), "", 0)), second(h.SetIfVersion(ctx, "a:b", num(1), good[1:], 0)),
		second(h.SetIfVersion(ctx, "a:b", num(1), strings.ToUpper(good), 0)), second(h.SetIfVersion(ctx, "a:b", num(1), good[:31]+"g", 0)),
		second(h.DeleteIfVersion(ctx, "a:b", "x")), second(h.DeleteIfVersion(ctx, "ab", good)),
	} {
		kindIs(t, err, "invalid")
	}
	if len(b.calls) > 0 {
		t.Errorf("the driver saw %v", b.calls)
	}
}

func TestKinds_AreThoseOfAllErrors(t *testing.T) {
	all := store.Kinds()
	seen := map[string]bool{"internal": true}
	for _, c := range sentinels {
		seen[store.Kind(c.err)] = true
	}
	if len(all) != len(seen) {
		t.Errorf("%d kinds %q, want %d", len(all), all, len(seen))
	}
	for _, kind := range all {
		if !seen[kind] {
			t.Errorf("no error is of kind %q", kind)
		}
	}
}
