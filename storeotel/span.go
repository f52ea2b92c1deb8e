package storeotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/luastore/store"
)

// inTrace reports whether the caller is part of a trace that somebody keeps: its span records, or was sampled elsewhere.
func inTrace(ctx context.Context) bool {
	span := trace.SpanFromContext(ctx)
	return span.IsRecording() || span.SpanContext().IsSampled()
}

// start begins a span for an event, as long ago as the operation began, and returns its context and what ends it now.
func (t *Telemetry) start(ctx context.Context, e *store.Event, l *label, op operation, kind string) (_ context.Context, end func()) {
	now := time.Now()
	ctx, span := t.tracer.Start(ctx, string(op.op)+" "+l.name,
		trace.WithTimestamp(now.Add(-e.Duration)), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(describe(e, l, op, kind)...))
	if kind != "" {
		span.SetStatus(codes.Error, kind) // the text of an error may hold a key
	}
	return ctx, func() { span.End(trace.WithTimestamp(now)) }
}

// describe returns the attributes of the span of an event. That the store is named although it may have no label of its own makes no
// time series.
func describe(e *store.Event, l *label, op operation, kind string) []attribute.KeyValue {
	all := []attribute.KeyValue{
		semconv.DBSystemNameKey.String(l.system), semconv.DBNamespace(e.Store), semconv.DBOperationName(string(op.op)),
	}
	switch {
	case kind != "":
		all = append(all, semconv.ErrorTypeKey.String(kind))
	case op.lookup:
		all = append(all, hitKey.Bool(e.Hit))
	}
	if op.batch && e.Keys != 1 { // by the conventions one key makes no batch
		all = append(all, semconv.DBOperationBatchSize(e.Keys))
	}
	return all
}
