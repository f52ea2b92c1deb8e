package storeotel_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storeotel"
)

// A host has a registry whose telemetry can be read.
type host struct {
	t         testing.TB
	reg       *store.Registry
	telemetry *storeotel.Telemetry
	reader    *sdkmetric.ManualReader
}

// newHost returns a host with stores in memory of any id, unless o.Default says otherwise.
func newHost(t testing.TB, telemetry storeotel.Options, o store.Options) *host {
	t.Helper()
	h := &host{t: t, reader: sdkmetric.NewManualReader()}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(h.reader), sdkmetric.WithCardinalityLimit(0))
	telemetry.MeterProvider = provider
	var err error
	h.telemetry, err = storeotel.New(&telemetry)
	ok(t, err)
	o.Observe = h.telemetry.Observe
	if o.Default == nil {
		o.Default = func(string) (store.Definition, bool) { return store.Definition{Open: memstore.Opener(nil)}, true }
	}
	h.reg = store.New(&o)
	t.Cleanup(func() { ok(t, h.reg.Close(context.Background())) })
	return h
}

// unit runs fn as one unit, with a handle on a store.
func (h *host) unit(id string, fn func(ctx context.Context, s *store.Handle)) {
	h.t.Helper()
	ok(h.t, h.reg.DoNamed(h.t.Context(), "unit", func(ctx context.Context) error {
		s, err := store.Get(ctx, id)
		if err == nil {
			fn(ctx, s)
		}
		return err
	}))
}

// lines returns what was measured, a line for each time series: of a histogram the count, and the sum where that is no time.
func (h *host) lines() []string {
	h.t.Helper()
	var all metricdata.ResourceMetrics
	ok(h.t, h.reader.Collect(context.Background(), &all))
	var lines []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			lines = append(lines, series(h.t, m)...)
		}
	}
	slices.Sort(lines)
	return lines
}

func series(t testing.TB, m metricdata.Metrics) []string {
	t.Helper()
	var lines []string
	add := func(set attribute.Set, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%s{%s} %s", m.Name, set.Encoded(attribute.DefaultEncoder()), fmt.Sprintf(format, args...)))
	}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, "%d", p.Value)
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, "%d of %d", p.Count, p.Sum)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, "%d", p.Count)
		}
	default:
		t.Errorf("%s holds %T", m.Name, data)
	}
	return lines
}

// of returns those of lines that begin with the name of a metric, without it.
func of(lines []string, name string) []string {
	var some []string
	for _, line := range lines {
		if rest, found := strings.CutPrefix(line, name+"{"); found {
			some = append(some, "{"+rest)
		}
	}
	return some
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// numberOf returns the stored form of a small number, of one byte.
func numberOf(n byte) []byte { return []byte{n} }

func TestTelemetry_OneUnit_IsMeasured(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{})
	h.unit("cache", func(ctx context.Context, s *store.Handle) {
		ok(t, s.Set(ctx, "a:b", numberOf(1), 0))
		_, err := s.Get(ctx, "a:b")
		ok(t, err)
		for range 2 {
			_, _ = s.Get(ctx, "a:missing")
		}
		_, _ = s.Get(ctx, "not a key")
		_, err = s.GetMany(ctx, []string{"a:b", "a:c", "a:d"})
		ok(t, err)
		_, _, err = s.Fetch(ctx, "a:f", 0, func(context.Context) ([]byte, error) { return numberOf(2), nil })
		ok(t, err)
		same(t, "leases of a unit", of(h.lines(), "luastore.store.leases"), []string{"{db.namespace=cache,db.system.name=luastore} 1"})
		same(t, "connections", of(h.lines(), "luastore.store.connections"), []string{"{db.namespace=cache,db.system.name=luastore} 1"})
	})
	ok(t, h.reg.Close(t.Context()))
	same(t, "measured", h.lines(), []string{
		"db.client.operation.duration{db.namespace=cache,db.operation.name=fetch,db.system.name=luastore} 1",
		"db.client.operation.duration{db.namespace=cache,db.operation.name=get,db.system.name=luastore,error.type=invalid} 1",
		"db.client.operation.duration{db.namespace=cache,db.operation.name=get,db.system.name=luastore} 3",
		"db.client.operation.duration{db.namespace=cache,db.operation.name=get_many,db.system.name=luastore} 1",
		"db.client.operation.duration{db.namespace=cache,db.operation.name=set,db.system.name=luastore} 1",
		"luastore.store.batch.size{db.namespace=cache,db.operation.name=get_many,db.system.name=luastore} 1 of 3",
		"luastore.store.closes{db.namespace=cache,db.system.name=luastore} 1",
		"luastore.store.connections{db.namespace=cache,db.system.name=luastore} 0",
		"luastore.store.errors{db.namespace=cache,db.operation.name=get,db.system.name=luastore,error.type=invalid} 1",
		"luastore.store.io{db.namespace=cache,db.operation.name=fetch,db.system.name=luastore,luastore.io.direction=write} 1 of 1",
		"luastore.store.io{db.namespace=cache,db.operation.name=get,db.system.name=luastore,luastore.io.direction=read} 1 of 1",
		"luastore.store.io{db.namespace=cache,db.operation.name=get_many,db.system.name=luastore,luastore.io.direction=read} 1 of 1",
		"luastore.store.io{db.namespace=cache,db.operation.name=set,db.system.name=luastore,luastore.io.direction=write} 1 of 1",
		"luastore.store.leases{db.namespace=cache,db.system.name=luastore} 0",
		"luastore.store.lookups{db.namespace=cache,db.operation.name=fetch,db.system.name=luastore,luastore.hit=false} 1",
		"luastore.store.lookups{db.namespace=cache,db.operation.name=get,db.system.name=luastore,luastore.hit=false} 2",
		"luastore.store.lookups{db.namespace=cache,db.operation.name=get,db.system.name=luastore,luastore.hit=true} 1",
		"luastore.store.opens{db.namespace=cache,db.system.name=luastore} 1",
	})
}

