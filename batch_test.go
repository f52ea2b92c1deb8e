package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/luastore/store"
)

func TestBatch_CarriesManyKeys(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, nil)
		ok(t, h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}, {Key: "a:c", Value: num(2)}}, 0))
		if _, exists := b.entry("pre:a:c"); !exists {
			t.Error("not stored under the prefix")
		}
		got, err := h.GetMany(ctx, []string{"a:c", "a:absent", "a:b", "a:c"})
		ok(t, err)
		want := map[string][]byte{"a:b": num(1), "a:c": num(2)}
		if !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("got %v, want %v", got, want)
		}
		n, err := h.DeleteMany(ctx, []string{"a:b", "a:absent", "a:b"})
		if n != 1 || err != nil {
			t.Errorf("deleted %d, %v", n, err)
		}
	})
}

func TestBatch_OfOneTrip_TakesOne(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	ok(t, second(h.GetMany(ctx, []string{"a:b", "a:c", "a:b"})))
	if len(b.calls) != 1 || b.calls[0].key != "a:b a:c" {
		t.Errorf("the driver saw %v", b.calls)
	}
}

func TestBatch_Empty_SendsNothing(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{}, nil)
		got, err := h.GetMany(ctx, nil)
		if len(got) > 0 || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		ok(t, h.SetMany(ctx, nil, 0))
		n, err := h.DeleteMany(ctx, nil)
		if n != 0 || err != nil {
			t.Errorf("%v, %v", n, err)
		}
		if len(b.calls) > 0 {
			t.Errorf("the driver saw %v", b.calls)
		}
	})
}

func TestBatch_Size_IsLimited(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{}, nil)
		keys := make([]string, 1001)
		entries := make([]store.Item, 1001)
		for i := range keys {
			keys[i] = fmt.Sprint("a:", i)
			entries[i] = store.Item{Key: keys[i], Value: num(1)}
		}
		ok(t, h.SetMany(ctx, entries[:1000], 0))
		for _, err := range []error{
			h.SetMany(ctx, entries, 0), second(h.GetMany(ctx, keys)), second(h.DeleteMany(ctx, keys)),
		} {
			kindIs(t, err, "too_large")
			if got := store.Message(err); got != "batch too large: 1001 keys, limit 1000" {
				t.Errorf("message %q", got)
			}
		}
		if n, err := h.DeleteMany(ctx, keys[:1000]); n != 1000 || err != nil {
			t.Errorf("deleted %d, %v", n, err)
		}
	})
}

func TestBatch_FailureOfSomeKeys_NamesThemAsTheCallerDid(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, nil)
		ok(t, h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}, {Key: "a:bad", Value: num(2)}}, 0))
		b.before = func(_ context.Context, c fakeCall) error {
			switch {
			case !strings.Contains(c.key, "pre:a:bad"):
				return nil
			case b.plain:
				return fmt.Errorf("no room: %w", store.ErrFull)
			}
			return fmt.Errorf("pipeline: %w", &store.BatchError{Errs: map[string]error{"pre:a:bad": store.ErrFull}})
		}
		keys := []string{"a:b", "a:bad"}
		found, err := h.GetMany(ctx, keys)
		namesBadKey(t, store.OpGetMany, err)
		if b.plain && !maps.EqualFunc(found, map[string][]byte{"a:b": num(1)}, slices.Equal) {
			t.Errorf("found %v", found)
		}
		namesBadKey(t, store.OpSetMany,
			h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}, {Key: "a:bad", Value: num(2)}}, 0))
		n, err := h.DeleteMany(ctx, keys)
		namesBadKey(t, store.OpDeleteMany, err)
		if b.plain && n != 1 {
			t.Errorf("deleted %d", n)
		}
	})
}

// namesBadKey ends the test unless err is a BatchError on a:bad alone, with its context, and with no trace of the prefix.
func namesBadKey(t *testing.T, op store.Op, err error) {
	t.Helper()
	kindIs(t, err, "full")
	var failed *store.BatchError
	if !errors.As(err, &failed) || !slices.Equal(failed.Keys(), []string{"a:bad"}) {
		t.Fatalf("%v does not name the key", err)
	}
	var e *store.Error
	if !errors.As(err, &e) || e.Op != op || strings.Contains(err.Error(), "pre:") {
		t.Fatalf("%v", err)
	}
}

func TestBatch_WithoutBatcher_MakesTheContextsErrorsTimeouts(t *testing.T) {
	b := newBackend()
	b.plain = true
	ctx, h := openStore(t, b, store.Definition{}, nil)
	b.before = func(context.Context, fakeCall) error { return context.DeadlineExceeded }
	_, err := h.GetMany(ctx, []string{"a:b"})
	if !errors.Is(err, store.ErrTimeout) {
		t.Errorf("%v", err)
	}
}

