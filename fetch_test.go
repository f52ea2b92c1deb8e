package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

// A computation is the function of a fetch that counts its calls.
type computation struct {
	calls atomic.Int64
	fn    func(ctx context.Context) ([]byte, error)
}

func (c *computation) call(ctx context.Context) ([]byte, error) {
	c.calls.Add(1)
	return c.fn(ctx)
}

func returning(v []byte, err error) *computation {
	return &computation{fn: func(context.Context) ([]byte, error) { return v, err }}
}

// unit runs f as a unit of its own, with a handle of the store "s".
func unit(t *testing.T, reg *store.Registry, f func(ctx context.Context, h *store.Handle)) {
	t.Helper()
	if err := reg.Do(context.Background(), func(ctx context.Context) error {
		f(ctx, acquire(t, ctx, "s"))
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// fetching returns a registry with the store "s" over b.
func fetching(t *testing.T, b *backend) *store.Registry {
	t.Helper()
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: b.opener()})
	return reg
}

func TestFetch_ComputesOnAMissAndStores(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{DefaultTTL: time.Hour}, nil)
	c := returning(num(1), nil)
	for i, ttl := range []time.Duration{store.DefaultTTL, time.Minute} {
		v, hit, err := h.Fetch(ctx, "a:b", ttl, c.call)
		if ok(t, err); string(v) != string(num(1)) || hit != (i > 0) {
			t.Errorf("answered %x, %v", v, hit)
		}
	}
	if e, _ := b.entry("a:b"); string(e.value) != string(num(1)) || e.ttl != time.Hour || c.calls.Load() != 1 {
		t.Errorf("stored %v after %d calls", e, c.calls.Load())
	}
	ok(t, third(h.Fetch(ctx, "a:c", time.Minute, c.call)))
	if e, _ := b.entry("a:c"); e.ttl != time.Minute {
		t.Errorf("stored %v, want the ttl that was given", e)
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }

func TestFetch_WithoutAValue_StoresNothing(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	mine := errors.New("mine")
	for _, c := range []struct {
		name string
		v    []byte
		err  error
		kind string
	}{
		{"nothing", nil, nil, "aborted"},
		{"an error", num(2), mine, "internal"},
		{"what is not found elsewhere", nil, store.ErrNotFound, "not_found"},
		{"what is away elsewhere", nil, store.ErrUnavailable, "unavailable"},
		{"bytes that are no value", []byte{0xc1}, nil, "invalid"},
		{"too many bytes", str(string(make([]byte, 2<<20))), nil, "too_large"},
	} {
		v, hit, err := h.Fetch(ctx, "a:b", 0, returning(c.v, c.err).call)
		kindIs(t, err, c.kind)
		if v != nil || hit || c.err != nil && !bare(err, c.err) {
			t.Errorf("%s: answered %x, %v, %v", c.name, v, hit, err)
		}
		if e, exists := b.entry("a:b"); exists {
			t.Errorf("%s: stored %v", c.name, e)
		}
	}
}

// A cache that is away must not take down what it is there to speed up.
func TestFetch_WithoutTheStore_AnswersWhatWasComputed(t *testing.T) {
	for _, c := range []struct {
		op   string
		err  error
		want bool // the computed value is the answer
	}{
		{"Get", store.ErrUnavailable, true}, {"Get", store.ErrTimeout, true}, {"Set", store.ErrUnavailable, true},
		{"Set", store.ErrTimeout, true}, {"Set", store.ErrUnknownOutcome, true}, {"Set", store.ErrFull, true},
		{"Get", store.ErrCorrupt, false}, {"Get", store.ErrInvalid, false}, {"Get", store.ErrDenied, false}, {"Get", errors.New("a bug"), false},
		{"Set", store.ErrInvalid, false}, {"Set", store.ErrDenied, false}, {"Set", store.ErrTooLarge, false}, {"Set", errors.New("a bug"), false},
	} {
		b := newBackend()
		ctx, h := openStore(t, b, store.Definition{}, nil)
		b.before = func(_ context.Context, call fakeCall) error {
			if call.op == c.op {
				return c.err
			}
			return nil
		}
		work := returning(num(1), nil)
		v, hit, err := h.Fetch(ctx, "a:b", 0, work.call)
		if c.want && (err != nil || hit || string(v) != string(num(1))) || !c.want && !errors.Is(err, c.err) {
			t.Errorf("%s answers %v: got %x, %v, %v", c.op, c.err, v, hit, err)
		}
		if calls := work.calls.Load(); c.op == "Get" && !c.want && calls > 0 {
			t.Errorf("%s answers %v: computed around", c.op, c.err)
		}
		if c.op == "Get" && b.last(t).op != "Get" {
			t.Errorf("%s answers %v: then the driver saw %v", c.op, c.err, b.last(t))
		}
	}
}

func TestFetch_WhereTheCallerHasNoTimeLeft_DoesNotCompute(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	work := returning(num(1), nil)
	kindIs(t, third(h.Fetch(ctx, "a:b", 0, work.call)), "canceled")
	if work.calls.Load() > 0 {
		t.Error("computed")
	}
}

func TestFetch_FromAReadOnlyStore_HitsAndDoesNotCompute(t *testing.T) {
	b := newBackend()
	b.put("a:b", num(1), 0)
	ctx, h := openStore(t, b, store.Definition{ReadOnly: true}, nil)
	work := returning(num(2), nil)
	v, hit, err := h.Fetch(ctx, "a:b", 0, work.call)
	if ok(t, err); !hit || string(v) != string(num(1)) {
		t.Errorf("answered %x, %v", v, hit)
	}
	kindIs(t, third(h.Fetch(ctx, "a:c", 0, work.call)), "denied")
	kindIs(t, third(h.Fetch(ctx, "a:b", store.KeepTTL, work.call)), "invalid")
	if work.calls.Load() > 0 {
		t.Error("computed")
	}
}

// together runs n calls of f at once and returns when all have.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f(i)
		}()
	}
	wg.Wait()
}

