package natsstore

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The leader tells all subjects of a prefix or none. So that a walk over a large one does not ask for all of them for each page, the driver
// keeps what is left of it until the next page is asked for. What this driver writes meanwhile is added; what others do may be missed, as
// it was not there throughout.

const (
	// smallWalk is how many keys are soon told again.
	smallWalk = 1_000
	// maxWalkBytes is how much of keys is kept in all.
	maxWalkBytes = 64 << 20
	// maxWalkAge is how long they are kept for a page that nobody asks for.
	maxWalkAge = 30 * time.Second
	// maxAdded is how many keys may be added to one walk before it is given up.
	maxAdded = 10_000
	// keyOverhead is about what a key takes beside its bytes.
	keyOverhead = 32
)

// walks are the walks that go on.
type walks struct {
	going atomic.Int64 // how many there are

	mu       sync.Mutex
	all      map[*walk]bool
	byCursor map[string]*walk
	bytes    int
}

// A walk is a listing of several pages.
type walk struct {
	prefix string
	cursor string          // of the next page; "": it is being made
	rest   []string        // sorted
	added  map[string]bool // since
	bytes  int
	timer  *time.Timer
}

// begin begins a walk: what is written from now on is added to it.
func (ws *walks) begin(prefix string) *walk {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.all == nil {
		ws.all, ws.byCursor = map[*walk]bool{}, map[string]*walk{}
	}
	w := &walk{prefix: prefix, added: map[string]bool{}}
	ws.all[w] = true
	ws.going.Add(1)
	return w
}

// resume returns the walk that goes on at a cursor, that of the key after, and its keys behind that; nil if there is none.
func (ws *walks) resume(prefix, cursor, after string) (*walk, []string) {
	if ws.going.Load() == 0 {
		return nil, nil
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byCursor[cursor]
	if w == nil || w.prefix != prefix {
		return nil, nil
	}
	delete(ws.byCursor, cursor)
	w.cursor = ""
	w.timer.Stop()
	keys := w.rest
	if len(w.added) == 0 {
		return w, keys
	}
	for key := range w.added {
		if key > after {
			keys = append(keys, key)
		}
	}
	clear(w.added)
	slices.Sort(keys)
	return w, slices.Compact(keys)
}

// keep keeps the rest of a walk for the page after cursor, which is that of a key, if it is worth it. It ends the walk else.
func (ws *walks) keep(w *walk, rest []string, cursor, last string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	size := 0
	for _, key := range rest {
		size += len(key) + keyOverhead
	}
	ws.bytes += size - w.bytes
	w.rest, w.bytes = rest, size
	if !ws.all[w] || cursor == "" || len(rest) < smallWalk || ws.bytes > maxWalkBytes || ws.byCursor[cursor] != nil {
		ws.end(w)
		return
	}
	for key := range w.added {
		if key <= last {
			delete(w.added, key)
		}
	}
	w.cursor = cursor
	ws.byCursor[cursor] = w
	w.timer = time.AfterFunc(maxWalkAge, func() { ws.expire(w, cursor) })
}

// expire ends a walk whose next page nobody asked for.
func (ws *walks) expire(w *walk, cursor string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.cursor == cursor {
		ws.end(w)
	}
}

// end forgets a walk. The lock is held.
func (ws *walks) end(w *walk) {
	ws.bytes -= w.bytes
	w.bytes = 0
	if ws.byCursor[w.cursor] == w {
		delete(ws.byCursor, w.cursor)
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	if ws.all[w] {
		delete(ws.all, w)
		ws.going.Add(-1)
	}
}

// stop ends all walks.
func (ws *walks) stop() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		ws.end(w)
	}
}

// note adds a key that was written to the walks under whose prefix it is. What it is given is the key as it is written.
func (ws *walks) note(written string) {
	if ws.going.Load() == 0 {
		return
	}
	key, ok := parseKey(written)
	if !ok {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		if strings.HasPrefix(key, w.prefix) {
			w.added[key] = true
			if len(w.added) > maxAdded {
				ws.end(w)
			}
		}
	}
}
