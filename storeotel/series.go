package storeotel

import (
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/luastore/store"
)

// Attributes of our own.
const (
	hitKey       = attribute.Key("luastore.hit")
	directionKey = attribute.Key("luastore.io.direction")
)

// An operation says what is recorded of an [store.Op].
type operation struct {
	op     store.Op
	lookup bool // of one key, so that Hit says whether there was an entry
	batch  bool
	near   bool // it looks in a near cache first, where the store has one
	life   bool // of a store: nothing is done on entries
}

// operations are all that there are. The place of each is its index in a label.
var operations = [...]operation{
	{op: store.OpGet, lookup: true, near: true},
	{op: store.OpEntry, lookup: true},
	{op: store.OpTTL, lookup: true},
	{op: store.OpHas, lookup: true, near: true},
	{op: store.OpFetch, lookup: true, near: true},
	{op: store.OpSet},
	{op: store.OpDelete},
	{op: store.OpTouch},
	{op: store.OpCompareAndSwap},
	{op: store.OpIncr},
	{op: store.OpUpdate},
	{op: store.OpGetMany, batch: true, near: true},
	{op: store.OpSetMany, batch: true},
	{op: store.OpDeleteMany, batch: true},
	{op: store.OpList, near: true},
	{op: store.OpOpen, life: true},
	{op: store.OpClose, life: true},
	{op: store.OpAcquire, life: true},
	{op: store.OpRelease, life: true},
}

// traced reports whether spans show the operation: of the life of a store only what takes time on behalf of a caller.
func (o operation) traced() bool { return !o.life || o.op == store.OpOpen }

// direction returns where the value goes that an operation moves. A fetch that hits has read it; else it computed one to be written.
func (o operation) direction(hit bool) string {
	if o.op.Writes() && (o.op != store.OpFetch || !hit) {
		return "write"
	}
	return "read"
}

// A label is what attributes say of one store, with the options of measurements that say it, prepared at their first use.
type label struct {
	name   string // the id, or what stands for several
	system string
	next   *label // in the same bucket

	life       outcomes // with what happens to connections and leases
	operations [len(operations)]atomic.Pointer[series]
}

func newLabel(name, system string) *label {
	l := &label{name: name, system: system}
	l.life = newOutcomes(l.attributes())
	return l
}

// attributes returns those that every measurement of the store has.
func (l *label) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{semconv.DBSystemNameKey.String(l.system), semconv.DBNamespace(l.name)}
}

// series returns what is prepared for the operation at i.
func (l *label) series(i int) *series {
	p := &l.operations[i]
	if s := p.Load(); s != nil {
		return s
	}
	p.CompareAndSwap(nil, newSeries(l, operations[i]))
	return p.Load()
}

// A series holds the options of measurements of one operation on one store.
type series struct {
	operation
	outcomes
	hit, miss answer
}

// An answer holds the options of what is recorded beside the duration of an operation that did not fail.
type answer struct {
	lookup []metric.AddOption
	near   []metric.AddOption // also of one that failed after it
	io     []metric.RecordOption
}

func newSeries(l *label, op operation) *series {
	all := append(l.attributes(), semconv.DBOperationName(string(op.op)))
	return &series{operation: op, outcomes: newOutcomes(all), hit: newAnswer(all, op, true), miss: newAnswer(all, op, false)}
}

func newAnswer(all []attribute.KeyValue, op operation, hit bool) answer {
	var a answer
	if op.lookup {
		a.lookup = []metric.AddOption{with(all, hitKey.Bool(hit))}
	}
	if op.near {
		a.near = []metric.AddOption{with(all, hitKey.Bool(hit))}
	}
	if !op.life {
		a.io = []metric.RecordOption{with(all, directionKey.String(op.direction(hit)))}
	}
	return a
}

// outcomes hold the options of one set of attributes, for each way in which what they describe has ended so far.
type outcomes struct {
	attributes []attribute.KeyValue
	done       outcome
	failed     atomic.Pointer[outcome] // a list, as long as there are kinds
}

// An outcome is one way to end: well, or by one kind of error.
type outcome struct {
	kind   string
	add    []metric.AddOption
	record []metric.RecordOption
	next   *outcome
}

func newOutcomes(attributes []attribute.KeyValue) outcomes {
	return outcomes{attributes: attributes, done: newOutcome("", with(attributes))}
}

func newOutcome(kind string, o metric.MeasurementOption) outcome {
	return outcome{kind: kind, add: []metric.AddOption{o}, record: []metric.RecordOption{o}}
}

// outcome returns the options for a kind of error, "" for none.
func (o *outcomes) outcome(kind string) *outcome {
	if kind == "" {
		return &o.done
	}
	for {
		first := o.failed.Load()
		for f := first; f != nil; f = f.next {
			if f.kind == kind {
				return f
			}
		}
		added := newOutcome(kind, with(o.attributes, semconv.ErrorTypeKey.String(kind)))
		added.next = first
		if o.failed.CompareAndSwap(first, &added) {
			return &added
		}
	}
}

// with returns an option for attributes and more.
func with(attributes []attribute.KeyValue, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(slices.Concat(attributes, more)...))
}
