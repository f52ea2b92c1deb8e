package store_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
)

// walking returns a handle of a store in memory that has 250 numbers under a:000 to a:249, and as many texts under b:.
func walking(t *testing.T, d store.Definition, o *store.Options) (context.Context, *store.Handle) {
	t.Helper()
	reg := newRegistry(t, o)
	d.Open = memstore.Opener(nil)
	define(t, reg, "s", d)
	ctx, _ := begin(t, reg)
	h := acquire(t, ctx, "s")
	for i := range 250 {
		ok(t, h.Set(ctx, fmt.Sprintf("a:%03d", i), num(float64(i)), 0))
		ok(t, h.Set(ctx, fmt.Sprintf("b:%03d", i), str("b"), 0))
	}
	return ctx, h
}

func TestListItems_HoldsKeysWithTheirValues(t *testing.T) {
	ctx, h := walking(t, store.Definition{Prefix: "pre"}, nil)
	var got []store.Item
	pages := 0
	for cursor := ""; ; pages++ {
		page, err := h.ListItems(ctx, "a:", cursor, 100)
		ok(t, err)
		got = append(got, page.Items...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(got) != 250 || pages != 2 {
		t.Fatalf("%d items on %d pages", len(got), pages+1)
	}
	for i, item := range got {
		if item.Key != fmt.Sprintf("a:%03d", i) || string(item.Value) != string(num(float64(i))) {
			t.Errorf("item %d is %v", i, item)
		}
	}
}

func TestListItems_OfADriverThatGivesNoneForAKey_LeavesItOut(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		b.put("a:b", num(1), 0)
		b.put("a:c", num(2), 0)
		ctx, h := openStore(t, b, store.Definition{}, nil)
		b.before = func(_ context.Context, c fakeCall) error {
			if c.op == "Get" || c.op == "GetMany" {
				b.mu.Lock()
				delete(b.entries, "a:b") // meanwhile
				b.mu.Unlock()
			}
			return nil
		}
		page, err := h.ListItems(ctx, "a:", "", 0)
		if ok(t, err); len(page.Items) != 1 || page.Items[0].Key != "a:c" {
			t.Errorf("listed %v", page)
		}
	})
}

func TestKeysAndItems_GiveEverythingUnderAPrefix(t *testing.T) {
	ctx, h := walking(t, store.Definition{Limits: store.Limits{Batch: 30}}, nil)
	var keys []string
	for key, err := range h.Keys(ctx, "b:") {
		ok(t, err)
		keys = append(keys, key)
	}
	found := map[string][]byte{}
	for item, err := range h.Items(ctx, "b:") {
		ok(t, err)
		found[item.Key] = item.Value
	}
	if len(keys) != 250 || !slices.IsSorted(keys) || !slices.Equal(keys, slices.Sorted(maps.Keys(found))) {
		t.Errorf("%d keys, %d items", len(keys), len(found))
	}
	n := 0
	for range h.Keys(ctx, "") {
		if n++; n == 35 {
			break
		}
	}
	for range h.Items(ctx, "") {
		if n++; n == 70 {
			break
		}
	}
	if n != 70 {
		t.Errorf("%d keys and items before both loops were left", n)
	}
}

func TestKeysAndItems_EndWithAnError(t *testing.T) {
	ctx, h := walking(t, store.Definition{}, nil)
	n := 0
	for key, err := range h.Keys(ctx, "\xff") {
		kindIs(t, err, "invalid")
		if n++; key != "" {
			t.Errorf("yielded %q with the error", key)
		}
	}
	for item, err := range h.Items(ctx, "a:") {
		if n++; n == 11 {
			h.Release() // the page that is there goes on
		}
		if err != nil {
			kindIs(t, err, "released")
			if item.Key != "" {
				t.Errorf("yielded %v with the error", item)
			}
		}
	}
	if n != 1+store.DefaultPage+1 {
		t.Errorf("yielded %d times", n)
	}
}

func TestList_WithPolicy_LeavesOutWhatItRefuses(t *testing.T) {
	ctx, h := walking(t, store.Definition{}, &store.Options{Policy: func(_ context.Context, a store.Access) error {
		if listed := a.Op == store.OpList && a.Key != "" && a.Key != "a:00"; a.Prefix != (a.Op == store.OpList && !listed) {
			t.Errorf("asked about %+v", a)
		}
		switch {
		case a.Op == store.OpSet:
			return nil
		case a.Op == store.OpList && a.Key == "":
			return errors.New("not everything")
		case strings.HasSuffix(a.Key, "1"), a.Op == store.OpGet && strings.HasSuffix(a.Key, "2"):
			return errors.New("secret")
		}
		return nil
	}})
	page, err := h.List(ctx, "a:00", "", 0)
	if ok(t, err); !slices.Equal(page.Keys, strings.Fields("a:000 a:002 a:003 a:004 a:005 a:006 a:007 a:008 a:009")) {
		t.Errorf("listed %v", page.Keys)
	}
	items, err := h.ListItems(ctx, "a:00", "", 0)
	ok(t, err)
	var keys []string
	for _, item := range items.Items {
		keys = append(keys, item.Key)
	}
	if !slices.Equal(keys, strings.Fields("a:000 a:003 a:004 a:005 a:006 a:007 a:008 a:009")) {
		t.Errorf("listed %v with values", keys)
	}
	kindIs(t, second(h.List(ctx, "", "", 0)), "denied")
	kindIs(t, second(h.ListItems(ctx, "", "", 0)), "denied")
}

