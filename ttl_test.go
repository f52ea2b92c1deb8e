package store_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

func TestSeconds(t *testing.T) {
	for _, c := range []struct {
		s    float64
		want time.Duration
	}{
		{0, 0}, {math.Copysign(0, -1), 0}, {math.Inf(1), 0}, {math.MaxFloat64, 0},
		{1, time.Second}, {0.5, 500 * time.Millisecond}, {1e-9, 1}, {1.5e-9, 2}, {1e-300, 1}, {math.SmallestNonzeroFloat64, 1},
		{1800, 30 * time.Minute}, {100 * 365 * 86400, store.MaxTTL},
	} {
		if got, err := store.Seconds(c.s); got != c.want || err != nil {
			t.Errorf("Seconds(%v) = %d, %v, want %d", c.s, got, err, c.want)
		}
	}
}

func TestSeconds_BadNumbers_AreInvalid(t *testing.T) {
	for _, s := range []float64{-1, -1e-300, math.Inf(-1), math.NaN(), 100*365*86400 + 1, math.MaxFloat64 / 2} {
		got, err := store.Seconds(s)
		if got != 0 || store.Kind(err) != "invalid" {
			t.Errorf("Seconds(%v) = %v, %v, want an invalid ttl", s, got, err)
		}
	}
}

// A driver that counts milliseconds rounds up: a nanosecond too many would be a millisecond too many.
func TestSeconds_WholeMilliseconds_StayWhole(t *testing.T) {
	for ms := int64(1); ms < 300_000; ms++ {
		want := time.Duration(ms) * time.Millisecond
		if got, err := store.Seconds(float64(ms) / 1000); got != want || err != nil {
			t.Fatalf("Seconds(%v) = %d, %v, want %d", float64(ms)/1000, got, err, want)
		}
	}
}

// writers are the operations that take a ttl, each on a key that is absent.
var writers = map[string]func(ctx context.Context, h *store.Handle, ttl time.Duration) error{
	"Set": func(ctx context.Context, h *store.Handle, ttl time.Duration) error {
		return h.Set(ctx, "a:b", num(1), ttl)
	},
	"SetMany": func(ctx context.Context, h *store.Handle, ttl time.Duration) error {
		return h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}}, ttl)
	},
	"CompareAndSwap": func(ctx context.Context, h *store.Handle, ttl time.Duration) error {
		_, err := h.CompareAndSwap(ctx, "a:b", nil, num(1), ttl)
		return err
	},
	"Incr": func(ctx context.Context, h *store.Handle, ttl time.Duration) error {
		_, err := h.Incr(ctx, "a:b", 1, 0, ttl)
		return err
	},
	"Touch": func(ctx context.Context, h *store.Handle, ttl time.Duration) error {
		err := h.Set(ctx, "a:b", num(1), time.Hour)
		if err == nil {
			_, err = h.Touch(ctx, "a:b", ttl)
		}
		return err
	},
	"Save": func(ctx context.Context, h *store.Handle, ttl time.Duration) error {
		return store.Save(ctx, h, "a:b", 1, ttl)
	},
}

func TestHandle_TTL_ReachesTheDriver(t *testing.T) {
	limited := store.Definition{DefaultTTL: time.Minute, MaxTTL: time.Hour}
	for _, c := range []struct {
		name string
		def  store.Definition
		ttl  time.Duration
		want time.Duration // of the entry that is created
	}{
		{"plain store, default", store.Definition{}, store.DefaultTTL, 0},
		{"plain store, never", store.Definition{}, 0, 0},
		{"given", store.Definition{}, time.Second, time.Second},
		{"shorter than the shortest", store.Definition{}, 1, time.Millisecond},
		{"longest of all", store.Definition{}, store.MaxTTL, store.MaxTTL},
		{"default", store.Definition{DefaultTTL: time.Minute}, store.DefaultTTL, time.Minute},
		{"never beats the default", store.Definition{DefaultTTL: time.Minute}, 0, 0},
		{"maximum is the default", store.Definition{MaxTTL: time.Hour}, store.DefaultTTL, time.Hour},
		{"the maximum", limited, time.Hour, time.Hour},
		{"default below the maximum", limited, store.DefaultTTL, time.Minute},
	} {
		for op, write := range writers {
			t.Run(c.name+"/"+op, func(t *testing.T) {
				both(t, func(t *testing.T, b *backend) {
					ctx, h := openStore(t, b, c.def, nil)
					ok(t, write(ctx, h, c.ttl))
					if e, _ := b.entry("a:b"); e.ttl != c.want {
						t.Errorf("the entry has ttl %v, want %v", e.ttl, c.want)
					}
				})
			})
		}
	}
}

