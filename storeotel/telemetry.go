package storeotel

import (
	"cmp"
	"context"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/luastore/store"
)

// scope names the instrumentation to the providers.
const scope = "github.com/luastore/store/storeotel"

// Defaults of [Options].
const (
	DefaultMaxStores = 1000
	DefaultSystem    = "luastore"
)

// Options configure a [Telemetry]. Nil means the defaults.
type Options struct {
	// MeterProvider takes the metrics. One of the SDK keeps 2,000 attribute sets for each instrument unless told otherwise
	// (metric.WithCardinalityLimit), which some 100 busy stores fill. Default: the global one, [otel.GetMeterProvider].
	MeterProvider metric.MeterProvider
	// TracerProvider takes the spans. Default: none, and no spans are made.
	TracerProvider trace.TracerProvider
	// System returns db.system.name for a store, such as "redis" or "postgresql": the event does not tell, so that only the host
	// knows. It is called when a store is first seen, and its answer holds from then on, also when the store is replaced; several
	// goroutines may call it at once; it must not call into the registry. "" means [DefaultSystem]. Default: that for every store.
	System func(store string) string
	// MaxStores is how many stores get attributes of their own, in the order in which they are seen; those that come later share
	// "_other", and so do ids over 128 bytes. Default: [DefaultMaxStores].
	MaxStores int
}

// Telemetry records events of registries. Its methods are safe for concurrent use.
type Telemetry struct {
	instruments
	tracer trace.Tracer // nil without spans
	stores *stores
	index  map[store.Op]int // of operations; not changed any more
}

// New returns telemetry that records through the providers of o. Several registries may share it. It holds nothing that must be closed:
// what is measured belongs to the providers. A negative MaxStores is a [store.ErrInvalid].
func New(o *Options) (*Telemetry, error) {
	if o == nil {
		o = &Options{}
	}
	if o.MaxStores < 0 {
		return nil, store.Errorf(store.ErrInvalid, "storeotel: invalid MaxStores %d: want how many stores get labels of their own, or 0 for %d",
			o.MaxStores, DefaultMaxStores)
	}
	provider := o.MeterProvider
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	in, err := newInstruments(provider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)))
	if err != nil {
		return nil, fmt.Errorf("storeotel: create instruments: %w", err)
	}
	t := &Telemetry{instruments: in, stores: newStores(cmp.Or(o.MaxStores, DefaultMaxStores), o.System), index: map[store.Op]int{}}
	for i, op := range operations {
		t.index[op.op] = i
	}
	if o.TracerProvider != nil {
		t.tracer = o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	}
	return t, nil
}

// Observe records one event: it is for [store.Options].Observe. An event of an operation that package store does not know is ignored.
func (t *Telemetry) Observe(ctx context.Context, e store.Event) {
	i, known := t.index[e.Op]
	if !known {
		return
	}
	l := t.stores.of(&e)
	kind := failure(e.Err)
	if t.tracer == nil || !operations[i].traced() || !inTrace(ctx) {
		t.record(ctx, &e, l, i, kind)
		return
	}
	ctx, end := t.start(ctx, &e, l, operations[i], kind)
	t.record(ctx, &e, l, i, kind) // in the context of the span, which exemplars then point to
	end()
}

// failure returns the kind of an error, "" for none. A miss is none.
func failure(err error) string {
	if kind := store.Kind(err); kind != missed {
		return kind
	}
	return ""
}

// missed is the kind of [store.ErrNotFound].
const missed = "not_found"

// record adds one event to the metrics. i is the place of its operation.
func (t *Telemetry) record(ctx context.Context, e *store.Event, l *label, i int, kind string) {
	s := l.series(i)
	o := s.outcome(kind)
	if kind != "" {
		t.errors.Add(ctx, 1, o.add...)
	}
	if operations[i].life {
		t.live(ctx, e.Op, l, kind)
		return
	}
	t.duration.Record(ctx, e.Duration.Seconds(), o.record...)
	if e.PeekHits > 0 {
		t.near.Add(ctx, int64(e.PeekHits), s.hit.near...)
	}
	if e.PeekMisses > 0 {
		t.near.Add(ctx, int64(e.PeekMisses), s.miss.near...)
	}
	if kind == "" {
		t.answer(ctx, e, s)
	}
}

// answer records what an operation that did not fail has found and moved.
func (t *Telemetry) answer(ctx context.Context, e *store.Event, s *series) {
	a := &s.miss
	if e.Hit {
		a = &s.hit
	}
	if s.lookup {
		t.lookups.Add(ctx, 1, a.lookup...)
	}
	if e.Bytes > 0 {
		t.io.Record(ctx, int64(e.Bytes), a.io...)
	}
	if s.batch {
		t.batches.Record(ctx, int64(e.Keys), s.done.record...)
	}
}

// live records one event in the life of a store.
func (t *Telemetry) live(ctx context.Context, op store.Op, l *label, kind string) {
	switch op {
	case store.OpOpen:
		t.opens.Add(ctx, 1, l.life.outcome(kind).add...)
		if kind == "" {
			t.connections.Add(ctx, 1, l.life.done.add...)
		}
	case store.OpClose:
		t.closes.Add(ctx, 1, l.life.outcome(kind).add...)
		t.connections.Add(ctx, -1, l.life.done.add...) // one that failed to close is not open any more
	case store.OpAcquire:
		if kind == "" {
			t.leases.Add(ctx, 1, l.life.done.add...)
		}
	case store.OpRelease:
		t.leases.Add(ctx, -1, l.life.done.add...)
	}
}
