package historytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/luastore/store"
)

// A worker is one of those who call the driver of a client.
type worker struct {
	client   int
	driver   store.Driver
	load     *load
	start    time.Time // of the round
	deadline time.Duration
	calls    []*call // that it has made
}

// A call is one call of a driver, and what came of it.
type call struct {
	client int
	action *action
	cell   *cell
	value  string // that it writes, its own
	old    string // that it replaces

	called, returned time.Duration // since the start of the round
	got              answer
	err              error
}

// act makes one call, or two of which the second wants what the first found.
func (w *worker) act() {
	switch n := rand.IntN(100); {
	case n < 42:
		w.actOnRegister(w.load.register())
	case n < 50:
		w.do(&call{action: actIncr, cell: w.load.counter()})
	default:
		w.actOnce()
	}
}

// actOnce makes the only call on an entry.
func (w *worker) actOnce() {
	n := rand.IntN(5)
	if n < 2 {
		if c := w.load.take(); c != nil {
			changes := []*call{{action: actDelete}, {action: actSwap, old: c.seed, value: w.load.value()}}
			changes[n].cell = c
			w.do(changes[n])
			return
		}
	}
	changes := []*call{{action: actIncr}, {action: actSet, value: w.load.value()}, {action: actCreate, value: w.load.value()}}
	c := changes[n%len(changes)]
	c.cell = w.load.fresh()
	w.do(c)
}

func (w *worker) actOnRegister(c *cell) {
	switch rand.IntN(10) {
	case 0, 1:
		w.do(&call{action: actGet, cell: c})
	case 2:
		w.do(&call{action: actEntry, cell: c})
	case 3:
		w.do(&call{action: actSet, cell: c, value: w.load.value()})
	case 4:
		w.do(&call{action: actCreate, cell: c, value: w.load.value()})
	case 5:
		w.do(&call{action: actDelete, cell: c})
	case 6, 7:
		w.do(&call{action: actIncr, cell: c})
	case 8:
		w.doIfSame(&call{action: actSwap, cell: c, value: w.load.value()})
	default:
		w.doIfSame(&call{action: actDeleteIf, cell: c})
	}
}

// doIfSame reads an entry and makes a call for which it should be the same still.
func (w *worker) doIfSame(c *call) {
	read := &call{action: actGet, cell: c.cell}
	w.do(read)
	if c.old = read.got.seen; c.old != "" {
		w.do(c)
	}
}

// do makes a call and notes it.
func (w *worker) do(c *call) {
	ctx, cancel := context.WithTimeout(context.Background(), w.deadline)
	defer cancel()
	c.client = w.client
	c.called = time.Since(w.start)
	c.got, c.err = c.action.call(ctx, w.driver, c)
	c.returned = time.Since(w.start)
	if c.unknown() {
		w.load.noteUnknown(c.cell)
	}
	w.calls = append(w.calls, c)
}

// seed writes an entry for another call to delete, unless that fails: then it may come later. It may run beside act.
func (w *worker) seed() {
	ctx, cancel := context.WithTimeout(context.Background(), w.deadline)
	defer cancel()
	c := w.load.seed()
	if w.driver.Set(ctx, c.key, []byte(c.seed), 0) == nil {
		w.load.put(c)
	}
}

// unknown reports whether the call may or may not take effect.
func (c *call) unknown() bool { return !c.action.reads && store.Kind(c.err) == "unknown_outcome" }

// failed reports whether a call that writes will never take effect.
func (c *call) failed() bool { return !c.action.reads && c.err != nil && !c.unknown() }

// String describes the call in a message.
func (c *call) String() string {
	text := fmt.Sprintf("%v to %v, client %d: %s", c.called.Round(time.Microsecond), c.returned.Round(time.Microsecond), c.client, c.action.name)
	if c.old != "" {
		text += " " + show(c.old)
	}
	if c.value != "" {
		text += " " + show(c.value)
	}
	if c.err != nil {
		return fmt.Sprintf("%s: %s: %v", text, store.Kind(c.err), c.err)
	}
	return text + ": " + c.got.String()
}

// show shows what is stored.
func show(stored string) string {
	if stored == "" {
		return "nothing"
	}
	if f, ok := number(stored); ok {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%q", stored)
}
