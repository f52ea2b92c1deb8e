package store_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/internal/encoded"
	"github.com/luastore/store/value"
)

// An operation is one method of a Handle, called with valid arguments on keys a:b and, for batches, c:d.
type operation struct {
	name   string // "" where op tells it from others
	op     store.Op
	writes bool
	keys   []string // that a policy is asked about
	call   func(ctx context.Context, h *store.Handle) error
}

var operations = []operation{
	{"", store.OpGet, false, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.Get(ctx, "a:b")
		return err
	}},
	{"", store.OpEntry, false, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.Entry(ctx, "a:b")
		return err
	}},
	{"", store.OpTTL, false, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.TTL(ctx, "a:b")
		return err
	}},
	{"", store.OpHas, false, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.Has(ctx, "a:b")
		return err
	}},
	{"", store.OpSet, true, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		return h.Set(ctx, "a:b", num(1), store.DefaultTTL)
	}},
	{"", store.OpDelete, true, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.Delete(ctx, "a:b")
		return err
	}},
	{"", store.OpTouch, true, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.Touch(ctx, "a:b", time.Minute)
		return err
	}},
	{"", store.OpCompareAndSwap, true, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.CompareAndSwap(ctx, "a:b", num(1), num(2), time.Minute)
		return err
	}},
	{"", store.OpIncr, true, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.Incr(ctx, "a:b", 1, 0, store.DefaultTTL)
		return err
	}},
	{"set if absent", store.OpSet, true, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.SetIfAbsent(ctx, "a:b", num(1), store.DefaultTTL)
		return err
	}},
	{"set if version", store.OpSet, true, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.SetIfVersion(ctx, "a:b", num(2), store.Version(num(1)), store.KeepTTL)
		return err
	}},
	{"delete if version", store.OpDelete, true, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.DeleteIfVersion(ctx, "a:b", store.Version(num(1)))
		return err
	}},
	{"", store.OpUpdate, true, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.Update(ctx, "a:b", store.KeepTTL, nil, func([]byte) ([]byte, error) { return num(2), nil })
		return err
	}},
	{"", store.OpFetch, false, []string{"a:b"}, func(ctx context.Context, h *store.Handle) error {
		_, _, err := h.Fetch(ctx, "a:b", store.DefaultTTL, func(context.Context) ([]byte, error) { return num(2), nil })
		return err
	}},
	{"", store.OpGetMany, false, []string{"a:b", "c:d"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.GetMany(ctx, []string{"a:b", "c:d"})
		return err
	}},
	{"", store.OpSetMany, true, []string{"a:b", "c:d"}, func(ctx context.Context, h *store.Handle) error {
		return h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}, {Key: "c:d", Value: num(2)}}, store.DefaultTTL)
	}},
	{"", store.OpDeleteMany, true, []string{"a:b", "c:d"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.DeleteMany(ctx, []string{"a:b", "c:d"})
		return err
	}},
	{"", store.OpList, false, []string{"a:"}, func(ctx context.Context, h *store.Handle) error {
		_, err := h.List(ctx, "a:", "", 10)
		return err
	}},
}

// everyOperation runs a test for each operation, over drivers with and without the optional interfaces. The entries exist.
func everyOperation(t *testing.T, f func(t *testing.T, b *backend, o operation)) {
	for _, o := range operations {
		t.Run(cmp.Or(o.name, string(o.op)), func(t *testing.T) {
			both(t, func(t *testing.T, b *backend) {
				for _, key := range []string{"a:b", "c:d", "pre:a:b", "pre:c:d"} {
					b.put(key, num(1), 0)
				}
				f(t, b, o)
			})
		})
	}
}

func TestHandle_EveryOperation_ReachesTheDriverUnderThePrefix(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, nil)
		ok(t, o.call(ctx, h))
		if key := b.last(t).key; !strings.HasPrefix(key, "pre:") {
			t.Errorf("the driver saw key %q", key)
		}
	})
}

func TestHandle_Released_AnswersBareAndSendsNothing(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		ctx, h := openStore(t, b, store.Definition{}, nil)
		h.Release()
		h.Release()
		if err := o.call(ctx, h); !bare(err, store.ErrReleased) {
			t.Errorf("answered %v", err)
		}
		if len(b.calls) > 0 {
			t.Errorf("the driver saw %v", b.calls)
		}
	})
}

