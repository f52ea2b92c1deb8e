package storeotel

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
)

// instruments are what is recorded on; package storeotel tells what each means.
type instruments struct {
	duration    metric.Float64Histogram
	lookups     metric.Int64Counter
	near        metric.Int64Counter
	io          metric.Int64Histogram
	batches     metric.Int64Histogram
	errors      metric.Int64Counter
	opens       metric.Int64Counter
	closes      metric.Int64Counter
	connections metric.Int64UpDownCounter
	leases      metric.Int64UpDownCounter
}

// newInstruments makes all instruments, and reports every one that a meter refuses.
func newInstruments(m metric.Meter) (instruments, error) {
	b := builder{meter: m}
	in := instruments{
		duration:    b.duration(),
		lookups:     b.counter("luastore.store.lookups", "{lookup}", "Lookups of one key, by whether they found an entry."),
		near:        b.counter("luastore.store.near.lookups", "{lookup}", "Keys looked for in the near cache of a store, by whether they were there."),
		io:          b.histogram("luastore.store.io", "By", "Bytes of values that one operation read or wrote.", ioBounds),
		batches:     b.histogram("luastore.store.batch.size", "{key}", "Keys of one batch.", batchBounds),
		errors:      b.counter("luastore.store.errors", "{error}", "Operations that failed."),
		opens:       b.counter("luastore.store.opens", "{open}", "Attempts to open a connection of a store."),
		closes:      b.counter("luastore.store.closes", "{close}", "Connections of stores that were closed."),
		connections: b.gauge("luastore.store.connections", "{connection}", "Connections of stores that are open."),
		leases:      b.gauge("luastore.store.leases", "{lease}", "Leases on stores that units of work hold."),
	}
	return in, errors.Join(b.errs...)
}

// Bounds of the buckets of histograms. Those of the duration are what the semantic conventions say.
var (
	durationBounds = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}
	ioBounds       = []float64{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}
	batchBounds    = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
)

// A builder makes instruments and collects what fails.
type builder struct {
	meter metric.Meter
	errs  []error
}

func (b *builder) duration() metric.Float64Histogram {
	h, err := dbconv.NewClientOperationDuration(b.meter, metric.WithExplicitBucketBoundaries(durationBounds...))
	b.note(err)
	return h.Inst()
}

func (b *builder) counter(name, unit, description string) metric.Int64Counter {
	c, err := b.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.note(err)
	return c
}

func (b *builder) gauge(name, unit, description string) metric.Int64UpDownCounter {
	c, err := b.meter.Int64UpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.note(err)
	return c
}

func (b *builder) histogram(name, unit, description string, bounds []float64) metric.Int64Histogram {
	h, err := b.meter.Int64Histogram(name, metric.WithUnit(unit), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(bounds...))
	b.note(err)
	return h
}

func (b *builder) note(err error) {
	if err != nil {
		b.errs = append(b.errs, err)
	}
}
