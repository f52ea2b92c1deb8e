package faulttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/luastore/store"
)

// A kind is what calls do to a cell.
type kind int

const (
	incr   kind = iota // adds 1; the entry is absent at first
	remove             // deletes the entry
	swap               // replaces what is there at first
	create             // writes if absent, as it is at first
	set                // writes what was absent
	get                // reads
	kinds
)

var kindNames = []string{"incr", "delete", "compare-and-swap", "write if absent", "set", "get"}

// shares are how many calls of a hundred are of each kind: four in five change something that must not happen twice.
var shares = [kinds]int{incr: 25, remove: 20, swap: 20, create: 15, set: 10, get: 10}

// before is the value of a cell that calls are to find there.
const before = "before"

// rivals is how many workers share a cell where several do.
const rivals = 4

// A cell is one entry, and all calls that were made on it. Most are used once, by one worker or by rivals at about the same time, so
// that what may be there in the end is few things.
type cell struct {
	kind  kind
	key   string
	calls []*call
}

// A call is one call of a driver, and what it answered.
type call struct {
	cell  *cell
	value string        // that it writes, its own
	pause time.Duration // before it, where calls keep a pace

	ok   bool    // of a delete or a swap
	sum  float64 // of an increment
	read string
	err  error
	took time.Duration
}

// A load is all cells of a run.
type load struct {
	prefix   string
	deadline time.Duration // of each call
	cells    []*cell
	unseeded []*cell // that have to be written before they are used
	counters [workers / rivals]*cell
}

// plan returns the calls of a wave, for each worker. Every second cell is one of rivals, and every second of those a counter that
// they share all the time.
func (l *load) plan(random *rand.Rand, perWorker int) [workers][]*call {
	var calls [workers][]*call
	for range perWorker {
		for group := range workers / rivals {
			shared := l.rivalry(random, group)
			for i := range rivals {
				c := shared
				if c == nil {
					c = l.add(pick(random))
				}
				w := group*rivals + i
				calls[w] = append(calls[w], c.add(w, random))
			}
		}
	}
	return calls
}

// rivalry returns the cell for a group of workers, or nil where each is to have its own.
func (l *load) rivalry(random *rand.Rand, group int) *cell {
	switch random.IntN(4) {
	case 0, 1:
		return nil
	case 2:
		if l.counters[group] == nil {
			l.counters[group] = l.add(incr)
		}
		return l.counters[group]
	}
	return l.add(pick(random))
}

func pick(random *rand.Rand) kind {
	n := random.IntN(100)
	for k, share := range shares {
		if n -= share; n < 0 {
			return kind(k)
		}
	}
	return incr
}

func (l *load) add(k kind) *cell {
	c := &cell{kind: k, key: fmt.Sprintf("%s:%d", l.prefix, len(l.cells))}
	l.cells = append(l.cells, c)
	if c.seeded() {
		l.unseeded = append(l.unseeded, c)
	}
	return c
}

// seeded reports whether calls find something in the cell.
func (c *cell) seeded() bool { return c.kind == remove || c.kind == swap || c.kind == get }

func (c *cell) add(worker int, random *rand.Rand) *call {
	call := &call{cell: c, value: fmt.Sprintf("of worker %d", worker), pause: time.Duration(random.Int64N(int64(pace)))}
	c.calls = append(c.calls, call)
	return call
}

// do makes the call.
func (c *call) do(d store.Driver, deadline time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	start := time.Now()
	defer func() { c.took = time.Since(start) }()
	key, value := c.cell.key, []byte(c.value)
	switch c.cell.kind {
	case incr:
		c.sum, c.err = d.(store.Counter).Incr(ctx, key, 1, 0, 0)
	case remove:
		c.ok, c.err = d.Delete(ctx, key)
	case swap:
		c.ok, c.err = d.CompareAndSwap(ctx, key, []byte(before), value, 0)
	case create:
		c.ok, c.err = d.CompareAndSwap(ctx, key, nil, value, 0)
	case set:
		c.err = d.Set(ctx, key, value, 0)
	case get:
		var v []byte
		v, c.err = d.Get(ctx, key)
		c.read = string(v)
	}
}

func (c *call) unknown() bool { return store.Kind(c.err) == "unknown_outcome" }

// String describes the call in a message.
func (c *call) String() string {
	answer := "done"
	switch {
	case c.err != nil:
		answer = store.Kind(c.err) + ": " + c.err.Error()
	case c.cell.kind == incr:
		answer = fmt.Sprint(c.sum)
	case c.cell.kind == get:
		answer = fmt.Sprintf("%q", c.read)
	case c.cell.kind != set:
		answer = fmt.Sprint(c.ok)
	}
	return fmt.Sprintf("%s %q (%v): %s", kindNames[c.cell.kind], c.value, c.took.Round(time.Millisecond), answer)
}
