package store_test

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
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

func TestHandle_ReadOnly_RefusesWritesAndServesReads(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		asked := 0
		ctx, h := openStore(t, b, store.Definition{ReadOnly: true}, &store.Options{
			Policy: func(context.Context, store.Access) error { asked++; return nil },
		})
		err := o.call(ctx, h)
		if !o.writes {
			ok(t, err)
			return
		}
		kindIs(t, err, "denied")
		if got := store.Message(err); got != "permission denied: store is read-only" {
			t.Errorf("message %q", got)
		}
		if len(b.calls) > 0 || asked > 0 {
			t.Errorf("the driver saw %v, the policy was asked %d times", b.calls, asked)
		}
	})
}

func TestHandle_Policy_SeesWhoDoesWhatToWhich(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		var seen []store.Access
		ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, &store.Options{
			Policy: func(_ context.Context, a store.Access) error { seen = append(seen, a); return nil },
		})
		ok(t, o.call(ctx, h))
		var want []store.Access
		for _, key := range o.keys {
			want = append(want, store.Access{Unit: "test", Store: "s", Op: o.op, Key: key})
		}
		if o.op == store.OpList { // and about what it found
			want = append(want, store.Access{Unit: "test", Store: "s", Op: o.op, Key: "a:b"})
		}
		if !slices.Equal(seen, want) {
			t.Errorf("the policy saw %v, want %v", seen, want)
		}
	})
}

func TestHandle_Denied_SendsNothing(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		last := o.keys[len(o.keys)-1] // of a batch, all but one are allowed
		ctx, h := openStore(t, b, store.Definition{}, &store.Options{
			Policy: func(_ context.Context, a store.Access) error {
				if a.Key == last {
					return errors.New("not yours")
				}
				return nil
			},
		})
		err := o.call(ctx, h)
		kindIs(t, err, "denied")
		if got := store.Message(err); !strings.HasPrefix(got, "permission denied: not yours") {
			t.Errorf("message %q", got)
		}
		if len(o.keys) > 1 && !strings.Contains(err.Error(), last) {
			t.Errorf("%v does not name the key", err)
		}
		if len(b.calls) > 0 {
			t.Errorf("the driver saw %v", b.calls)
		}
	})
}

// A policy may well ask another store, and pass on what that answered.
func TestHandle_PolicyThatFails_IsADenialWhateverItWraps(t *testing.T) {
	for _, c := range sentinels {
		ctx, h := openStore(t, newBackend(), store.Definition{}, &store.Options{
			Policy: func(context.Context, store.Access) error { return c.err },
		})
		_, err := h.Get(ctx, "a:b")
		kindIs(t, err, "denied")
		if got := store.Message(err); !strings.HasPrefix(got, "permission denied") || strings.Count(got, "permission denied") > 1 {
			t.Errorf("message %q", got)
		}
	}
}

func TestHandle_InvalidArguments_DoNotReachThePolicy(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{
		Policy: func(_ context.Context, a store.Access) error { t.Errorf("asked about %v", a); return nil },
	})
	big := str(strings.Repeat("x", 1<<20))
	for _, err := range []error{
		h.Set(ctx, "a:b", nil, 0), h.Set(ctx, "a:b", num(1), -5), h.Set(ctx, "ab", num(1), 0), h.Set(ctx, "a:b", big, 0),
		h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}, {Key: "a:c"}}, 0),
		h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}, {Key: "a:b", Value: num(2)}}, 0),
		second(h.GetMany(ctx, []string{"a:b", "ab"})), second(h.DeleteMany(ctx, []string{"a:b", ":b"})),
		second(h.Touch(ctx, "a:b", -5)), second(h.List(ctx, "\xff", "", 1)), second(h.List(ctx, "", "", 1001)),
		second(h.Incr(ctx, "a:b", math.NaN(), 0, 0)), second(h.Incr(ctx, "a:b", 1, math.Inf(-1), 0)),
		second(h.CompareAndSwap(ctx, "a:b", nil, []byte{}, 0)), second(h.CompareAndSwap(ctx, "a:b", nil, num(1), -5)),
	} {
		if kind := store.Kind(err); kind != "invalid" && kind != "too_large" {
			t.Errorf("%v is of kind %q", err, kind)
		}
	}
	if len(b.calls) > 0 {
		t.Errorf("the driver saw %v", b.calls)
	}
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