func TestTelemetry_EachEvent_IsMeasuredAsItsOperationIs(t *testing.T) {
	lookups := []store.Op{store.OpGet, store.OpEntry, store.OpTTL, store.OpHas, store.OpFetch}
	batches := []store.Op{store.OpGetMany, store.OpSetMany, store.OpDeleteMany}
	life := []store.Op{store.OpOpen, store.OpClose, store.OpAcquire, store.OpRelease}
	reads := []store.Op{store.OpGet, store.OpEntry, store.OpTTL, store.OpHas, store.OpGetMany, store.OpList}
	for _, op := range allOps(t) {
		for _, hit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s hit=%v", op, hit), func(t *testing.T) {
				h := newHost(t, storeotel.Options{}, store.Options{})
				h.telemetry.Observe(t.Context(), store.Event{Store: "s", Op: op, Keys: 2, Bytes: 10, Hit: hit, Duration: time.Second})
				lines := h.lines()
				base := fmt.Sprintf("{db.namespace=s,db.operation.name=%s,db.system.name=luastore", op)
				expect := func(name, want string, is bool) {
					t.Helper()
					var all []string
					if is {
						all = []string{base + want}
					}
					same(t, name, of(lines, name), all)
				}
				direction := "write"
				if slices.Contains(reads, op) || op == store.OpFetch && hit {
					direction = "read"
				}
				onEntries := !slices.Contains(life, op)
				expect("db.client.operation.duration", "} 1", onEntries)
				expect("luastore.store.io", ",luastore.io.direction="+direction+"} 1 of 10", onEntries)
				expect("luastore.store.lookups", fmt.Sprintf(",luastore.hit=%v} 1", hit), slices.Contains(lookups, op))
				expect("luastore.store.batch.size", "} 1 of 2", slices.Contains(batches, op))
				expect("luastore.store.errors", "", false)
			})
		}
	}
}

// allOps returns every operation that package store has, from its source: one that is added must not go unmeasured.
func allOps(t *testing.T) []store.Op {
	t.Helper()
	source, err := os.ReadFile("../event.go")
	ok(t, err)
	var ops []store.Op
	for _, match := range regexp.MustCompile(`(?m)^\tOp\w+ +Op = "(\w+)"`).FindAllSubmatch(source, -1) {
		ops = append(ops, store.Op(match[1]))
	}
	if len(ops) < 19 {
		t.Fatalf("only %d operations found: %v", len(ops), ops)
	}
	return ops
}

func TestTelemetry_UnknownOperation_IsIgnored(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{})
	h.telemetry.Observe(t.Context(), store.Event{Store: "s", Op: "rename"})
	same(t, "measured", h.lines(), nil)
}