func TestList_OfAForgedCursor_IsInvalidAndReachesNoDriver(t *testing.T) {
	b := newBackend()
	for i := range 9 {
		b.put(fmt.Sprintf("pre:a:%d", i), num(1), 0)
		b.put(fmt.Sprintf("pre:b:%d", i), num(1), 0)
	}
	ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, nil)
	page, err := h.List(ctx, "a:", "", 3)
	ok(t, err)
	good := page.Next
	if page, err := h.List(ctx, "a:", good, 100); err != nil || len(page.Keys) != 6 {
		t.Fatalf("the cursor itself: %v, %v", page, err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(good)
	ok(t, err)
	forged := []string{"x", "1", "pre:b:1", "a:2", ".", "\x00", strings.Repeat("A", 1<<20), good + "=", good + "A", good + "\n", " " + good,
		base64.StdEncoding.EncodeToString(raw), string(raw), string(raw[8:]), base64.RawURLEncoding.EncodeToString(raw[8:])}
	for i := range good {
		forged = append(forged, good[:i], good[:i]+string(good[i]^1)+good[i+1:])
	}
	calls := len(b.calls)
	for _, cursor := range forged {
		if cursor == "" || cursor == good {
			continue // the beginning; what comes out the same in another spelling
		}
		kindIs(t, second(h.List(ctx, "a:", cursor, 3)), "invalid")
		kindIs(t, second(h.ListItems(ctx, "a:", cursor, 3)), "invalid")
	}
	for _, prefix := range []string{"", "a", "b:", "a:1"} { // and of another prefix
		kindIs(t, second(h.List(ctx, prefix, good, 3)), "invalid")
	}
	if len(b.calls) != calls {
		t.Errorf("the driver saw %v", b.calls[calls:])
	}
}

// A driver's cursor may hold the last key that it looked at, which the policy may hide.
func TestList_WithPolicy_HidesWhatCursorsHold(t *testing.T) {
	key := []byte("secret of several processes")
	open := func(key []byte) (context.Context, *store.Handle) {
		return walking(t, store.Definition{}, &store.Options{CursorKey: key, Policy: func(_ context.Context, a store.Access) error {
			if a.Op == store.OpList && strings.HasPrefix(a.Key, "a:0") {
				return errors.New("secret")
			}
			return nil
		}})
	}
	ctx, h := open(key)
	page, err := h.List(ctx, "a:", "", 3)
	if ok(t, err); len(page.Keys) > 0 || page.Next == "" {
		t.Fatalf("listed %v", page)
	}
	// Any two bytes may be next to each other in what is encrypted: it is the whole of the driver's cursor that must not be there.
	plainCtx, plain := walking(t, store.Definition{}, nil)
	readable, err := plain.List(plainCtx, "a:", "", 3)
	ok(t, err)
	const inner = ".002"
	for cursor, holds := range map[string]bool{readable.Next: true, page.Next: false} {
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		if ok(t, err); strings.Contains(string(raw), inner) != holds {
			t.Errorf("the cursor is %q, which is to hold %q: %v", raw, inner, holds)
		}
	}
	for i := range page.Next {
		kindIs(t, second(h.List(ctx, "a:", page.Next[:i]+string(page.Next[i]^1)+page.Next[i+1:], 3)), "invalid")
	}
	kindIs(t, second(h.List(ctx, "a", page.Next, 3)), "invalid")
	for _, c := range []struct {
		key  []byte
		kind string
	}{{key, ""}, {[]byte("another"), "invalid"}, {nil, "invalid"}} {
		ctx, h := open(c.key)
		kindIs(t, second(h.List(ctx, "a:", page.Next, 3)), c.kind)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("", "")
	f.Add("a:", "AAAAAAAAAAAuYTox")
	f.Fuzz(func(t *testing.T, prefix, cursor string) {
		b := newBackend()
		b.put("a:1", num(1), 0)
		ctx, h := openStore(t, b, store.Definition{}, nil)
		page, err := h.List(ctx, prefix, cursor, 1)
		if cursor != "" && err == nil {
			t.Errorf("a cursor that nobody gave is taken: %v", page)
		}
		if err != nil && (store.Kind(err) != "invalid" || len(err.Error()) > 5000) {
			t.Errorf("answered %v", err)
		}
	})
}