func TestFetch_ManyAtOnce_ComputeOnce(t *testing.T) {
	for _, shared := range []bool{false, true} { // each in a unit of its own, or all in one
		synctest.Test(t, func(t *testing.T) {
			reg := fetching(t, newBackend())
			work := &computation{fn: func(context.Context) ([]byte, error) {
				time.Sleep(time.Second)
				return num(1), nil
			}}
			var misses atomic.Int64
			fetch := func(ctx context.Context, h *store.Handle) {
				v, hit, err := h.Fetch(ctx, "a:b", 0, work.call)
				if !hit {
					misses.Add(1)
				}
				if err != nil || string(v) != string(num(1)) {
					t.Errorf("answered %x, %v", v, err)
				}
			}
			if shared {
				unit(t, reg, func(ctx context.Context, h *store.Handle) {
					together(1000, func(int) { fetch(ctx, h) })
				})
			} else {
				together(1000, func(int) { unit(t, reg, fetch) })
			}
			if calls := work.calls.Load(); calls != 1 || misses.Load() != 1 {
				t.Errorf("one unit %v: %d calls, %d misses", shared, calls, misses.Load())
			}
		})
	}
}

// One that read before another stored, and asks for a flight after that one landed, finds what was stored.
func TestFetch_ThatComesBetween_ComputesNothing(t *testing.T) {
	for range 200 {
		b := newBackend()
		reg := fetching(t, b)
		b.before = func(context.Context, fakeCall) error { runtime.Gosched(); return nil }
		work := returning(num(1), nil)
		together(8, func(int) {
			unit(t, reg, func(ctx context.Context, h *store.Handle) { ok(t, third(h.Fetch(ctx, "a:b", 0, work.call))) })
		})
		if calls := work.calls.Load(); calls != 1 {
			t.Fatalf("%d calls", calls)
		}
	}
}

// A miss takes one read, whoever misses other keys at the same time, but for the few that share a count with them.
func TestFetch_OfManyMissingKeys_ReadsEachOnce(t *testing.T) {
	b := newBackend()
	reg := fetching(t, b)
	const callers, keys = 8, 50
	together(callers, func(i int) {
		unit(t, reg, func(ctx context.Context, h *store.Handle) {
			for k := range keys {
				ok(t, third(h.Fetch(ctx, fmt.Sprintf("a:%d-%d", i, k), 0, returning(num(1), nil).call)))
			}
		})
	})
	reads := 0
	for _, c := range b.calls {
		if c.op == "Get" {
			reads++
		}
	}
	if reads > callers*keys*5/4 {
		t.Errorf("%d reads of %d keys", reads, callers*keys)
	}
}