func TestTelemetry_EveryKindOfError_IsCountedUnderItsName(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{})
	causes := map[string]error{
		"store_not_found": store.ErrStoreNotFound, "invalid": store.ErrInvalid, "denied": store.ErrDenied, "too_large": store.ErrTooLarge,
		"full": store.ErrFull, "conflict": store.ErrConflict, "aborted": store.ErrAborted, "released": store.ErrReleased,
		"unavailable": store.ErrUnavailable, "timeout": store.ErrTimeout, "canceled": store.ErrCanceled,
		"unknown_outcome": store.ErrUnknownOutcome, "corrupt": store.ErrCorrupt, "internal": errors.New("other"),
	}
	var duration, counted []string
	for _, kind := range slices.Sorted(slices.Values(store.Kinds())) {
		if kind == "not_found" {
			continue
		}
		if causes[kind] == nil {
			t.Fatalf("the test knows no error of kind %q", kind)
		}
		for range 2 {
			h.telemetry.Observe(t.Context(), store.Event{Store: "s", Op: store.OpGet, Keys: 1, Bytes: 7, Err: causes[kind]})
		}
		line := fmt.Sprintf("{db.namespace=s,db.operation.name=get,db.system.name=luastore,error.type=%s} 2", kind)
		duration, counted = append(duration, line), append(counted, line)
	}
	lines := h.lines()
	same(t, "durations", of(lines, "db.client.operation.duration"), duration)
	same(t, "errors", of(lines, "luastore.store.errors"), counted)
	same(t, "lookups", of(lines, "luastore.store.lookups"), nil)
	same(t, "bytes", of(lines, "luastore.store.io"), nil)
}

func TestTelemetry_StoreThatFailsToOpen_IsCountedUnderItsName(t *testing.T) {
	down := store.Opener{Open: func(context.Context) (store.Driver, error) { return nil, errors.New("connection refused") }}
	h := newHost(t, storeotel.Options{}, store.Options{Default: func(string) (store.Definition, bool) {
		return store.Definition{Open: down}, true
	}})
	err := h.reg.Do(t.Context(), func(ctx context.Context) error { _, err := store.Get(ctx, "db"); return err })
	if store.Kind(err) != "unavailable" {
		t.Fatal(err)
	}
	same(t, "measured", h.lines(), []string{
		"luastore.store.errors{db.namespace=db,db.operation.name=acquire,db.system.name=luastore,error.type=unavailable} 1",
		"luastore.store.errors{db.namespace=db,db.operation.name=open,db.system.name=luastore,error.type=unavailable} 1",
		"luastore.store.opens{db.namespace=db,db.system.name=luastore,error.type=unavailable} 1",
	})
}

func TestTelemetry_StoreThatTakesTooLongToOpen_IsCountedUnderItsName(t *testing.T) {
	opening := make(chan struct{})
	slow := store.Opener{Open: func(context.Context) (store.Driver, error) { <-opening; return memstore.Open(nil) }}
	h := newHost(t, storeotel.Options{}, store.Options{Default: func(string) (store.Definition, bool) {
		return store.Definition{Open: slow}, true
	}})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	err := h.reg.Do(ctx, func(ctx context.Context) error { _, err := store.Get(ctx, "db"); return err })
	if store.Kind(err) != "canceled" {
		t.Fatal(err)
	}
	same(t, "measured", h.lines(), []string{
		"luastore.store.errors{db.namespace=db,db.operation.name=acquire,db.system.name=luastore,error.type=canceled} 1",
	})
	close(opening)
}

func TestTelemetry_StoreThatFailsToClose_IsNotOpenAnyMore(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{})
	h.telemetry.Observe(t.Context(), store.Event{Store: "s", Op: store.OpOpen})
	h.telemetry.Observe(t.Context(), store.Event{Store: "s", Op: store.OpClose, Err: store.ErrTimeout})
	same(t, "measured", h.lines(), []string{
		"luastore.store.closes{db.namespace=s,db.system.name=luastore,error.type=timeout} 1",
		"luastore.store.connections{db.namespace=s,db.system.name=luastore} 0",
		"luastore.store.errors{db.namespace=s,db.operation.name=close,db.system.name=luastore,error.type=timeout} 1",
		"luastore.store.opens{db.namespace=s,db.system.name=luastore} 1",
	})
}

func TestTelemetry_ValueThatGoDoesNotTake_IsAnErrorOfItsOwn(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{})
	h.unit("s", func(ctx context.Context, s *store.Handle) {
		ok(t, store.Save(ctx, s, "a:b", "text", 0))
		if _, err := store.Load[int](ctx, s, "a:b"); store.Kind(err) != "invalid" {
			t.Error(err)
		}
	})
	same(t, "durations of get", slices.DeleteFunc(of(h.lines(), "db.client.operation.duration"), func(line string) bool {
		return strings.Contains(line, "=set")
	}), []string{
		"{db.namespace=s,db.operation.name=get,db.system.name=luastore,error.type=invalid} 1",
		"{db.namespace=s,db.operation.name=get,db.system.name=luastore} 1",
	})
}

