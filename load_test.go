package store_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

func TestLoadSave_CarryGoValues(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{DefaultTTL: time.Minute}, nil)
	want := preferences{"dark", 14}
	ok(t, store.Save(ctx, h, "a:b", want, store.DefaultTTL))
	got, err := store.Load[preferences](ctx, h, "a:b")
	if got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if e, _ := b.entry("a:b"); e.ttl != time.Minute {
		t.Errorf("ttl %v", e.ttl)
	}
}

func TestLoad_OfWhatDoesNotFit_SaysWhereAndGivesNothing(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	if _, err := store.Load[int](ctx, h, "a:b"); !bare(err, store.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	b.put("a:b", []byte{0xc1}, 0)
	_, err := store.Load[int](ctx, h, "a:b")
	kindIs(t, err, "corrupt")
	ok(t, store.Save(ctx, h, "a:b", map[string]any{"theme": "dark", "size": "big"}, 0))
	got, err := store.Load[preferences](ctx, h, "a:b")
	kindIs(t, err, "invalid")
	if got != (preferences{}) || !strings.Contains(err.Error(), "size") || !strings.Contains(err.Error(), `get "a:b"`) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSave_OfWhatCannotBeStored_WritesNothing(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{Limits: store.Limits{ValueBytes: 10}}, nil)
	kindIs(t, store.Save(ctx, h, "a:b", map[string]any{"f": func() {}}, 0), "invalid")
	kindIs(t, store.Save(ctx, h, "a:b", strings.Repeat("x", 20), 0), "too_large")
	kindIs(t, store.Save[any](ctx, h, "a:b", nil, 0), "invalid")
	kindIs(t, store.Save(ctx, h, "ab", 1, 0), "invalid")
	h.Release()
	if err := store.Save(ctx, h, "a:b", func() {}, 0); !bare(err, store.ErrReleased) {
		t.Errorf("released: %v", err)
	}
	if len(b.calls) > 0 {
		t.Errorf("the driver saw %v", b.calls)
	}
}

func TestLoadMany_AndSaveMany_CarryGoValues(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	ok(t, store.SaveMany(ctx, h, map[string]int{"a:b": 1, "a:c": 2}, time.Minute))
	got, err := store.LoadMany[int](ctx, h, []string{"a:b", "a:absent", "a:c"})
	if ok(t, err); !maps.Equal(got, map[string]int{"a:b": 1, "a:c": 2}) {
		t.Errorf("loaded %v", got)
	}
	if e, _ := b.entry("a:b"); e.ttl != time.Minute {
		t.Errorf("stored %v", e)
	}
	_, err = store.LoadMany[string](ctx, h, []string{"a:b"})
	kindIs(t, err, "invalid")
	if !strings.Contains(err.Error(), "a:b") {
		t.Errorf("%v does not name the key", err)
	}
	err = store.SaveMany(ctx, h, map[string]func(){"a:d": nil}, 0)
	kindIs(t, err, "invalid")
	if !strings.Contains(err.Error(), "a:d") {
		t.Errorf("%v does not name the key", err)
	}
}