func TestFetch_WhereTheOneThatComputesFails_AnotherTakesOver(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(ctx context.Context, u *store.Unit) ([]byte, error)
		kind string
	}{
		{"by an error", func(context.Context, *store.Unit) ([]byte, error) { return nil, store.ErrUnavailable }, "unavailable"},
		{"by a panic", func(context.Context, *store.Unit) ([]byte, error) { panic("mine") }, ""},
		{"by ending its goroutine", func(context.Context, *store.Unit) ([]byte, error) { runtime.Goexit(); return nil, nil }, ""},
		{"as its unit ends, and goes on", func(_ context.Context, u *store.Unit) ([]byte, error) {
			if err := u.End(); err != nil {
				return nil, err
			}
			time.Sleep(time.Hour)
			return num(2), nil
		}, "released"},
		{"as its time is over, and goes on", func(ctx context.Context, _ *store.Unit) ([]byte, error) {
			<-ctx.Done()
			time.Sleep(time.Hour)
			return num(2), nil
		}, "timeout"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend()
			reg := fetching(t, b)
			begin := time.Now()
			var leader sync.WaitGroup
			leader.Add(1)
			go func() {
				defer leader.Done()
				defer func() { _ = recover() }()
				ctx, u := reg.Begin(context.Background(), "")
				defer u.End()
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				h := acquire(t, ctx, "s")
				_, _, err := h.Fetch(ctx, "a:b", 0, func(ctx context.Context) ([]byte, error) {
					time.Sleep(time.Second)
					return c.fail(ctx, u)
				})
				kindIs(t, err, c.kind)
			}()
			synctest.Wait() // it computes
			work := &computation{fn: func(context.Context) ([]byte, error) {
				time.Sleep(time.Second)
				return num(1), nil
			}}
			together(10, func(int) {
				unit(t, reg, func(ctx context.Context, h *store.Handle) {
					if v, _, err := h.Fetch(ctx, "a:b", 0, work.call); err != nil || string(v) != string(num(1)) {
						t.Errorf("%s: answered %x, %v", c.name, v, err)
					}
				})
			})
			if took := time.Since(begin); took > 61*time.Second || work.calls.Load() != 1 {
				t.Errorf("%s: %d calls, after %v", c.name, work.calls.Load(), took)
			}
			leader.Wait()
			if e, _ := b.entry("a:b"); string(e.value) != string(num(1)) {
				t.Errorf("%s: stored %v", c.name, e)
			}
		})
	}
}

func TestFetch_ThatWaits_ObeysItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := fetching(t, newBackend())
		begin := time.Now()
		together(2, func(i int) {
			unit(t, reg, func(ctx context.Context, h *store.Handle) {
				if i == 0 {
					ok(t, third(h.Fetch(ctx, "a:b", 0, func(context.Context) ([]byte, error) {
						time.Sleep(time.Minute)
						return num(1), nil
					})))
					return
				}
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				kindIs(t, third(h.Fetch(ctx, "a:b", 0, returning(num(2), nil).call)), "timeout")
				if took := time.Since(begin); took != 2*time.Second {
					t.Errorf("answered after %v", took)
				}
			})
		})
	})
}

