package storeotel_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/luastore/store"
	"github.com/luastore/store/storeotel"
)

// A tracedHost is a host that keeps the spans of traces.
type tracedHost struct {
	*host
	spans  *tracetest.SpanRecorder
	tracer trace.Tracer
}

func newTracedHost(t *testing.T, sampler sdktrace.Sampler, o storeotel.Options) *tracedHost {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sampler))
	o.TracerProvider = provider
	return &tracedHost{newHost(t, o, store.Options{}), spans, provider.Tracer("test")}
}

// ended returns the spans that telemetry made, each as one line.
func (h *tracedHost) ended() []string {
	var lines []string
	for _, span := range h.spans.Ended() {
		if span.SpanKind() != trace.SpanKindClient {
			continue
		}
		set := attribute.NewSet(span.Attributes()...)
		line := span.Name() + " {" + set.Encoded(attribute.DefaultEncoder()) + "}"
		if status := span.Status(); status.Code != codes.Unset {
			line += " " + status.Code.String() + ": " + status.Description
		}
		lines = append(lines, line)
	}
	return lines
}

func TestSpans_OfOneUnit_TellItsOperations(t *testing.T) {
	h := newTracedHost(t, sdktrace.AlwaysSample(), storeotel.Options{})
	ctx, parent := h.tracer.Start(t.Context(), "request")
	ok(t, h.reg.DoNamed(ctx, "unit-secret", func(ctx context.Context) error {
		s, err := store.Get(ctx, "session_store")
		ok(t, err)
		_, _ = s.Get(ctx, "a:missing")
		ok(t, s.Set(ctx, "a:secret", numberOf(1), 0))
		_, err = s.Get(ctx, "a:secret")
		ok(t, err)
		_, _ = s.Get(ctx, "secret without a colon")
		_, err = s.GetMany(ctx, []string{"a:b", "a:c"})
		ok(t, err)
		_, err = s.GetMany(ctx, []string{"a:b"})
		return err
	}))
	parent.End()
	same(t, "spans", h.ended(), []string{
		"open session_store {db.namespace=session_store,db.operation.name=open,db.system.name=luastore}",
		"get session_store {db.namespace=session_store,db.operation.name=get,db.system.name=luastore,luastore.hit=false}",
		"set session_store {db.namespace=session_store,db.operation.name=set,db.system.name=luastore}",
		"get session_store {db.namespace=session_store,db.operation.name=get,db.system.name=luastore,luastore.hit=true}",
		"get session_store {db.namespace=session_store,db.operation.name=get,db.system.name=luastore,error.type=invalid} Error: invalid",
		"get_many session_store {db.namespace=session_store,db.operation.batch.size=2,db.operation.name=get_many,db.system.name=luastore}",
		"get_many session_store {db.namespace=session_store,db.operation.name=get_many,db.system.name=luastore}",
	})
	for _, span := range h.spans.Ended() {
		if span.SpanKind() == trace.SpanKindClient && span.Parent().SpanID() != parent.SpanContext().SpanID() {
			t.Errorf("the parent of %s is %v, want the request", span.Name(), span.Parent().SpanID())
		}
		if len(span.Events()) > 0 {
			t.Errorf("%s has events, which may hold keys: %v", span.Name(), span.Events())
		}
	}
}

func TestSpan_LastsAsLongAsTheOperation(t *testing.T) {
	h := newTracedHost(t, sdktrace.AlwaysSample(), storeotel.Options{})
	ctx, parent := h.tracer.Start(t.Context(), "request")
	defer parent.End()
	before := time.Now()
	h.telemetry.Observe(ctx, store.Event{Store: "s", Op: store.OpGet, Duration: 3 * time.Second})
	span := h.spans.Ended()[0]
	if d := span.EndTime().Sub(span.StartTime()); d != 3*time.Second {
		t.Errorf("the span lasts %v", d)
	}
	if span.EndTime().Before(before) || span.EndTime().After(time.Now()) {
		t.Errorf("the span ends at %v, want now", span.EndTime())
	}
}