func TestTelemetry_Labels_HoldNothingOfScriptsOrData(t *testing.T) {
	secrets := []string{"ns-secret", "key-secret", "prefix-secret", "value-secret", "unit-secret", "policy-secret", "own-secret"}
	h := newHost(t, storeotel.Options{}, store.Options{
		Default: func(string) (store.Definition, bool) {
			return store.Definition{Open: memstore.Opener(nil), Prefix: "prefix-secret"}, true
		},
		Policy: func(_ context.Context, a store.Access) error {
			if a.Op == store.OpDelete {
				return errors.New("policy-secret")
			}
			return nil
		},
	})
	const key = "ns-secret:key-secret"
	ok(t, h.reg.DoNamed(t.Context(), "unit-secret", func(ctx context.Context) error {
		s, err := store.Get(ctx, "s")
		ok(t, err)
		ok(t, store.Save(ctx, s, key, "value-secret", 0))
		_, err = s.Get(ctx, key)
		ok(t, err)
		_, _ = s.Delete(ctx, key)
		_, _ = s.Get(ctx, "key-secret without a colon")
		_, _ = s.List(ctx, "ns-secret:", "", 0)
		_, _, _ = s.Fetch(ctx, "ns-secret:other", 0, func(context.Context) ([]byte, error) { return nil, errors.New("own-secret") })
		return nil
	}))
	all := strings.Join(h.lines(), "\n")
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			t.Errorf("%s was measured:\n%s", secret, all)
		}
	}
	if n := len(of(h.lines(), "luastore.store.errors")); n != 3 {
		t.Errorf("%d series of errors, want denied, invalid and internal:\n%s", n, all)
	}
}

func TestTelemetry_Durations_FallIntoTheBucketsOfTheConventions(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{})
	h.telemetry.Observe(t.Context(), store.Event{Store: "s", Op: store.OpGet, Duration: 2 * time.Millisecond})
	var all metricdata.ResourceMetrics
	ok(t, h.reader.Collect(t.Context(), &all))
	m := all.ScopeMetrics[0].Metrics[0]
	p := m.Data.(metricdata.Histogram[float64]).DataPoints[0]
	if want := []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}; !slices.Equal(p.Bounds, want) || p.BucketCounts[1] != 1 {
		t.Errorf("bounds %v, counts %v; want %v and one in the second", p.Bounds, p.BucketCounts, want)
	}
	if m.Unit != "s" || p.Sum != 0.002 {
		t.Errorf("%v %s, want 0.002 s", p.Sum, m.Unit)
	}
}

func TestTelemetry_ManyAtOnce_AreAllCounted(t *testing.T) {
	const callers, calls = 8, 200
	h := newHost(t, storeotel.Options{MaxStores: 3}, store.Options{})
	var wait sync.WaitGroup
	for range callers {
		wait.Go(func() {
			for i := range calls {
				h.telemetry.Observe(t.Context(), store.Event{Store: fmt.Sprint("s", i%6), Op: store.OpGet, Err: store.ErrDenied})
			}
		})
	}
	wait.Wait()
	total := 0
	for _, line := range of(h.lines(), "luastore.store.errors") {
		var n int
		if _, err := fmt.Sscan(line[strings.LastIndex(line, " "):], &n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if total != callers*calls {
		t.Errorf("%d errors were counted, want %d", total, callers*calls)
	}
}

func TestNew_NegativeMaxStores_IsInvalid(t *testing.T) {
	_, err := storeotel.New(&storeotel.Options{MaxStores: -1})
	if store.Kind(err) != "invalid" || !strings.Contains(err.Error(), "MaxStores -1") {
		t.Error(err)
	}
}

func TestNew_WithoutOptions_RecordsThroughTheGlobalProvider(t *testing.T) {
	telemetry, err := storeotel.New(nil)
	ok(t, err)
	telemetry.Observe(t.Context(), store.Event{Store: "s", Op: store.OpGet}) // there is none: nothing is to happen
}

// A refusingProvider gives meters that make no histograms.
type refusingProvider struct{ noop.MeterProvider }

type refusingMeter struct{ noop.Meter }

func (refusingProvider) Meter(string, ...metric.MeterOption) metric.Meter { return refusingMeter{} }

func (refusingMeter) Int64Histogram(name string, _ ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	return nil, fmt.Errorf("no histogram %s", name)
}

func TestNew_WhenAMeterRefuses_NamesTheInstruments(t *testing.T) {
	_, err := storeotel.New(&storeotel.Options{MeterProvider: refusingProvider{}})
	if err == nil || !strings.Contains(err.Error(), "luastore.store.io") || !strings.Contains(err.Error(), "luastore.store.batch.size") {
		t.Error(err)
	}
}