func TestFetch_ThatWaits_EndsWithItsUnit(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		wait       func(reg *store.Registry, fetch func(ctx context.Context, h *store.Handle) error) error
	}{
		{"that ends, though the call has a context of its own", "released", func(reg *store.Registry, fetch func(context.Context, *store.Handle) error) error {
			ctx, u := reg.Begin(context.Background(), "")
			time.AfterFunc(time.Second, func() { _ = u.End() })
			return fetch(context.Background(), acquire(t, ctx, "s"))
		}},
		{"whose context ends, though the call has one of its own", "canceled", func(reg *store.Registry, fetch func(context.Context, *store.Handle) error) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			ctx, u := reg.Begin(ctx, "")
			defer u.End()
			return fetch(context.Background(), acquire(t, ctx, "s"))
		}},
		{"whose deadline is that of the call", "timeout", func(reg *store.Registry, fetch func(context.Context, *store.Handle) error) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			ctx, u := reg.Begin(ctx, "")
			defer u.End()
			return fetch(ctx, acquire(t, ctx, "s"))
		}},
	} {
		for range 20 { // whichever of several ends is seen first
			synctest.Test(t, func(t *testing.T) {
				reg := fetching(t, newBackend())
				go unit(t, reg, func(ctx context.Context, h *store.Handle) {
					ok(t, third(h.Fetch(ctx, "a:b", 0, func(context.Context) ([]byte, error) {
						time.Sleep(time.Minute)
						return num(1), nil
					})))
				})
				synctest.Wait()
				begin := time.Now()
				err := c.wait(reg, func(ctx context.Context, h *store.Handle) error {
					return third(h.Fetch(ctx, "a:b", 0, returning(num(2), nil).call))
				})
				kindIs(t, err, c.kind)
				if took := time.Since(begin); took != time.Second {
					t.Errorf("a unit %s: answered after %v", c.name, took)
				}
				time.Sleep(time.Hour) // the other is done
			})
		}
	}
}

// The context of a function outlives it, in goroutines that it began or, in Lua, in coroutines.
func TestFetch_InAContextWhoseFetchIsOver_Waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := fetching(t, newBackend())
		work := &computation{fn: func(context.Context) ([]byte, error) {
			time.Sleep(time.Second)
			return num(1), nil
		}}
		together(8, func(i int) {
			unit(t, reg, func(ctx context.Context, h *store.Handle) {
				var kept context.Context
				ok(t, third(h.Fetch(ctx, fmt.Sprint("a:", i), 0, func(ctx context.Context) ([]byte, error) {
					kept = ctx
					return num(1), nil
				})))
				time.Sleep(time.Second) // until all are there
				ok(t, third(h.Fetch(kept, "a:b", 0, work.call)))
			})
		})
		if calls := work.calls.Load(); calls != 1 {
			t.Errorf("%d calls", calls)
		}
		ctx := store.Computing(context.Background()) // of a host, it is for good
		if again := store.Computing(ctx); again != ctx {
			t.Error("a context that computes is marked again")
		}
	})
}

// Others of a unit that computes something wait for each other, not each for itself.
func TestFetch_ManyOfAUnitThatComputes_ComputeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := fetching(t, newBackend())
		slow := func(context.Context) ([]byte, error) {
			time.Sleep(time.Minute)
			return num(1), nil
		}
		together(2, func(i int) {
			unit(t, reg, func(ctx context.Context, h *store.Handle) {
				if i == 0 { // another unit computes a:b
					ok(t, third(h.Fetch(ctx, "a:b", 0, slow)))
					return
				}
				work := &computation{fn: slow}
				together(1001, func(i int) {
					if i == 0 { // this one computes something else
						ok(t, third(h.Fetch(ctx, "a:c", 0, slow)))
						return
					}
					time.Sleep(time.Second)
					ok(t, third(h.Fetch(ctx, "a:b", 0, work.call)))
				})
				if calls := work.calls.Load(); calls != 1 {
					t.Errorf("%d calls", calls)
				}
			})
		})
	})
}

// In a bubble a deadlock fails the test.
func TestFetch_InsideFetch_NeverWaitsInACircle(t *testing.T) {
	// nest fetches keys, each inside the one before.
	var nest func(ctx context.Context, h *store.Handle, keys ...string) ([]byte, error)
	nest = func(ctx context.Context, h *store.Handle, keys ...string) ([]byte, error) {
		if len(keys) == 0 {
			return num(1), nil
		}
		v, _, err := h.Fetch(ctx, keys[0], 0, func(ctx context.Context) ([]byte, error) {
			time.Sleep(time.Second) // until all have begun
			return nest(ctx, h, keys[1:]...)
		})
		return v, err
	}
	for _, chains := range [][][]string{
		{{"a:a", "a:a"}},
		{{"a:a", "a:b"}, {"a:b", "a:a"}},
		{{"a:a", "a:b", "a:c"}, {"a:b", "a:c", "a:a"}, {"a:c", "a:a", "a:b"}},
		{{"a:a", "a:a", "a:b"}, {"a:b", "a:b", "a:a"}, {"a:a"}, {"a:b"}},
	} {
		for _, shared := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				reg := fetching(t, newBackend())
				run := func(ctx context.Context, h *store.Handle, keys []string) {
					if v, err := nest(ctx, h, keys...); err != nil || string(v) != string(num(1)) {
						t.Errorf("%v: answered %x, %v", chains, v, err)
					}
				}
				if shared {
					unit(t, reg, func(ctx context.Context, h *store.Handle) {
						together(len(chains), func(i int) { run(ctx, h, chains[i]) })
					})
				} else {
					together(len(chains), func(i int) {
						unit(t, reg, func(ctx context.Context, h *store.Handle) { run(ctx, h, chains[i]) })
					})
				}
			})
		}
	}
}

