package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/luastore/store"
)

// linearizableRules are about what units of work that run at the same time see of each other's writes: each operation must take
// effect in one moment between its call and its return.
var linearizableRules = []rule{
	{name: "HistoriesOfManyUnitsAreLegal", test: historiesOfManyUnitsAreLegal},
}

const (
	// historyUnits is how many units make one history.
	historyUnits = 16
	// historyKeys is how many keys they share.
	historyKeys = 20
	// historyActs is how often each of them acts. Checking takes long where a history is long.
	historyActs = 125
)

// historiesOfManyUnitsAreLegal makes histories, each on keys of its own, until they hold as many operations as are wanted. Where
// the driver is Shared the units are those of two connections.
func historiesOfManyUnitsAreLegal(s *space) {
	spaces := []*space{s}
	if s.info.Shared {
		other := s.another()
		other.view(other)
		defer func() { s.must("Close", other.driver.Close()) }()
		spaces = append(spaces, other)
	}
	wanted := int(min(200_000, 20_000*s.harness.scale()))
	for round, done := 0, 0; done < wanted; round++ {
		for key, history := range makeHistory(spaces, round) {
			s.wantLegal(key, history)
			done += len(history)
		}
	}
}

// makeHistory lets units act at the same time and returns what they did, by key.
func makeHistory(spaces []*space, round int) map[string][]porcupine.Operation {
	start := time.Now()
	actors := make([]actor, historyUnits)
	s := spaces[0]
	s.together(historyUnits, func(i int) error {
		return spaces[i%len(spaces)].asUnit(func(ctx context.Context, h *store.Handle) error {
			a := &actors[i]
			*a = actor{id: i, ctx: ctx, handle: h, start: start, round: round, done: map[string][]porcupine.Operation{}}
			return a.run()
		})
	})
	history := map[string][]porcupine.Operation{}
	for _, a := range actors {
		for key, operations := range a.done {
			history[key] = append(history[key], operations...)
		}
	}
	return history
}

// An actor is one unit of work that does what comes to its mind and notes what comes of it.
type actor struct {
	id     int
	ctx    context.Context
	handle *store.Handle
	start  time.Time // of the history
	round  int
	done   map[string][]porcupine.Operation // by key
}

func (a *actor) run() error {
	for range historyActs {
		// The first of the keys are met much more often than the last.
		key := fmt.Sprintf("t:%d:%d", a.round, rand.IntN(1+rand.IntN(historyKeys)))
		if err := a.act(key); err != nil {
			return err
		}
		runtime.Gosched()
	}
	return nil
}

// act does one operation, or two of which the second asks for the version that the first found.
func (a *actor) act(key string) error {
	number := float64(rand.Int64N(1 << 40)) // another one each time, so that it tells who wrote it
	switch rand.IntN(12) {
	case 0, 1:
		return a.do(key, request{action: actGet})
	case 2:
		return a.do(key, request{action: actSet, number: number})
	case 3:
		return a.do(key, request{action: actSetIfAbsent, number: number})
	case 4:
		return a.do(key, request{action: actDelete})
	case 5:
		return a.do(key, request{action: actRemove})
	case 6, 7:
		return a.do(key, request{action: actIncr, number: 1})
	case 8:
		return a.do(key, request{action: actIncr, number: -1}) // so that values come back
	case 9:
		return a.do(key, request{action: actUpdate, number: 1})
	case 10:
		return a.doIfVersion(key, request{action: actSetIfVersion, number: number})
	default:
		return a.doIfVersion(key, request{action: actDeleteIfVersion})
	}
}

// doIfVersion reads an entry and does an operation for which it should be the same still.
func (a *actor) doIfVersion(key string, r request) error {
	if err := a.do(key, request{action: actGet}); err != nil {
		return err
	}
	operations := a.done[key]
	seen := operations[len(operations)-1].Output.(response).seen
	if !seen.there {
		return nil
	}
	r.old = seen.number
	runtime.Gosched()
	return a.do(key, r)
}