func TestHandle_AfterUnitEnd_AnswersReleased(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ctx, u := reg.Begin(t.Context(), "")
		h := acquire(t, ctx, "s")
		ok(t, u.End())
		err := o.call(t.Context(), h)
		if !errors.Is(err, store.ErrReleased) || errors.As(err, new(*store.Error)) {
			t.Errorf("answered %v", err)
		}
		want := "store is released: its unit of work ended; call store.get inside the handler"
		if store.Message(err) != want {
			t.Errorf("message %q, want %q", store.Message(err), want)
		}
		if len(b.calls) > 0 {
			t.Errorf("the driver saw %v", b.calls)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestHandle_Values_AreBounded(t *testing.T) {
	limits := store.Limits{ValueBytes: 100, Depth: 2, Nodes: 10}
	ctx, h := openStore(t, newBackend(), store.Definition{Limits: limits}, nil)
	ok(t, h.Set(ctx, "a:b", str(strings.Repeat("x", 98)), 0))
	err := h.Set(ctx, "a:b", str(strings.Repeat("x", 99)), 0)
	kindIs(t, err, "too_large")
	if got := store.Message(err); got != "value too large: 101 bytes, limit 100" {
		t.Errorf("message %q", got)
	}
	kindIs(t, h.Set(ctx, "a:b", []byte{0x91, 0x91, 0x91, 1}, 0), "invalid") // three deep
	for _, bytes := range [][]byte{nil, {}, {0xc0}, {0xc1}, {0x91}, {1, 2}} {
		err := h.Set(ctx, "a:b", bytes, 0)
		kindIs(t, err, "invalid")
		if errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%v calls the entry corrupt", err)
		}
	}
}

func TestHandle_Limits_AreThoseOfStoreRegistryAndDriver(t *testing.T) {
	b := newBackend()
	b.info = store.Info{MaxValueBytes: 50, MaxKeyBytes: 20}
	ctx, h := openStore(t, b, store.Definition{Limits: store.Limits{Depth: 3}},
		&store.Options{Limits: store.Limits{Depth: 9, Batch: 7, BatchBytes: 64 << 20}})
	want := store.Limits{KeyBytes: 20, ValueBytes: 50, Depth: 3, Nodes: value.DefaultNodes, Batch: 7, BatchBytes: 64 << 20}
	if got := h.Limits(); got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
	kindIs(t, h.Set(ctx, "a:b", str(strings.Repeat("x", 60)), 0), "too_large")
	kindIs(t, h.Set(ctx, "a:"+strings.Repeat("x", 19), num(1), 0), "invalid")
	_, err := h.GetMany(ctx, slices.Repeat([]string{"a:b"}, 8))
	kindIs(t, err, "too_large")
	_, err = h.List(ctx, "", "", 8)
	kindIs(t, err, "invalid")
	ok(t, second(h.List(ctx, "", "", 0)))
	if got := b.last(t).key; got != " 7" {
		t.Errorf("listed %q, want a limit of 7", got)
	}
}

func TestHandle_OverANetwork_HasATimeoutOfFiveSeconds(t *testing.T) {
	for _, c := range []struct {
		name    string
		network bool
		timeout time.Duration
		caller  time.Duration // until the caller's deadline; 0: none
		want    time.Duration // until the driver's
	}{
		{"network", true, 0, 0, 5 * time.Second},
		{"network with its own", true, time.Minute, 0, time.Minute},
		{"caller is earlier", true, 0, time.Second, time.Second},
		{"caller is later", true, 0, time.Minute, 5 * time.Second},
		{"memory", false, 0, 0, 0},
		{"memory, caller has one", false, 0, time.Minute, time.Minute},
		{"memory with a timeout", false, time.Second, 0, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyOperation(t, func(t *testing.T, b *backend, o operation) {
				synctest.Test(t, func(t *testing.T) {
					b.info.Network = c.network
					ctx, h := openStore(t, b, store.Definition{Timeout: c.timeout}, nil)
					if c.caller > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, c.caller)
						defer cancel()
					}
					ok(t, o.call(ctx, h))
					got := b.last(t).deadline
					if c.want == 0 && !got.IsZero() {
						t.Errorf("a deadline in %v, want none", time.Until(got))
					}
					if c.want != 0 && time.Until(got) != c.want {
						t.Errorf("a deadline in %v, want %v", time.Until(got), c.want)
					}
				})
			})
		})
	}
}

func TestHandle_Timeout_AnswersTimeout(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		if o.op == store.OpFetch {
			return // which does without the store
		}
		synctest.Test(t, func(t *testing.T) {
			ctx, h := openStore(t, b, store.Definition{Timeout: time.Minute}, nil)
			b.before = func(ctx context.Context, _ fakeCall) error { <-ctx.Done(); return ctx.Err() }
			begin := time.Now()
			kindIs(t, o.call(ctx, h), "timeout")
			if took := time.Since(begin); took != time.Minute {
				t.Errorf("after %v", took)
			}
		})
	})
}

func TestHandle_WithoutObserverAndTimeout_GetAllocatesNothing(t *testing.T) {
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: memstore.Opener(nil)})
	ctx, _ := begin(t, reg)
	h := acquire(t, ctx, "s")
	ok(t, h.Set(ctx, "a:hit", str("0123456789abcdef"), 0))
	for _, key := range []string{"a:hit", "a:miss"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = h.Get(ctx, key) }); n != 0 {
			t.Errorf("Get of %s allocates %v times", key, n)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = h.Has(ctx, key) }); n != 0 {
			t.Errorf("Has of %s allocates %v times", key, n)
		}
	}
}

func TestHandle_String_SaysWhenReleased(t *testing.T) {
	_, h := openStore(t, newBackend(), store.Definition{}, nil)
	if h.String() != `store "s"` || h.ID() != "s" || h.Err() != nil {
		t.Errorf("%v, id %q, %v", h, h.ID(), h.Err())
	}
	h.Release()
	if h.String() != `store "s" (released)` || !bare(h.Err(), store.ErrReleased) {
		t.Errorf("%v, %v", h, h.Err())
	}
}

func TestHandle_TTLs_AreThoseOfTheDefinition(t *testing.T) {
	_, h := openStore(t, newBackend(), store.Definition{DefaultTTL: time.Second, MaxTTL: time.Hour}, nil)
	if def, most := h.TTLs(); def != time.Second || most != time.Hour {
		t.Errorf("%v, %v", def, most)
	}
}

type preferences struct {
	Theme string `store:"theme"`
	Size  int    `store:"size"`
}

func TestHandle_SetEncoded_DoesNotBelieveTheZeroValue(t *testing.T) {
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: newBackend().opener()})
	ctx, _ := begin(t, reg)
	if err := acquire(t, ctx, "s").SetEncoded(ctx, "a:b", encoded.Value{}, 0); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("got %v, want an error of kind invalid", err)
	}
}