func TestBatch_SetManyWithAKeyTwice_IsInvalid(t *testing.T) {
	ctx, h := openStore(t, newBackend(), store.Definition{}, nil)
	kindIs(t, h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}, {Key: "a:b", Value: num(1)}}, 0), "invalid")
}

func TestBatch_ReadOnlyStore_RefusesEvenNothing(t *testing.T) {
	ctx, h := openStore(t, newBackend(), store.Definition{ReadOnly: true}, nil)
	kindIs(t, h.SetMany(ctx, nil, 0), "denied")
	kindIs(t, second(h.DeleteMany(ctx, nil)), "denied")
}

func TestList_PagesThroughTheKeysOfTheStore(t *testing.T) {
	b := newBackend()
	for _, key := range []string{"pre:a:1", "pre:a:2", "pre:a:3", "pre:b:1", "other:a:9", "a:0"} {
		b.put(key, num(1), 0)
	}
	ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, nil)
	for prefix, want := range map[string][]string{
		"": {"a:1", "a:2", "a:3", "b:1"}, "a": {"a:1", "a:2", "a:3"}, "a:": {"a:1", "a:2", "a:3"}, "a:2": {"a:2"}, "c": nil,
		"pre": nil, "other": nil,
	} {
		var got []string
		cursor := ""
		for {
			page, err := h.List(ctx, prefix, cursor, 2)
			ok(t, err)
			got = append(got, page.Keys...)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("prefix %q: %q, want %q", prefix, got, want)
		}
	}
}

func TestList_LeavesOutWhatNobodyCouldName(t *testing.T) {
	b := newBackend()
	for _, key := range []string{
		"pre:a:1", "pre:nocolon", "pre::x", "pre:x:", "pre:a:\x01", "pre:a:\xff", "pre:a:" + strings.Repeat("x", 1020), "pre:",
	} {
		b.put(key, num(1), 0)
	}
	ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, nil)
	page, err := h.List(ctx, "", "", 0)
	if !slices.Equal(page.Keys, []string{"a:1"}) || err != nil {
		t.Errorf("%q, %v", page.Keys, err)
	}
}

// leakyDriver lists keys that do not begin as they should, and keeps the slice that it returned.
type leakyDriver struct {
	*fakeDriver
	keys []string
}

func (d *leakyDriver) List(context.Context, string, string, int) (store.Page, error) {
	return store.Page{Keys: d.keys}, nil
}

func TestList_OfALeakyDriver_ShowsNoOtherStore(t *testing.T) {
	keys := []string{"other:a:1", "pre:b:1", "pre:a:1", "prefix:a:1"}
	before := slices.Clone(keys)
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Prefix: "pre", Open: store.Opener{Open: func(context.Context) (store.Driver, error) {
		return &leakyDriver{&fakeDriver{backend: newBackend()}, keys}, nil
	}}})
	ctx, _ := begin(t, reg)
	page, err := acquire(t, ctx, "s").List(ctx, "a", "", 0)
	if !slices.Equal(page.Keys, []string{"a:1"}) || err != nil {
		t.Errorf("%q, %v", page.Keys, err)
	}
	if !slices.Equal(keys, before) {
		t.Errorf("the driver's slice became %q", keys)
	}
}

func TestList_Limit_IsOneToAThousand(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	for _, limit := range []int{-1, 1001} {
		_, err := h.List(ctx, "", "", limit)
		kindIs(t, err, "invalid")
		if got, want := store.Message(err), fmt.Sprintf("invalid limit %d: want 1 to 1000", limit); got != want {
			t.Errorf("message %q, want %q", got, want)
		}
	}
	for limit, want := range map[int]string{1: " 1", 1000: " 1000", 0: " 100"} {
		ok(t, second(h.List(ctx, "", "", limit)))
		if got := b.last(t).key; got != want {
			t.Errorf("limit %d became %q", limit, got)
		}
	}
}

func TestList_BadPrefix_IsInvalid(t *testing.T) {
	ctx, h := openStore(t, newBackend(), store.Definition{}, nil)
	for _, prefix := range []string{"\x00", "a:\x7f", "\u0085", "\xff"} {
		_, err := h.List(ctx, prefix, "", 1)
		kindIs(t, err, "invalid")
	}
}

func TestList_ForgedCursor_IsWhatTheDriverSays(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	page, err := h.List(ctx, "a:", "forged", 1)
	kindIs(t, err, "invalid")
	if len(page.Keys) > 0 || page.Next != "" || !strings.HasPrefix(err.Error(), `store "s": list "a:": `) {
		t.Errorf("%v, %v", page, err)
	}
}