func TestHandle_Observer_IsToldOfEveryOperation(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		synctest.Test(t, func(t *testing.T) {
			b.before = func(context.Context, fakeCall) error { time.Sleep(time.Second); return nil } // virtual
			seen := new(recorder)
			ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, &store.Options{Observe: seen.observe})
			ok(t, o.call(ctx, h))
			e := seen.last()
			if e.Unit != "test" || e.Store != "s" || e.Op != o.op || e.Err != nil {
				t.Errorf("the observer saw %+v", e)
			}
			if e.Duration < time.Second {
				t.Errorf("duration %v", e.Duration)
			}
			if want := len(o.keys); e.Keys != want {
				t.Errorf("%d keys, want %d", e.Keys, want)
			}
			if single := len(o.keys) == 1; single && e.Key != o.keys[0] || !single && e.Key != "" {
				t.Errorf("key %q", e.Key)
			}
		})
	})
}

func TestHandle_Observer_SeesBytesAndHits(t *testing.T) {
	b := newBackend()
	seen := new(recorder)
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{Observe: seen.observe})
	long := str("0123456789") // 11 bytes
	for _, c := range []struct {
		name  string
		call  func()
		bytes int
		hit   bool
	}{
		{"a miss", func() { h.Get(ctx, "a:b") }, 0, false},
		{"has not", func() { h.Has(ctx, "a:b") }, 0, false},
		{"set", func() { h.Set(ctx, "a:b", long, 0) }, 11, false},
		{"a hit", func() { h.Get(ctx, "a:b") }, 11, true},
		{"entry", func() { h.Entry(ctx, "a:b") }, 11, true},
		{"ttl", func() { h.TTL(ctx, "a:b") }, 0, true},
		{"has", func() { h.Has(ctx, "a:b") }, 0, true},
		{"touch", func() { h.Touch(ctx, "a:b", 0) }, 0, true},
		{"swap", func() { h.CompareAndSwap(ctx, "a:b", long, long, 0) }, 11, true},
		{"no swap", func() { h.CompareAndSwap(ctx, "a:b", nil, long, 0) }, 11, false},
		{"set many", func() { h.SetMany(ctx, []store.Item{{"a:b", long}, {"a:c", long}}, 0) }, 22, false},
		{"get many", func() { h.GetMany(ctx, []string{"a:b", "a:c", "a:d"}) }, 22, true},
		{"get none", func() { h.GetMany(ctx, []string{"a:e"}) }, 0, false},
		{"list", func() { h.List(ctx, "a:", "", 0) }, 0, true},
		{"list none", func() { h.List(ctx, "b:", "", 0) }, 0, false},
		{"delete many", func() { h.DeleteMany(ctx, []string{"a:c", "a:d"}) }, 0, true},
		{"delete", func() { h.Delete(ctx, "a:b") }, 0, true},
		{"delete none", func() { h.Delete(ctx, "a:b") }, 0, false},
	} {
		c.call()
		if e := seen.last(); e.Bytes != c.bytes || e.Hit != c.hit {
			t.Errorf("%s: %d bytes, hit %v, want %d, %v", c.name, e.Bytes, e.Hit, c.bytes, c.hit)
		}
	}
}

func TestHandle_Observer_SeesWhatWasRefused(t *testing.T) {
	b := newBackend()
	seen := new(recorder)
	ctx, h := openStore(t, b, store.Definition{ReadOnly: true}, &store.Options{
		Observe: seen.observe,
		Policy:  func(context.Context, store.Access) error { return errors.New("no") },
	})
	for _, c := range []struct {
		name string
		call func()
		kind string
	}{
		{"denied", func() { h.Get(ctx, "a:b") }, "denied"},
		{"denied batch", func() { h.GetMany(ctx, []string{"a:b"}) }, "denied"},
		{"denied listing", func() { h.List(ctx, "a:", "", 0) }, "denied"},
		{"read-only", func() { h.Set(ctx, "a:b", num(1), 0) }, "denied"},
		{"invalid key", func() { h.Get(ctx, "ab") }, "invalid"},
		{"invalid ttl", func() { h.Touch(ctx, "a:b", -9) }, "invalid"},
		{"value that cannot be stored", func() { store.Save(ctx, h, "a:b", func() {}, 0) }, "invalid"},
		{"released", func() { h.Release(); h.Get(ctx, "a:b") }, "released"},
	} {
		c.call()
		if e := seen.last(); store.Kind(e.Err) != c.kind {
			t.Errorf("%s: the observer saw %+v", c.name, e)
		}
	}
}

