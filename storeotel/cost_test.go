package storeotel_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storeotel"
)

// A cost is of one call of a Handle, in three ways: as it is, with telemetry, and what the instruments and the clock that telemetry
// needs cost alone.
type cost struct {
	name                  string
	plain, observed, bare func()
}

// costs returns a hit, a miss, a read that is refused, and a write.
func costs(t testing.TB) []cost {
	t.Helper()
	ctx := t.Context()
	telemetry, err := storeotel.New(&storeotel.Options{MeterProvider: newProvider()})
	ok(t, err)
	plain, observed := openStore(t, nil), openStore(t, telemetry.Observe)
	b := newBareInstruments(t, newProvider().Meter("bare"))
	get := func(h *store.Handle, key string) func() { return func() { _, _ = h.Get(ctx, key) } }
	set := func(h *store.Handle) func() { return func() { _ = h.Set(ctx, "a:set", numberOf(1), 0) } }
	return []cost{
		{"hit", get(plain, "a:hit"), get(observed, "a:hit"), func() { b.hit(ctx) }},
		{"miss", get(plain, "a:miss"), get(observed, "a:miss"), func() { b.miss(ctx) }},
		{"denied", get(plain, "a:denied"), get(observed, "a:denied"), func() { b.failed(ctx) }},
		{"set", set(plain), set(observed), func() { b.set(ctx) }},
	}
}

func newProvider() metric.MeterProvider {
	return sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
}

// openStore returns a handle on a store in memory with one entry, a:hit. The policy denies a:denied, for that to be an error which
// takes no time in the driver.
func openStore(t testing.TB, observe func(context.Context, store.Event)) *store.Handle {
	t.Helper()
	reg := store.New(&store.Options{Observe: observe, Policy: func(_ context.Context, a store.Access) error {
		if a.Key == "a:denied" {
			return store.ErrDenied
		}
		return nil
	}})
	ok(t, reg.Define("s", store.Definition{Open: memstore.Opener(nil)}))
	ctx, unit := reg.Begin(context.Background(), "unit")
	t.Cleanup(func() {
		ok(t, unit.End())
		ok(t, reg.Close(context.Background()))
	})
	h, err := store.Get(ctx, "s")
	ok(t, err)
	ok(t, h.Set(ctx, "a:hit", numberOf(1), 0))
	return h
}

// bareInstruments record what telemetry records of one operation, as directly as it can be done, and read the clock as often as a registry
// with an observer does.
type bareInstruments struct {
	duration        metric.Float64Histogram
	lookups, errors metric.Int64Counter
	io              metric.Int64Histogram

	done, denied, read    []metric.RecordOption
	found, missed, refuse []metric.AddOption
}

func newBareInstruments(t testing.TB, m metric.Meter) *bareInstruments {
	t.Helper()
	var b bareInstruments
	errs := make([]error, 4)
	b.duration, errs[0] = m.Float64Histogram("duration", metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10))
	b.io, errs[1] = m.Int64Histogram("io", metric.WithExplicitBucketBoundaries(64, 256, 1<<10, 4<<10, 16<<10, 64<<10, 256<<10, 1<<20))
	b.lookups, errs[2] = m.Int64Counter("lookups")
	b.errors, errs[3] = m.Int64Counter("errors")
	for _, err := range errs {
		ok(t, err)
	}
	with := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(more,
			attribute.String("db.system.name", "luastore"), attribute.String("db.namespace", "s"), attribute.String("db.operation.name", "get"))...))
	}
	b.done, b.read = []metric.RecordOption{with()}, []metric.RecordOption{with(attribute.String("luastore.io.direction", "read"))}
	b.found = []metric.AddOption{with(attribute.Bool("luastore.hit", true))}
	b.missed = []metric.AddOption{with(attribute.Bool("luastore.hit", false))}
	denied := with(attribute.String("error.type", "denied"))
	b.denied, b.refuse = []metric.RecordOption{denied}, []metric.AddOption{denied}
	return &b
}

func (b *bareInstruments) hit(ctx context.Context) {
	begin := time.Now()
	b.duration.Record(ctx, time.Since(begin).Seconds(), b.done...)
	b.lookups.Add(ctx, 1, b.found...)
	b.io.Record(ctx, 1, b.read...)
}

func (b *bareInstruments) miss(ctx context.Context) {
	begin := time.Now()
	b.duration.Record(ctx, time.Since(begin).Seconds(), b.done...)
	b.lookups.Add(ctx, 1, b.missed...)
}

// set is what telemetry records of a write; its attributes are as many as those of a hit without the lookup.
func (b *bareInstruments) set(ctx context.Context) {
	begin := time.Now()
	b.duration.Record(ctx, time.Since(begin).Seconds(), b.done...)
	b.io.Record(ctx, 1, b.read...)
}

func (b *bareInstruments) failed(ctx context.Context) {
	begin := time.Now()
	b.duration.Record(ctx, time.Since(begin).Seconds(), b.denied...)
	b.errors.Add(ctx, 1, b.refuse...)
}

func TestTelemetry_AllocatesNoMoreThanTheInstruments(t *testing.T) {
	for _, r := range costs(t) {
		observed, plain := testing.AllocsPerRun(200, r.observed), testing.AllocsPerRun(200, r.plain)
		if bare := testing.AllocsPerRun(200, r.bare); observed-plain > bare {
			t.Errorf("%s: %v allocations with telemetry and %v without, the instruments alone make %v", r.name, observed, plain, bare)
		}
	}
}

// BenchmarkTelemetry reports what telemetry adds to one call, how that compares with the bare instruments and clock, and what they
// take: in turns, of which the median ratio counts, as a noisy machine slows all of one turn alike.
func BenchmarkTelemetry(b *testing.B) {
	for _, r := range costs(b) {
		b.Run(r.name, func(b *testing.B) {
			const turns, calls = 200, 2000
			for b.Loop() {
				var added, bare, ratios []float64
				for range turns {
					plain, observed, alone := clocked(calls, r.plain), clocked(calls, r.observed), clocked(calls, r.bare)
					added, bare = append(added, observed-plain), append(bare, alone)
					ratios = append(ratios, (observed-plain)/alone)
				}
				b.ReportMetric(median(added), "ns-added")
				b.ReportMetric(median(bare), "ns-bare")
				b.ReportMetric(median(ratios), "x-bare")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkTelemetry_Together is the hit of BenchmarkTelemetry by as many callers as there are processors.
func BenchmarkTelemetry_Together(b *testing.B) {
	r := costs(b)[0]
	for _, c := range []struct {
		name string
		f    func()
	}{{"plain", r.plain}, {"observed", r.observed}, {"bare", r.bare}} {
		b.Run(c.name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					c.f()
				}
			})
		})
	}
}

// clocked returns how many nanoseconds one of n calls takes.
func clocked(n int, f func()) float64 {
	begin := time.Now()
	for range n {
		f()
	}
	return float64(time.Since(begin)) / float64(n)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
