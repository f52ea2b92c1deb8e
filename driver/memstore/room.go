package memstore

import (
	"fmt"
	"sync"

	"github.com/luastore/store"
)

// A room is what is left of the bounds of one store, exact at every moment: room is taken before an entry is written and given
// back after one is removed. A nil room has no end. It is the one lock that the shards of a bounded store share, held for a few
// additions, and only when a write changes the size of the store.
type room struct {
	maxEntries, maxBytes int64 // 0: no bound

	mu             sync.Mutex
	entries, bytes int64
}

// A fullError says which bound leaves no room. Its text is made only if somebody reads it: an evicting store meets one on
// every new entry.
type fullError struct {
	used, more, limit int64
	entries           bool // the bound on entries, not the one on bytes
	hopeless          bool // the entry alone is larger than the bound
}

func (e *fullError) Is(target error) bool { return target == store.ErrFull }

func (e *fullError) Error() string {
	switch {
	case e.entries:
		return fmt.Sprintf("store full: %d entries, the limit is max_entries=%d", e.used, e.limit)
	case e.hopeless:
		return fmt.Sprintf("store full: the entry has %d bytes, the limit is max_bytes=%d", e.more, e.limit)
	}
	return fmt.Sprintf("store full: %d bytes and %d more to write, the limit is max_bytes=%d", e.used, e.more, e.limit)
}

// take makes an entry of size bytes part of the store, which is to take the place of another if entries is 0 and needs more
// bytes than that. It returns nil, or why there is no room.
func (r *room) take(entries, more, size int64) *fullError {
	if r == nil || entries == 0 && more == 0 {
		return nil
	}
	if r.maxBytes > 0 && size > r.maxBytes {
		return &fullError{more: size, limit: r.maxBytes, hopeless: true}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if entries > 0 && r.maxEntries > 0 && r.entries+entries > r.maxEntries {
		return &fullError{used: r.entries, more: entries, limit: r.maxEntries, entries: true}
	}
	if more > 0 && r.maxBytes > 0 && r.bytes+more > r.maxBytes {
		return &fullError{used: r.bytes, more: more, limit: r.maxBytes}
	}
	r.entries += entries
	r.bytes += more
	return nil
}

// give takes one entry of size bytes out of the store.
func (r *room) give(size int64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.entries--
	r.bytes -= size
	r.mu.Unlock()
}

// makeRoom frees at least one entry, for a key that has the hash h: expired ones if there are any, else, in a store that evicts,
// one that was not used lately. It never evicts the entry of h itself, as a write that keeps its expiry or builds on its value
// would then not find it. It holds no lock but that of the shard it looks at.
func (d *Driver) makeRoom(h uint64) bool {
	return d.anyShard(h, (*shard).sweepAny) || d.evicts &&
		(d.anyShard(h, func(s *shard) bool { return s.evictUnused(h) }) || d.anyShard(h, func(s *shard) bool { return s.evictNext(h) }))
}

// evictLook is how many entries of one shard get their second chance before the search goes on in the next shard.
const evictLook = 16

// anyShard calls try on one shard after the other until it answers true. It begins with that of the new key: the shards would
// drift apart in size otherwise, and the small ones evict what is used.
func (d *Driver) anyShard(h uint64, try func(*shard) bool) bool {
	for i := range uint64(len(d.shards)) {
		if try(d.shardOf(h + i)) {
			return true
		}
	}
	return false
}