func TestHandle_BadTTL_IsInvalidAndChangesNothing(t *testing.T) {
	limited := store.Definition{MaxTTL: time.Hour}
	for _, c := range []struct {
		def  store.Definition
		ttl  time.Duration
		text string
	}{
		{store.Definition{}, -3, "invalid ttl -3ns: want 0 or more"},
		{store.Definition{}, -time.Second, "invalid ttl -1s: want 0 or more"},
		{store.Definition{}, store.MaxTTL + 1, "invalid ttl 876000h0m0.000000001s: at most 100 years, or 0 for never"},
		{limited, 0, "invalid ttl never: this store keeps entries for at most 3600 seconds"},
		{limited, time.Hour + time.Second, "invalid ttl 3601: this store keeps entries for at most 3600 seconds"},
	} {
		for op, write := range writers {
			t.Run(fmt.Sprint(op, " ", c.ttl), func(t *testing.T) {
				both(t, func(t *testing.T, b *backend) {
					ctx, h := openStore(t, b, c.def, nil)
					err := write(ctx, h, c.ttl)
					kindIs(t, err, "invalid")
					if got := store.Message(err); got != c.text {
						t.Errorf("message %q, want %q", got, c.text)
					}
					if e, exists := b.entry("a:b"); exists && (op != "Touch" || e.ttl != time.Hour) {
						t.Errorf("there is an entry with ttl %v", e.ttl)
					}
				})
			})
		}
	}
}

func TestHandle_KeepTTL_KeepsThatOfAnEntryAndElseTakesTheDefault(t *testing.T) {
	for name, def := range map[string]store.Definition{
		"no default": {}, "default": {DefaultTTL: time.Minute}, "maximum": {MaxTTL: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, b *backend) {
				ctx, h := openStore(t, b, def, nil)
				want := def.DefaultTTL + def.MaxTTL
				ok(t, h.Set(ctx, "a:new", num(1), store.KeepTTL))
				_, err := h.CompareAndSwap(ctx, "a:swapped", nil, num(1), store.KeepTTL)
				ok(t, err)
				_, err = h.Incr(ctx, "a:counter", 1, 0, store.KeepTTL)
				ok(t, err)
				for _, key := range []string{"a:new", "a:swapped", "a:counter"} {
					if e, _ := b.entry(key); e.ttl != want {
						t.Errorf("absent %s got ttl %v, want %v", key, e.ttl, want)
					}
				}
				for _, key := range []string{"a:new", "a:swapped", "a:counter"} {
					b.put(key, num(1), 7*time.Second)
				}
				ok(t, h.Set(ctx, "a:new", num(2), store.KeepTTL))
				swapped, err := h.CompareAndSwap(ctx, "a:swapped", num(1), num(2), store.KeepTTL)
				ok(t, err)
				_, err = h.Incr(ctx, "a:counter", 1, 0, time.Second)
				ok(t, err)
				existed, err := h.Touch(ctx, "a:new", store.KeepTTL)
				ok(t, err)
				if !swapped || !existed {
					t.Errorf("swapped %v, existed %v", swapped, existed)
				}
				for _, key := range []string{"a:new", "a:swapped", "a:counter"} {
					if e, _ := b.entry(key); e.ttl != 7*time.Second || string(e.value) != string(num(2)) {
						t.Errorf("%s is %x with ttl %v, want 2 and 7s", key, e.value, e.ttl)
					}
				}
			})
		})
	}
}

func TestHandle_KeepTTLWhereOthersAlwaysWin_EndsAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.outrun()
		ctx, h := openStore(t, b, store.Definition{DefaultTTL: time.Minute}, nil)
		begin := time.Now()
		kindIs(t, h.Set(ctx, "a:b", str("x"), store.KeepTTL), "timeout")
		if took := time.Since(begin); took != store.DefaultTimeout {
			t.Errorf("gave up after %v", took)
		}
	})
}

func TestHandle_SetManyWithKeepTTL_IsInvalid(t *testing.T) {
	ctx, h := openStore(t, newBackend(), store.Definition{}, nil)
	kindIs(t, h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}}, store.KeepTTL), "invalid")
}

func TestHandle_SwapThatDeletes_NeedsNoTTL(t *testing.T) {
	b := newBackend()
	b.put("a:b", num(1), time.Second)
	ctx, h := openStore(t, b, store.Definition{MaxTTL: time.Hour}, nil)
	swapped, err := h.CompareAndSwap(ctx, "a:b", num(1), nil, 0)
	if !swapped || err != nil {
		t.Errorf("swapped %v, %v", swapped, err)
	}
	absent, err := h.CompareAndSwap(ctx, "a:b", nil, nil, 0)
	if !absent || err != nil {
		t.Errorf("absent %v, %v", absent, err)
	}
}