func TestSpans_OutsideATraceThatIsKept_AreNotMade(t *testing.T) {
	remote := trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Remote: true}
	sampled := remote
	sampled.TraceFlags = trace.FlagsSampled
	parentBased := sdktrace.ParentBased(sdktrace.AlwaysSample())
	for name, c := range map[string]struct {
		sampler sdktrace.Sampler
		in      func(ctx context.Context, h *tracedHost) context.Context
		spans   int
	}{
		"no parent":              {parentBased, func(ctx context.Context, _ *tracedHost) context.Context { return ctx }, 0},
		"a parent that records":  {parentBased, started, 1},
		"a parent that does not": {sdktrace.NeverSample(), started, 0},
		"a remote parent": {parentBased, func(ctx context.Context, _ *tracedHost) context.Context {
			return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(remote))
		}, 0},
		"a remote parent that is kept": {parentBased, func(ctx context.Context, _ *tracedHost) context.Context {
			return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(sampled))
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTracedHost(t, c.sampler, storeotel.Options{})
			h.telemetry.Observe(c.in(t.Context(), h), store.Event{Store: "s", Op: store.OpGet})
			if n := len(h.ended()); n != c.spans {
				t.Errorf("%d spans, want %d", n, c.spans)
			}
			if n := len(of(h.lines(), "db.client.operation.duration")); n != 1 {
				t.Errorf("%d time series, want 1 whatever the trace", n)
			}
		})
	}
}

func started(ctx context.Context, h *tracedHost) context.Context {
	ctx, _ = h.tracer.Start(ctx, "request")
	return ctx
}

func TestSpans_OfLeases_AreNotMade(t *testing.T) {
	h := newTracedHost(t, sdktrace.AlwaysSample(), storeotel.Options{})
	ctx := started(t.Context(), h)
	for _, op := range []store.Op{store.OpAcquire, store.OpRelease, store.OpClose} {
		h.telemetry.Observe(ctx, store.Event{Store: "s", Op: op})
		h.telemetry.Observe(ctx, store.Event{Store: "s", Op: op, Err: store.ErrStoreNotFound})
	}
	same(t, "spans", h.ended(), nil)
}

func TestSpans_OfStoresThatShareALabel_NameTheirStoreInAnAttributeOnly(t *testing.T) {
	h := newTracedHost(t, sdktrace.AlwaysSample(), storeotel.Options{MaxStores: 1})
	ctx := started(t.Context(), h)
	for _, id := range []string{"a", "b"} {
		h.telemetry.Observe(ctx, store.Event{Store: id, Op: store.OpSet, Err: errors.New("secret")})
	}
	same(t, "spans", h.ended(), []string{
		"set a {db.namespace=a,db.operation.name=set,db.system.name=luastore,error.type=internal} Error: internal",
		"set _other {db.namespace=b,db.operation.name=set,db.system.name=luastore,error.type=internal} Error: internal",
	})
}

func TestExemplar_OfTheDuration_PointsToTheSpanOfTheOperation(t *testing.T) {
	h := newTracedHost(t, sdktrace.AlwaysSample(), storeotel.Options{})
	h.telemetry.Observe(started(t.Context(), h), store.Event{Store: "s", Op: store.OpGet, Duration: time.Second})
	var all metricdata.ResourceMetrics
	ok(t, h.reader.Collect(t.Context(), &all))
	p := all.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64]).DataPoints[0]
	if len(p.Exemplars) != 1 {
		t.Fatalf("%d exemplars, want 1", len(p.Exemplars))
	}
	if got, want := trace.SpanID(p.Exemplars[0].SpanID), h.spans.Ended()[0].SpanContext().SpanID(); got != want {
		t.Errorf("the exemplar points to %v, want %v", got, want)
	}
	if !strings.HasPrefix(h.ended()[0], "get s ") {
		t.Error(h.ended())
	}
}