// do does one operation and notes it. One that answers a conflict did nothing.
func (a *actor) do(key string, r request) error {
	called := time.Since(a.start)
	got, err := r.action.call(a, key, r)
	returned := time.Since(a.start)
	switch {
	case store.Kind(err) == "conflict":
		return nil
	case err != nil:
		return err
	}
	a.done[key] = append(a.done[key], porcupine.Operation{
		ClientId: a.id, Input: r, Call: int64(called), Output: got, Return: int64(returned),
	})
	return nil
}

// content is what there is under one key: nothing, or a number.
type content struct {
	there  bool
	number float64
}

// contentOf returns what a handle read.
func contentOf(v []byte, err error) (content, error) {
	if errors.Is(err, store.ErrNotFound) || err == nil && v == nil {
		return content{}, nil
	}
	return content{true, number(v)}, err
}

// A request is the arguments of an operation.
type request struct {
	action *action
	number float64 // to be written, or added
	old    float64 // whose version the entry must have
}

// A response is the results of an operation.
type response struct {
	done bool    // a condition held, or there was something to delete
	seen content // what was read, or made by an increment
}

// An action is one operation of a handle on one entry.
type action struct {
	name string
	call func(a *actor, key string, r request) (response, error)
	// step reports whether an operation could have had these results when there was now, and returns what there was then.
	step func(now content, r request, got response) (bool, content)
}

var (
	actGet = &action{"get", func(a *actor, key string, _ request) (got response, err error) {
		got.seen, err = contentOf(a.handle.Get(a.ctx, key))
		return got, err
	}, func(now content, _ request, got response) (bool, content) {
		return got.seen == now, now
	}}
	actSet = &action{"set", func(a *actor, key string, r request) (response, error) {
		return response{}, a.handle.Set(a.ctx, key, num(r.number), 0)
	}, func(_ content, r request, _ response) (bool, content) {
		return true, content{true, r.number}
	}}
	actSetIfAbsent = &action{"set if absent", func(a *actor, key string, r request) (got response, err error) {
		got.done, err = a.handle.SetIfAbsent(a.ctx, key, num(r.number), 0)
		return got, err
	}, func(now content, r request, got response) (bool, content) {
		return stepIf(!now.there, now, content{true, r.number}, got)
	}}
	actSetIfVersion = &action{"set if version", func(a *actor, key string, r request) (got response, err error) {
		got.done, err = a.handle.SetIfVersion(a.ctx, key, num(r.number), store.Version(num(r.old)), 0)
		return got, err
	}, func(now content, r request, got response) (bool, content) {
		return stepIf(now == content{true, r.old}, now, content{true, r.number}, got)
	}}
	actDelete = &action{"delete", func(a *actor, key string, _ request) (got response, err error) {
		got.done, err = a.handle.Delete(a.ctx, key)
		return got, err
	}, func(now content, _ request, got response) (bool, content) {
		return stepIf(now.there, now, content{}, got)
	}}
	actDeleteIfVersion = &action{"delete if version", func(a *actor, key string, r request) (got response, err error) {
		got.done, err = a.handle.DeleteIfVersion(a.ctx, key, store.Version(num(r.old)))
		return got, err
	}, func(now content, r request, got response) (bool, content) {
		return stepIf(now == content{true, r.old}, now, content{}, got)
	}}
	actIncr = &action{"incr", func(a *actor, key string, r request) (response, error) {
		sum, err := a.handle.Incr(a.ctx, key, r.number, 0, 0)
		return response{seen: content{true, sum}}, err
	}, func(now content, r request, got response) (bool, content) {
		next := content{true, now.number + r.number}
		return got.seen == next, next
	}}
	actUpdate = &action{"update", func(a *actor, key string, r request) (response, error) {
		return a.update(key, func(old content) ([]byte, error) { return num(old.number + r.number), nil })
	}, func(now content, r request, got response) (bool, content) {
		return got.seen == now, content{true, now.number + r.number}
	}}
	actRemove = &action{"update that removes", func(a *actor, key string, _ request) (response, error) {
		return a.update(key, func(content) ([]byte, error) { return nil, store.ErrRemove })
	}, func(now content, _ request, got response) (bool, content) {
		return got.seen == now, content{}
	}}
)

