package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
)

// openMemory returns a handle on a store in memory with one entry, a:hit, and a bare driver that holds the same.
func openMemory(b *testing.B, d store.Definition, o *store.Options) (context.Context, *store.Handle, store.Driver) {
	b.Helper()
	reg := newRegistry(b, o)
	d.Open = memstore.Opener(nil)
	define(b, reg, "s", d)
	ctx, _ := begin(b, reg)
	h := acquire(b, ctx, "s")
	driver, err := memstore.Open(nil)
	ok(b, err)
	b.Cleanup(func() { check(b, driver.Close()) })
	ok(b, h.Set(ctx, "a:hit", str("0123456789abcdef"), 0))
	ok(b, driver.Set(ctx, "a:hit", str("0123456789abcdef"), 0))
	return ctx, h, driver
}

// beside measures f, and bare in short turns between, and reports how many times as long f takes.
func beside(b *testing.B, f, bare func()) {
	const turn = 2000
	var took, bareTook time.Duration
	for i := 0; b.Loop(); i++ {
		if i%turn > 0 {
			f()
			continue
		}
		b.StopTimer()
		bareTook += clocked(turn, bare)
		took += clocked(turn, f)
		b.StartTimer()
		f()
	}
	b.ReportMetric(float64(took)/float64(bareTook), "x-bare")
}

// clocked returns how long n calls take.
func clocked(n int, f func()) time.Duration {
	begin := time.Now()
	for range n {
		f()
	}
	return time.Since(begin)
}

func BenchmarkHandle(b *testing.B) {
	v := str("0123456789abcdef")
	for _, c := range []struct {
		name string
		def  store.Definition
		o    *store.Options
	}{
		{"plain", store.Definition{}, nil},
		{"prefix", store.Definition{Prefix: "tenant"}, nil},
		{"policy", store.Definition{}, &store.Options{Policy: func(context.Context, store.Access) error { return nil }}},
		{"observer", store.Definition{}, &store.Options{Observe: func(context.Context, store.Event) {}}},
		{"timeout", store.Definition{Timeout: time.Second}, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			for _, op := range []struct {
				name string
				f    func(ctx context.Context, h *store.Handle)
				bare func(ctx context.Context, d store.Driver)
			}{
				{
					"Get", func(ctx context.Context, h *store.Handle) { _, _ = h.Get(ctx, "a:hit") },
					func(ctx context.Context, d store.Driver) { _, _ = d.Get(ctx, "a:hit") },
				},
				{
					"Miss", func(ctx context.Context, h *store.Handle) { _, _ = h.Get(ctx, "a:miss") },
					func(ctx context.Context, d store.Driver) { _, _ = d.Get(ctx, "a:miss") },
				},
				{
					"Has", func(ctx context.Context, h *store.Handle) { _, _ = h.Has(ctx, "a:hit") },
					func(ctx context.Context, d store.Driver) { _, _ = d.Has(ctx, "a:hit") },
				},
				{
					"Set", func(ctx context.Context, h *store.Handle) { _ = h.Set(ctx, "a:hit", v, 0) },
					func(ctx context.Context, d store.Driver) { _ = d.Set(ctx, "a:hit", v, 0) },
				},
			} {
				b.Run(op.name, func(b *testing.B) {
					b.ReportAllocs()
					ctx, h, driver := openMemory(b, c.def, c.o)
					beside(b, func() { op.f(ctx, h) }, func() { op.bare(ctx, driver) })
				})
			}
		})
	}
}

// What the composed operations cost beside the ones that they are made of.
func BenchmarkComposed(b *testing.B) {
	v := str("0123456789abcdef")
	for _, op := range []struct {
		name string
		f    func(ctx context.Context, h *store.Handle)
		bare func(ctx context.Context, d store.Driver)
	}{
		{
			"Update/GetAndCompareAndSwap", func(ctx context.Context, h *store.Handle) {
				_, _ = h.Update(ctx, "a:hit", store.KeepTTL, nil, func([]byte) ([]byte, error) { return v, nil })
			},
			func(ctx context.Context, d store.Driver) {
				old, _ := d.Get(ctx, "a:hit")
				_, _ = d.CompareAndSwap(ctx, "a:hit", old, v, store.KeepTTL)
			},
		},
		{
			"FetchHit/Get", func(ctx context.Context, h *store.Handle) {
				_, _, _ = h.Fetch(ctx, "a:hit", 0, func(context.Context) ([]byte, error) { return v, nil })
			},
			func(ctx context.Context, d store.Driver) { _, _ = d.Get(ctx, "a:hit") },
		},
		{
			"SetIfVersionThatIsAnother/Get", func(ctx context.Context, h *store.Handle) {
				_, _ = h.SetIfVersion(ctx, "a:hit", v, "0123456789abcdef0123456789abcdef", 0)
			},
			func(ctx context.Context, d store.Driver) { _, _ = d.Get(ctx, "a:hit") },
		},
	} {
		b.Run(op.name, func(b *testing.B) {
			b.ReportAllocs()
			ctx, h, driver := openMemory(b, store.Definition{}, nil)
			beside(b, func() { op.f(ctx, h) }, func() { op.bare(ctx, driver) })
		})
	}
}

func BenchmarkUnit(b *testing.B) {
	reg := newRegistry(b, nil)
	define(b, reg, "s", store.Definition{Open: memstore.Opener(nil)})
	unit := func(ctx context.Context) {
		ctx, u := reg.Begin(ctx, "job")
		h, err := store.Get(ctx, "s")
		if err != nil {
			b.Fatal(err)
		}
		_ = h
		_ = u.End()
	}
	unit(b.Context())
	b.Run("BeginGetEnd", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			unit(b.Context())
		}
	})
	b.Run("BeginGetEnd/parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				unit(b.Context())
			}
		})
	})
	b.Run("GetAgain", func(b *testing.B) {
		b.ReportAllocs()
		ctx, _ := begin(b, reg)
		acquire(b, ctx, "s")
		for b.Loop() {
			_, _ = store.Get(ctx, "s")
		}
	})
}
