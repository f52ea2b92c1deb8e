package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// add1 is the function of an update that counts.
func add1(old []byte) ([]byte, error) {
	n, _ := value.ParseNumber(old)
	return num(n + 1), nil
}

func TestUpdate_WritesWhatTheFunctionReturns(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{Prefix: "pre", DefaultTTL: time.Minute}, nil)
	for want := 1.0; want <= 2; want++ {
		v, err := h.Update(ctx, "a:b", store.KeepTTL, nil, add1)
		if ok(t, err); string(v) != string(num(want)) {
			t.Errorf("returned %x, want %v", v, want)
		}
		if e, _ := b.entry("pre:a:b"); string(e.value) != string(num(want)) || e.ttl != time.Minute {
			t.Errorf("stored %v, want %v with the default ttl", e, want)
		}
	}
}

func TestUpdate_KeepsTheExpiryUnlessGivenOne(t *testing.T) {
	b := newBackend()
	b.put("a:b", num(1), time.Hour)
	ctx, h := openStore(t, b, store.Definition{DefaultTTL: time.Minute, MaxTTL: 2 * time.Hour}, nil)
	for _, c := range []struct{ ttl, want time.Duration }{
		{store.KeepTTL, time.Hour}, {2 * time.Hour, 2 * time.Hour}, {store.DefaultTTL, time.Minute},
	} {
		ok(t, second(h.Update(ctx, "a:b", c.ttl, nil, add1)))
		if e, _ := b.entry("a:b"); e.ttl != c.want {
			t.Errorf("ttl %v gave %v, want %v", c.ttl, e.ttl, c.want)
		}
	}
	calls := len(b.calls)
	for _, ttl := range []time.Duration{0, 3 * time.Hour, -5} {
		kindIs(t, second(h.Update(ctx, "a:b", ttl, nil, add1)), "invalid")
	}
	if len(b.calls) != calls {
		t.Error("a bad ttl reached the driver")
	}
}

func TestUpdate_ThatIsToRemove_Removes(t *testing.T) {
	b := newBackend()
	b.put("a:b", num(1), 0)
	ctx, h := openStore(t, b, store.Definition{}, nil)
	for range 2 { // the second finds nothing
		v, err := h.Update(ctx, "a:b", store.KeepTTL, nil, func([]byte) ([]byte, error) { return num(5), store.ErrRemove })
		if v != nil || err != nil {
			t.Errorf("answered %x, %v", v, err)
		}
		if _, exists := b.entry("a:b"); exists {
			t.Error("it is still there")
		}
	}
}

func TestUpdate_WithoutAValue_WritesNothing(t *testing.T) {
	b := newBackend()
	b.put("a:b", num(1), 0)
	ctx, h := openStore(t, b, store.Definition{}, nil)
	mine := errors.New("mine")
	for _, c := range []struct {
		name  string
		v     []byte
		err   error
		kind  string
		whole bool // the error is the function's own, as it is
	}{
		{"nothing", nil, nil, "aborted", false},
		{"an error", num(2), mine, "internal", true},
		{"what another store did not find", nil, store.ErrNotFound, "not_found", true},
		{"bytes that are no value", []byte{0xc1}, nil, "invalid", false},
		{"too many bytes", str(string(make([]byte, 2<<20))), nil, "too_large", false},
	} {
		v, err := h.Update(ctx, "a:b", store.KeepTTL, nil, func([]byte) ([]byte, error) { return c.v, c.err })
		kindIs(t, err, c.kind)
		if v != nil || c.whole && !bare(err, c.err) {
			t.Errorf("%s: answered %x, %v", c.name, v, err)
		}
		if e, _ := b.entry("a:b"); string(e.value) != string(num(1)) {
			t.Errorf("%s: wrote %x", c.name, e.value)
		}
	}
}

func TestUpdate_WhereOthersWrite_CallsTheFunctionAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		ctx, h := openStore(t, b, store.Definition{}, nil)
		seen := []float64{}
		v, err := h.Update(ctx, "a:b", store.KeepTTL, nil, func(old []byte) ([]byte, error) {
			n, _ := value.ParseNumber(old)
			if seen = append(seen, n); len(seen) < 4 {
				b.put("a:b", num(n+10), 0)
			}
			return num(n + 1), nil
		})
		if ok(t, err); string(v) != string(num(31)) || len(seen) != 4 {
			t.Errorf("answered %x after the function saw %v", v, seen)
		}
	})
}

