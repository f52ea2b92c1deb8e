package storelua_test

import (
	"context"
	"testing"

	"github.com/luastore/store"
)

func TestObserver_IsToldOfArgumentsThatNeverReachTheStore(t *testing.T) {
	var seen []store.Event
	h := newHost(t, &store.Options{Observe: func(_ context.Context, e store.Event) { seen = append(seen, e) }}, store.Definition{})
	for _, c := range []struct {
		call string
		op   store.Op
		key  string
	}{
		{`s:get(1)`, store.OpGet, ""},
		{`s:has()`, store.OpHas, ""},
		{`s:ttl({})`, store.OpTTL, ""},
		{`s:delete(true)`, store.OpDelete, ""},
		{`s:touch("a:b", "x")`, store.OpTouch, "a:b"},
		{`s:set("a:b", 1, -1)`, store.OpSet, "a:b"},
		{`s:set("a:b", print)`, store.OpSet, "a:b"},
	} {
		seen = nil
		if _, err := h.unit(c.call); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, e := range seen {
			found = found || e.Op == c.op && e.Key == c.key && e.Unit == "unit" && e.Store == "cache" && store.Kind(e.Err) == "invalid"
		}
		if !found {
			t.Errorf("%s: the observer saw %+v", c.call, seen)
		}
	}
}