func TestHandle_Observer_GetsTheContextOfTheCaller(t *testing.T) {
	type key struct{}
	b := newBackend()
	b.info.Network = true
	called := false
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{Observe: func(ctx context.Context, e store.Event) {
		if e.Op != store.OpHas {
			return
		}
		called = true
		if ctx.Value(key{}) != "mine" || ctx.Err() != nil {
			t.Errorf("value %v, %v", ctx.Value(key{}), ctx.Err())
		}
	}})
	ok(t, second(h.Has(context.WithValue(ctx, key{}, "mine"), "a:b")))
	if !called {
		t.Error("the observer was not called")
	}
}

func TestHandle_ObserverThatPanics_HarmsNothing(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{
		Observe: func(context.Context, store.Event) { panic("observer") },
	})
	ok(t, h.Set(ctx, "a:b", num(1), 0))
	ok(t, second(h.Get(ctx, "a:b")))
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

func TestHandle_Incr_CountsFromInitialAndKeepsTheExpiry(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{DefaultTTL: time.Minute}, nil)
		for _, want := range []float64{12.5, 15} {
			sum, err := h.Incr(ctx, "a:b", 2.5, 10, time.Second)
			if sum != want || err != nil {
				t.Fatalf("%v, %v, want %v", sum, err, want)
			}
		}
		if e, _ := b.entry("a:b"); e.ttl != time.Second || string(e.value) != string(num(15)) {
			t.Errorf("stored %x with ttl %v", e.value, e.ttl)
		}
	})
}

func TestHandle_Incr_OfWhatCannotBeCounted_ChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{}, nil)
		b.put("a:text", str("10"), 0)
		b.put("a:corrupt", []byte{0xc1}, 0)
		b.put("a:most", num(value.MaxInteger), 0)
		b.put("a:infinite", num(math.Inf(1)), 0)
		for key, want := range map[string]error{
			"a:text": store.ErrNotNumber, "a:corrupt": store.ErrNotNumber, "a:most": store.ErrOutOfRange,
			"a:infinite": store.ErrOutOfRange,
		} {
			before, _ := b.entry(key)
			sum, err := h.Incr(ctx, key, 1, 0, 0)
			if !errors.Is(err, want) || !errors.Is(err, store.ErrInvalid) || sum != 0 {
				t.Errorf("%s: %v, %v, want %v", key, sum, err, want)
			}
			if after, _ := b.entry(key); string(after.value) != string(before.value) {
				t.Errorf("%s changed to %x", key, after.value)
			}
		}
		if _, err := h.Incr(ctx, "a:new", 1, value.MaxInteger, 0); !errors.Is(err, store.ErrOutOfRange) {
			t.Errorf("beyond the most: %v", err)
		}
		if _, exists := b.entry("a:new"); exists {
			t.Error("a refused sum was stored")
		}
	})
}

func TestHandle_Incr_ReachesTheLastExactInteger(t *testing.T) {
	b := newBackend()
	b.plain = true
	ctx, h := openStore(t, b, store.Definition{}, nil)
	for key, c := range map[string]struct{ initial, delta float64 }{
		"a:up": {value.MaxInteger - 1, 1}, "a:down": {1 - value.MaxInteger, -1}, "a:at once": {0, value.MaxInteger},
	} {
		sum, err := h.Incr(ctx, key, c.delta, c.initial, 0)
		if math.Abs(sum) != value.MaxInteger || err != nil {
			t.Errorf("%s: %v, %v", key, sum, err)
		}
	}
}

func TestHandle_IncrToMinusZero_StoresZero(t *testing.T) {
	b := newBackend()
	b.plain = true
	ctx, h := openStore(t, b, store.Definition{}, nil)
	sum, err := h.Incr(ctx, "a:b", math.Copysign(0, -1), math.Copysign(0, -1), 0)
	ok(t, err)
	if e, _ := b.entry("a:b"); math.Signbit(sum) || string(e.value) != string(num(0)) {
		t.Errorf("sum %v stored as %x", sum, e.value)
	}
}

func TestHandle_Incr_IsExactUnderManyGoroutines(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{}, nil)
		const goroutines, each = 64, 50
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for range each {
					if _, err := h.Incr(ctx, "a:b", 1, 0, 0); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if e, _ := b.entry("a:b"); string(e.value) != string(num(goroutines*each)) {
			t.Errorf("counted to %x, want %x", e.value, num(goroutines*each))
		}
	})
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
