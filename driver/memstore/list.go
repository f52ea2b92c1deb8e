package memstore

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/luastore/store"
)

const (
	// maxPage bounds a page whatever limit is asked for.
	maxPage = 10_000
	// maxScan bounds the keys that are looked at under one hold of a lock: some 10 µs.
	maxScan = 256
	// textBytes is how long the pieces of memory are that the keys of a page share.
	textBytes = 1024
	// cursorMark begins every cursor, which could not be told from the first one otherwise if the last key is the prefix
	// itself. What follows is the last key without the prefix: a forged cursor cannot leave the prefix.
	cursorMark = "."
)

// List implements [store.Driver].
func (d *Driver) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	if err := d.enter(ctx); err != nil {
		return store.Page{}, err
	}
	w := walk{d: d, prefix: prefix, from: prefix, limit: min(max(limit, 1), maxPage), more: true, stride: 1, expiring: d.expiring()}
	if cursor != "" {
		rest, ok := strings.CutPrefix(cursor, cursorMark)
		if !ok {
			return store.Page{}, store.Errorf(store.ErrInvalid, "invalid cursor: want the one that the page before returned")
		}
		w.from = after(prefix + rest)
	}
	// Expired keys are looked at and not shown: a long run of them ends the page early.
	for budget := 4*w.limit + 8*maxScan; w.more && len(w.keys) < w.limit && budget > 0; {
		budget -= w.round()
	}
	if d.closed.Load() {
		return store.Page{}, store.ErrUnavailable // shards that were closed look empty
	}
	page := store.Page{Keys: w.keys}
	if w.more {
		page.Next = cursorMark + w.from[len(prefix):len(w.from)-1]
	}
	return page, nil
}

// after returns the string that follows key in byte order.
func after(key string) string { return key + "\x00" }

// A walk collects the live keys under a prefix from all indexes, in rounds. Each round takes the next few keys of each index.
// Up to the horizon, the least of the last keys taken from indexes that have more, it has then seen all keys there are; it
// leaves the rest to the next round.
type walk struct {
	d      *Driver
	prefix string
	from   string // where the next round begins
	limit  int
	keys   []string
	text   strings.Builder // the bytes of keys, so that a page takes a few allocations
	more   bool            // there may be keys at from or after
	stride int             // grows with each round, so that a run of expired keys takes few

	// The shards, as bits, in which some keys may have expired when the walk began. Asking later would take a key that was swept
	// since it was taken for one that lives.
	expiring uint64

	// Of one round.
	horizon string

	// Of one index.
	left int  // keys that may still be taken
	cut  bool // there are more
}

// round adds the next keys and returns how many it took.
func (w *walk) round() int {
	start := len(w.keys)
	n := min(share(w.limit-start, len(w.d.indexes))*w.stride, maxScan)
	w.stride *= 2
	if w.keys == nil {
		w.keys = make([]string, 0, n*len(w.d.indexes))
	}
	w.more = false
	visit := w.visit // one closure for all indexes
	for i := range w.d.indexes {
		w.take(&w.d.indexes[i], n, visit)
	}
	taken := len(w.keys) - start
	w.settle(start)
	return taken
}

// share returns how many keys to take from each of n indexes for a page of limit: more than the average, so that few of them
// end short of the page, over which hashing spreads their keys like a Poisson distribution.
func share(limit, n int) int {
	if n == 1 {
		return limit
	}
	mean := limit / n
	return mean + 2*int(math.Sqrt(float64(mean))) + 3
}

// take takes up to n keys of one index.
func (w *walk) take(x *index, n int, visit func([]byte) bool) {
	w.left, w.cut = n, false
	x.ascend(w.from, visit)
	if !w.cut {
		return
	}
	if last := w.keys[len(w.keys)-1]; !w.more || last < w.horizon {
		w.horizon, w.more = last, true
	}
}

// visit takes one key and reports whether to go on.
func (w *walk) visit(key []byte) bool {
	if len(key) < len(w.prefix) || string(key[:len(w.prefix)]) != w.prefix {
		return false
	}
	if w.left == 0 {
		w.cut = true
		return false
	}
	w.left--
	w.keys = append(w.keys, w.keep(key))
	return true
}

// keep returns key as a string. Those of a page share pieces of memory, which are kept as long as one of their keys is.
func (w *walk) keep(key []byte) string {
	if w.text.Cap()-w.text.Len() < len(key) {
		w.text.Reset() // the strings that it has given keep what it wrote
		w.text.Grow(max(textBytes, len(key)))
	}
	start := w.text.Len()
	w.text.Write(key)
	return w.text.String()[start:]
}

// settle keeps those of the keys that this round took which belong on the page and are live, in order, and moves from past them.
func (w *walk) settle(start int) {
	found := w.keys[start:]
	if w.more {
		found = slices.DeleteFunc(found, func(key string) bool { return key > w.horizon })
		w.from = after(w.horizon)
	}
	slices.Sort(found)
	w.keys = w.keys[:start]
	for _, key := range found {
		if w.gone(key) {
			continue
		}
		if len(w.keys) == w.limit {
			w.more, w.from = true, after(w.keys[w.limit-1])
			return
		}
		w.keys = append(w.keys, key)
	}
}

// expiring returns the shards, as bits, in which some keys may have expired. In the others all keys live at this moment, which is
// within the listing: with expiries that are far off, or already swept, a listing looks no key up.
func (d *Driver) expiring() (bits uint64) {
	now := never
	for i := range d.shards {
		s := &d.shards[i]
		if !s.expires.Load() {
			continue
		}
		if now == never {
			now = d.sweeper.clock.now()
		}
		s.mu.RLock()
		if s.tracks.earliest() <= now {
			bits |= 1 << i
		}
		s.mu.RUnlock()
	}
	return bits
}

// gone reports whether a key of an index is not live. No lock of an index is held here. It looks the key up only in a shard where
// some keys may have expired.
func (w *walk) gone(key string) bool {
	if w.expiring == 0 {
		return false
	}
	h := w.d.hash(key)
	if w.expiring>>w.d.place(h)&1 == 0 {
		return false
	}
	s := w.d.shardOf(h)
	s.mu.RLock()
	_, ok := s.live(h, key)
	s.mu.RUnlock()
	return !ok
}