func TestUpdate_WhereOthersAlwaysWin_IsAConflictAfterItsRetries(t *testing.T) {
	for _, c := range []struct {
		o    *store.UpdateOptions
		want int
	}{{nil, 1 + store.DefaultRetries}, {&store.UpdateOptions{}, 65}, {&store.UpdateOptions{Retries: 3}, 4}, {&store.UpdateOptions{Retries: -1}, 1}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackend()
			ctx, h := openStore(t, b, store.Definition{}, nil)
			calls := 0
			_, err := h.Update(ctx, "a:b", store.KeepTTL, c.o, func([]byte) ([]byte, error) {
				calls++
				b.put("a:b", num(float64(calls)), 0)
				return num(-1), nil
			})
			kindIs(t, err, "conflict")
			if calls != c.want {
				t.Errorf("options %v: %d calls, want %d", c.o, calls, c.want)
			}
			if e, _ := b.entry("a:b"); string(e.value) != string(num(float64(calls))) {
				t.Errorf("wrote %x over another's value", e.value)
			}
		})
	}
}

// Its pauses end with the caller's context, not with their own.
func TestUpdate_ObeysItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		ctx, h := openStore(t, b, store.Definition{}, nil)
		ctx, cancel := context.WithTimeout(ctx, 123*time.Millisecond)
		defer cancel()
		begin, calls := time.Now(), 0
		_, err := h.Update(ctx, "a:b", store.KeepTTL, &store.UpdateOptions{Retries: 1 << 20}, func([]byte) ([]byte, error) {
			calls++
			b.put("a:b", num(float64(calls)), 0)
			return num(-1), nil
		})
		kindIs(t, err, "timeout")
		if took := time.Since(begin); took != 123*time.Millisecond {
			t.Errorf("answered after %v", took)
		}
	})
}

// The timeout of the store is for the store: what the function takes does not count.
func TestUpdate_WithASlowFunction_HasTheWholeTimeoutForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, h := openStore(t, newBackend(), store.Definition{Timeout: time.Second}, nil)
		ok(t, second(h.Update(ctx, "a:b", store.KeepTTL, nil, func(old []byte) ([]byte, error) {
			time.Sleep(time.Minute)
			return add1(old)
		})))
	})
}

// quick updates a:b over and over, each time with a function that takes so long, until stop. It returns how often that was, and how long
// the longest update took.
func quick(t *testing.T, ctx context.Context, h *store.Handle, takes time.Duration) (stop func() (n int, longest time.Duration)) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	n, longest := 0, time.Duration(0)
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			begin := time.Now()
			_, err := h.Update(ctx, "a:b", store.KeepTTL, nil, func(old []byte) ([]byte, error) {
				time.Sleep(takes)
				return add1(old)
			})
			if ctx.Err() == nil {
				ok(t, err)
				n, longest = n+1, max(longest, time.Since(begin))
			}
		}
	}()
	return func() (int, time.Duration) {
		cancel()
		<-ended
		return n, longest
	}
}

// One that reads and writes more slowly than others who do nothing else would never be in time.
func TestUpdate_SlowerThanOthersOfItsProcess_IsLetPassInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		ctx, h := openStore(t, b, store.Definition{}, nil)
		stop := quick(t, ctx, h, time.Millisecond)
		for range 3 {
			tries := 0
			ok(t, second(h.Update(ctx, "a:b", store.KeepTTL, nil, func(old []byte) ([]byte, error) {
				tries++
				time.Sleep(20 * time.Millisecond)
				return add1(old)
			})))
			if most := store.DefaultRetries/2 + 2; tries > most {
				t.Errorf("%d tries, want at most %d", tries, most)
			}
		}
		if n, _ := stop(); n < 100 {
			t.Errorf("the other one came only %d times meanwhile", n)
		}
	})
}

// Nobody waits for a function that takes its time.
func TestUpdate_WithASlowFunction_HoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		ctx, h := openStore(t, b, store.Definition{}, nil)
		stop := quick(t, ctx, h, 10*time.Millisecond)
		begin := time.Now()
		kindIs(t, second(h.Update(ctx, "a:b", store.KeepTTL, nil, func(old []byte) ([]byte, error) {
			time.Sleep(time.Second)
			return add1(old)
		})), "conflict")
		took := time.Since(begin)
		n, longest := stop()
		if longest > 300*time.Millisecond {
			t.Errorf("the other one took %v", longest)
		}
		if most := took / (10 * time.Millisecond); n < int(most)*9/10 {
			t.Errorf("the other one came %d times in %v", n, took)
		}
	})
}