// stepIf is the step of an operation that makes next of now if its condition holds.
func stepIf(holds bool, now, next content, got response) (bool, content) {
	if holds {
		now = next
	}
	return got.done == holds, now
}

// update is Update, of which it notes what there was.
func (a *actor) update(key string, fn func(old content) ([]byte, error)) (got response, err error) {
	var wrote []byte
	v, err := a.handle.Update(a.ctx, key, store.KeepTTL, nil, func(old []byte) (_ []byte, err error) {
		if got.seen, err = contentOf(old, nil); err != nil {
			return nil, err
		}
		runtime.Gosched()
		wrote, err = fn(got.seen)
		return wrote, err
	})
	if err == nil && string(v) != string(wrote) {
		err = fmt.Errorf("update of %s answers %s, though its function returned %s", key, show(v), show(wrote))
	}
	return got, err
}

// contentModel is what one entry should do.
var contentModel = porcupine.Model{
	Init: func() any { return content{} },
	Step: func(now, input, output any) (bool, any) {
		r := input.(request)
		return r.action.step(now.(content), r, output.(response))
	},
}

// wantLegal states that the operations on one key could have been done one after the other, each between its call and its
// return.
func (s *space) wantLegal(key string, history []porcupine.Operation) {
	s.Helper()
	within := s.harness.longer(2 * patience)
	switch porcupine.CheckOperationsTimeout(contentModel, history, within) {
	case porcupine.Unknown:
		s.Fatalf("%d operations on %s: not known after %v whether they are legal", len(history), key, within)
	case porcupine.Illegal:
		_, info := porcupine.CheckOperationsVerbose(contentModel, history, within)
		s.Fatalf("%d operations on %s are not linearizable\n%s", len(history), key, explainIllegal(history, info))
	}
}

// explainIllegal shows a history where the longest legal part of it ends.
func explainIllegal(history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []int
	for _, parts := range info.PartialLinearizations() {
		for _, part := range parts {
			if len(part) > len(longest) {
				longest = part
			}
		}
	}
	const around = 8
	var b strings.Builder
	b.WriteString("legal in this order up to here:\n")
	for _, i := range longest[max(0, len(longest)-around):] {
		writeOperation(&b, history[i])
	}
	b.WriteString("none of these can be next:\n")
	var rest []porcupine.Operation
	for i, o := range history {
		if !slices.Contains(longest, i) {
			rest = append(rest, o)
		}
	}
	slices.SortFunc(rest, func(x, y porcupine.Operation) int { return int(x.Call - y.Call) })
	for _, o := range rest[:min(2*around, len(rest))] {
		writeOperation(&b, o)
	}
	return b.String()
}

// writeOperation writes what was asked for and what came of it.
func writeOperation(b *strings.Builder, o porcupine.Operation) {
	r, got := o.Input.(request), o.Output.(response)
	fmt.Fprintf(b, "%12v to %12v, unit %2d: %s", time.Duration(o.Call), time.Duration(o.Return), o.ClientId, r.action.name)
	if r.number != 0 {
		fmt.Fprintf(b, " %.0f", r.number)
	}
	if r.old != 0 {
		fmt.Fprintf(b, " of %.0f", r.old)
	}
	switch {
	case got.seen.there:
		fmt.Fprintf(b, ": %.0f\n", got.seen.number)
	case got.done:
		b.WriteString(": done\n")
	default:
		b.WriteString(": nothing\n")
	}
}
