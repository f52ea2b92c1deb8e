package natsstore

import (
	"sync"
	"time"
)

// recent remembers the newest messages of some subjects that this driver has just read or written. What a message says never changes, and a
// write that expects it to be the last one is only stored if it still is: so a change of an entry that was just read need not read it
// again. Nothing is ever answered from here.
//
// That is so for one life of a bucket. One that was deleted and made again, or whose server lost its memory, numbers its messages anew: so
// nothing is remembered for long, nor across connections.
type recent struct {
	mu         sync.Mutex
	young, old map[string]memory
}

// A memory is an entry and when it was seen.
type memory struct {
	entry
	at time.Time
}

const (
	// maxRecent is how many subjects are remembered, at most twice as many.
	maxRecent = 512
	// maxRecentBytes is the longest value that is.
	maxRecentBytes = 1024
	// maxRecentAge is how long it is.
	maxRecentAge = time.Second
)

// put remembers the last message of a subject, unless a newer one is known.
func (r *recent) put(subject string, e entry) {
	if len(e.value) > maxRecentBytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.find(subject); ok && e.sequence < known.sequence {
		return
	}
	if r.young == nil || len(r.young) >= maxRecent {
		r.young, r.old = make(map[string]memory), r.young
	}
	r.young[subject] = memory{e, time.Now()}
}

// get returns what is remembered of a subject.
func (r *recent) get(subject string) (entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(subject)
}

// find is get with the lock held.
func (r *recent) find(subject string) (entry, bool) {
	m, ok := r.young[subject]
	if !ok {
		m, ok = r.old[subject]
	}
	return m.entry, ok && time.Since(m.at) < maxRecentAge
}

// forget forgets a subject whose last message is another.
func (r *recent) forget(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young, subject)
	delete(r.old, subject)
}

// clear forgets all.
func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.young, r.old = nil, nil
}