// Those who wait for their turn, or let one pass, obey their contexts, and one that ends by a panic leaves its turn to the next.
func TestUpdate_ThatWaitsForOthers_ObeysItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		ctx, h := openStore(t, b, store.Definition{}, nil)
		inTurn, goOn := make(chan struct{}), make(chan struct{})
		tries, ended := 0, make(chan any)
		go func() {
			defer func() { ended <- recover() }()
			_, _ = h.Update(ctx, "a:b", store.KeepTTL, nil, func([]byte) ([]byte, error) {
				if tries++; tries <= store.DefaultRetries/2 {
					b.put("a:b", num(float64(tries)), 0)
					return num(-1), nil
				}
				close(inTurn)
				<-goOn
				panic("mine")
			})
		}()
		<-inTurn
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		begin := time.Now()
		kindIs(t, second(h.Update(short, "a:b", store.KeepTTL, nil, add1)), "timeout")
		if took := time.Since(begin); took != 20*time.Millisecond {
			t.Errorf("with a deadline answered after %v", took)
		}
		begin = time.Now()
		ok(t, second(h.Update(ctx, "a:b", store.KeepTTL, nil, add1)))
		if took := time.Since(begin); took != 230*time.Millisecond {
			t.Errorf("without a deadline answered after %v, when the turn had lasted for %v", took, 20*time.Millisecond+took)
		}
		begin = time.Now()
		ok(t, second(h.Update(ctx, "a:b", store.KeepTTL, nil, add1)))
		if took := time.Since(begin); took != 0 {
			t.Errorf("after the end of the turn answered after %v", took)
		}
		begin = time.Now()
		ok(t, second(h.Update(ctx, "a:c", store.KeepTTL, nil, add1)))
		if took := time.Since(begin); took != 0 {
			t.Errorf("another entry was updated after %v", took)
		}
		close(goOn)
		if p := <-ended; p != "mine" {
			t.Errorf("recovered %v", p)
		}
		begin = time.Now()
		ok(t, second(h.Update(ctx, "a:b", store.KeepTTL, nil, add1)))
		if took := time.Since(begin); took != 0 {
			t.Errorf("after the panic answered after %v", took)
		}
	})
}

// Whoever holds a lock while a function of a user runs stops here for ever.
func TestUpdate_InsideItself_HoldsNoLock(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{}, nil)
		first := true
		v, err := h.Update(ctx, "a:b", store.KeepTTL, nil, func(old []byte) ([]byte, error) {
			if first {
				first = false
				ok(t, second(h.Update(ctx, "a:b", store.KeepTTL, nil, add1)))
				ok(t, second(h.Incr(ctx, "a:b", 10, 0, 0)))
			}
			return add1(old)
		})
		if ok(t, err); string(v) != string(num(12)) {
			t.Errorf("answered %x, want 12", v)
		}
	})
}

func TestUpdate_ThatPanics_WritesNothingAndIsObserved(t *testing.T) {
	b := newBackend()
	r := &recorder{}
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{Observe: r.observe})
	func() {
		defer func() {
			if p := recover(); p != "mine" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = h.Update(ctx, "a:b", store.KeepTTL, nil, func([]byte) ([]byte, error) { panic("mine") })
	}()
	if _, exists := b.entry("a:b"); exists {
		t.Error("it wrote")
	}
	if e := r.last(); e.Op != store.OpUpdate || store.Kind(e.Err) != "aborted" {
		t.Errorf("observed %v", e)
	}
}

func TestUpdate_WhoseFunctionReleasesTheStore_AnswersReleased(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	v, err := h.Update(ctx, "a:b", store.KeepTTL, nil, func([]byte) ([]byte, error) {
		h.Release()
		return num(1), nil
	})
	if kindIs(t, err, "released"); v != nil {
		t.Errorf("returned %x, which was not written", v)
	}
	if _, exists := b.entry("a:b"); exists {
		t.Error("it wrote")
	}
}

func TestUpdate_WithGoValues(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, nil)
	type stock struct{ Left int }
	take := func(s stock, found bool) (stock, error) {
		switch {
		case !found:
			return stock{Left: 2}, nil
		case s.Left == 0:
			return s, store.ErrRemove
		}
		return stock{Left: s.Left - 1}, nil
	}
	for _, want := range []stock{{2}, {1}, {0}, {0}} {
		if got, err := store.Update(ctx, h, "a:b", store.KeepTTL, take); got != want || err != nil {
			t.Errorf("answered %v, %v; want %v", got, err, want)
		}
	}
	if _, exists := b.entry("a:b"); exists {
		t.Error("not removed")
	}
	b.put("a:b", str("no stock"), 0)
	_, err := store.Update(ctx, h, "a:b", store.KeepTTL, take)
	kindIs(t, err, "invalid")
	var e *store.Error
	if !errors.As(err, &e) || e.Key != "a:b" || e.Op != store.OpUpdate {
		t.Errorf("%v does not say where", err)
	}
	_, err = store.Update(ctx, h, "a:c", store.KeepTTL, func(func(), bool) (func(), error) { return func() {}, nil })
	kindIs(t, err, "invalid")
	if _, exists := b.entry("a:c"); exists {
		t.Error("stored a function")
	}
}
