package natsstore

import "sync"

// recent remembers the newest messages of some subjects that this driver has read or written. What a message says never changes, and a
// write that expects it to be the last one is only stored if it still is: so a change of an entry that was just read need not read it
// again. Nothing is ever answered from here.
type recent struct {
	mu         sync.Mutex
	young, old map[string]entry
}

const (
	// maxRecent is how many subjects are remembered, at most twice as many.
	maxRecent = 512
	// maxRecentBytes is the longest value that is.
	maxRecentBytes = 1024
)

// put remembers the last message of a subject, unless a newer one is known.
func (r *recent) put(subject string, e entry) {
	if len(e.value) > maxRecentBytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.sequence < max(r.young[subject].sequence, r.old[subject].sequence) {
		return
	}
	if r.young == nil || len(r.young) >= maxRecent {
		r.young, r.old = make(map[string]entry), r.young
	}
	r.young[subject] = e
}

// get returns what is remembered of a subject.
func (r *recent) get(subject string) (entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.young[subject]
	if !ok {
		e, ok = r.old[subject]
	}
	return e, ok
}

// forget forgets a subject whose last message is another.
func (r *recent) forget(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young, subject)
	delete(r.old, subject)
}
