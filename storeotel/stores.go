package storeotel

import (
	"errors"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/luastore/store"
)

// Values of db.namespace that stand for no single store.
const (
	other   = "_other"   // those that came after MaxStores, or have too long an id
	unknown = "_unknown" // what scripts asked for and is no store, or was not seen to be one
)

// maxName bounds the ids that become attributes, in bytes: each is repeated in every time series of its store.
const maxName = 128

// stores finds the label of a store by its id. Readers take no lock: labels are only ever added, so that one who finds none in a table
// that was full before can be sure.
type stores struct {
	system         func(store string) string // nil: DefaultSystem
	seed           maphash.Seed
	buckets        []atomic.Pointer[label] // each a list; their number is a power of two
	other, unknown *label
	full           atomic.Bool

	mu   sync.Mutex // for adding
	free int        // how many more labels there may be
}

// newStores returns an empty table of at most so many stores.
func newStores(most int, system func(store string) string) *stores {
	return &stores{
		system:  system,
		seed:    maphash.MakeSeed(),
		buckets: make([]atomic.Pointer[label], 1<<bits.Len(uint(min(most, 1<<20)))),
		other:   newLabel(other, DefaultSystem),
		unknown: newLabel(unknown, DefaultSystem),
		free:    most,
	}
}

// of returns the label for the store of an event.
func (s *stores) of(e *store.Event) *label {
	if len(e.Store) > maxName {
		if exists(e) {
			return s.other
		}
		return s.unknown
	}
	full := s.full.Load()
	bucket := &s.buckets[maphash.String(s.seed, e.Store)&uint64(len(s.buckets)-1)]
	l := find(bucket, e.Store)
	switch {
	case l != nil:
		return l
	case !exists(e):
		return s.unknown
	case full:
		return s.other
	}
	return s.add(bucket, e.Store)
}

// find returns the label of a store, nil if it has none.
func find(bucket *atomic.Pointer[label], id string) *label {
	l := bucket.Load()
	for l != nil && l.name != id {
		l = l.next
	}
	return l
}

// exists reports whether an event proves that there is a store of its id. What a script asks for in vain is no store, whatever the
// error; but where opening it failed, there was something to open.
func exists(e *store.Event) bool {
	if e.Op != store.OpAcquire || e.Err == nil {
		return true
	}
	failed, ok := errors.AsType[*store.Error](e.Err)
	return ok && failed.Op == store.OpOpen
}

// add gives a store a label of its own, if there is room.
func (s *stores) add(bucket *atomic.Pointer[label], id string) *label {
	system := s.systemOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := find(bucket, id); l != nil {
		return l
	}
	if s.free == 0 {
		return s.other
	}
	l := newLabel(id, system)
	l.next = bucket.Load()
	bucket.Store(l)
	s.free--
	s.full.Store(s.free == 0)
	return l
}

// systemOf asks the host what a store is. It does so without the lock.
func (s *stores) systemOf(id string) string {
	if s.system != nil {
		if system := s.system(id); system != "" {
			return system
		}
	}
	return DefaultSystem
}
