package storelua_test

import (
	"context"
	"testing"

	"github.com/luastore/store"
)

func TestObserver_IsToldOfWhatTheHandleDoesNotSee(t *testing.T) {
	var seen []store.Event
	h := newHost(t, &store.Options{Observe: func(_ context.Context, e store.Event) { seen = append(seen, e) }}, store.Definition{})
	if err := h.driver.Set(context.Background(), "bad:value", []byte{0xc0}, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		call string
		op   store.Op
		key  string
		kind string
	}{
		{`s:get(1)`, store.OpGet, "", "invalid"},
		{`s:has()`, store.OpHas, "", "invalid"},
		{`s:ttl({})`, store.OpTTL, "", "invalid"},
		{`s:delete(true)`, store.OpDelete, "", "invalid"},
		{`s:touch("a:b", "x")`, store.OpTouch, "a:b", "invalid"},
		{`s:set("a:b", 1, -1)`, store.OpSet, "a:b", "invalid"},
		{`s:set("a:b", print)`, store.OpSet, "a:b", "invalid"},
		{`s:get("bad:value")`, store.OpGet, "bad:value", "corrupt"},
	} {
		seen = nil
		if _, err := h.unit(c.call); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, e := range seen {
			found = found || e.Op == c.op && e.Key == c.key && e.Unit == "unit" && e.Store == "cache" && store.Kind(e.Err) == c.kind
		}
		if !found {
			t.Errorf("%s: the observer saw %+v", c.call, seen)
		}
	}
}
