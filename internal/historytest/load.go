package historytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/luastore/store/value"
)

const (
	registers    = 32  // in use at a time
	mostCalls    = 60  // on a register, about: checking takes long where a history is long
	mostUnknown  = 4   // calls on a register whose outcome is unknown: each of them doubles what there is to check
	counters     = 4   // of a round
	stocked      = 320 // entries to be deleted or swapped, for each fault
	valueSpacing = 1e6 // between two values that are written, so that increments leave it clear which one was counted up
)

// A role is what a cell is used for.
type role int

const (
	register role = iota // all actions, by all workers, for a while
	counter              // increments only, by all workers
	once                 // one call, which finds nothing there, or what was there long before: its answer can only be one
)

// A cell is one entry, and all calls that were made on it.
type cell struct {
	role  role
	key   string
	calls []*call  // by the order in which they began, once the load is over
	seed  string   // what was there before the first of them
	found []string // by each sweep; "" where there was nothing

	begun, unknown int // calls; load has the lock
}

// A load is the cells of a round. Its methods are safe for concurrent use until gather.
type load struct {
	prefix string
	tags   []string
	values atomic.Int64

	mu       sync.Mutex
	cells    []*cell
	live     []*cell // registers in use
	counters []*cell
	pending  []*cell // written just now, for stock
	stock    []*cell // to be used once, with something in them
}

func newLoad(prefix string, tags []string) *load {
	l := &load{prefix: prefix, tags: tags}
	for range registers {
		l.live = append(l.live, l.add(register, ""))
	}
	for range counters {
		l.counters = append(l.counters, l.add(counter, ""))
	}
	return l
}

// add makes a cell. The caller has the lock, or the load to itself.
func (l *load) add(r role, seed string) *cell {
	c := &cell{role: r, key: l.key("key", len(l.cells)), seed: seed}
	l.cells = append(l.cells, c)
	return c
}

// key returns a key of the load.
func (l *load) key(kind string, i int) string {
	if len(l.tags) == 0 {
		return fmt.Sprintf("%s:%s%d", l.prefix, kind, i)
	}
	return fmt.Sprintf("%s:{%s}%s%d", l.prefix, l.tags[i%len(l.tags)], kind, i)
}

// value returns a number, as it is stored, that no other call writes.
func (l *load) value() string { return numeral(float64(l.values.Add(1)) * valueSpacing) }

// seed returns a cell of an entry that is to be written and put, for another call to delete or swap.
func (l *load) seed() *cell {
	n := l.values.Add(1)
	return &cell{role: once, key: l.key("seed", int(n)), seed: numeral(float64(n) * valueSpacing)}
}

// numeral returns a number as it is stored.
func numeral(f float64) string { return string(value.AppendNumber(nil, f)) }

// number returns the number that is stored; ok is false if it is none.
func number(stored string) (f float64, ok bool) { return value.ParseNumber([]byte(stored)) }

// register returns a register for a call. One that has seen enough calls is replaced.
func (l *load) register() *cell {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := rand.IntN(registers)
	if c := l.live[i]; c.begun >= mostCalls || c.unknown >= mostUnknown {
		l.live[i] = l.add(register, "")
	}
	l.live[i].begun++
	return l.live[i]
}

// noteUnknown counts a call on a cell whose outcome is unknown.
func (l *load) noteUnknown(c *cell) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.unknown++
}

// counter returns a counter that workers share.
func (l *load) counter() *cell { return l.counters[rand.IntN(counters)] }

// fresh returns a cell for one call that finds nothing there.
func (l *load) fresh() *cell {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.add(once, "")
}

// put keeps an entry that was written for release.
func (l *load) put(c *cell) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, c)
}

// release makes the entries that were put available.
func (l *load) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stock = append(l.stock, l.pending...)
	l.pending = nil
}

// take returns a cell for one call that finds something there, nil if there is none left.
func (l *load) take() *cell {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.stock) == 0 {
		return nil
	}
	c := l.stock[0]
	l.stock = l.stock[1:]
	l.cells = append(l.cells, c)
	return c
}

// gather gives each cell its calls, when nobody calls any more.
func (l *load) gather(workers []*worker) {
	for _, w := range workers {
		for _, c := range w.calls {
			c.cell.calls = append(c.cell.calls, c)
		}
	}
	for _, c := range l.cells {
		slices.SortFunc(c.calls, func(x, y *call) int { return int(x.called - y.called) })
	}
}