// A function that does not pass its context on is known by its unit.
func TestFetch_InsideFetchWithTheOuterContext_DoesNotWaitForAnotherUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := fetching(t, newBackend())
		keys := []string{"a:a", "a:b"}
		together(2, func(i int) {
			unit(t, reg, func(ctx context.Context, h *store.Handle) {
				ok(t, third(h.Fetch(ctx, keys[i], 0, func(context.Context) ([]byte, error) {
					time.Sleep(time.Second)
					v, _, err := h.Fetch(ctx, keys[1-i], 0, returning(num(1), nil).call)
					return v, err
				})))
			})
		})
	})
}

// Stores that share a connection share its entries, and what is computed for them.
func TestFetch_ThroughTwoStoresOfOneConnection_ComputesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.connection = "shared"
		reg := fetching(t, b)
		define(t, reg, "other", store.Definition{Open: b.opener()})
		define(t, reg, "apart", store.Definition{Open: b.opener(), Prefix: "pre"})
		work := &computation{fn: func(context.Context) ([]byte, error) {
			time.Sleep(time.Second)
			return num(1), nil
		}}
		ids := []string{"s", "other", "apart"}
		together(3, func(i int) {
			ctx, u := reg.Begin(context.Background(), "")
			defer u.End()
			ok(t, third(acquire(t, ctx, ids[i]).Fetch(ctx, "a:b", 0, work.call)))
		})
		if calls := work.calls.Load(); calls != 2 {
			t.Errorf("%d calls, want one for each of two entries", calls)
		}
	})
}

func TestFetch_IsObservedOnce(t *testing.T) {
	r := &recorder{}
	ctx, h := openStore(t, newBackend(), store.Definition{}, &store.Options{Observe: r.observe})
	mine := errors.New("mine")
	for _, c := range []struct {
		key  string
		work *computation
		hit  bool
		err  error
	}{
		{"a:b", returning(num(1), nil), false, nil}, {"a:b", returning(num(1), nil), true, nil}, {"a:c", returning(nil, mine), false, mine},
	} {
		_, _, _ = h.Fetch(ctx, c.key, 0, c.work.call)
		if e := r.last(); e.Op != store.OpFetch || e.Key != c.key || e.Hit != c.hit || e.Err != c.err {
			t.Errorf("observed %+v", e)
		}
	}
	if n := r.count(store.OpFetch); n != 2 {
		t.Errorf("%d events of success", n)
	}
}

func TestFetch_WithGoValues(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	for i := range 2 {
		v, hit, err := store.Fetch(ctx, h, "a:b", 0, func(context.Context) ([]string, error) { return []string{"x", "y"}, nil })
		if err != nil || hit != (i > 0) || len(v) != 2 || v[1] != "y" {
			t.Errorf("answered %v, %v, %v", v, hit, err)
		}
	}
	_, _, err := store.Fetch(ctx, h, "a:b", 0, func(context.Context) (int, error) { return 1, nil })
	kindIs(t, err, "invalid")
	_, _, err = store.Fetch(ctx, h, "a:c", 0, func(context.Context) (func(), error) { return func() {}, nil })
	kindIs(t, err, "invalid")
	mine := errors.New("mine")
	if _, _, err = store.Fetch(ctx, h, "a:c", 0, func(context.Context) (int, error) { return 1, mine }); !bare(err, mine) {
		t.Errorf("answered %v", err)
	}
	if _, exists := b.entry("a:c"); exists {
		t.Error("stored what was not computed")
	}
}
