package memstore

import (
	"sync"

	"github.com/tidwall/btree"
)

// maxIndexes is a balance as [maxShards] is, struck lower: a page seeks in each index, which costs a microsecond or two in a
// large one.
const maxIndexes = 4

// An index is an ordered set of the keys of some shards. Its lock is taken under that of a shard, so that a key is in the
// index exactly while it is in the map, and never the other way round.
type index struct {
	mu   sync.RWMutex
	tree *btree.BTreeG[string]
	_    [96]byte // keeps the locks of two indexes on cache lines of their own
}

func (x *index) init() {
	x.tree = btree.NewBTreeGOptions(func(a, b string) bool { return a < b }, btree.Options{NoLocks: true})
}

func (x *index) add(key string) {
	x.mu.Lock()
	x.tree.Set(key)
	x.mu.Unlock()
}

func (x *index) remove(key string) {
	x.mu.Lock()
	x.tree.Delete(key)
	x.mu.Unlock()
}

func (x *index) clear() {
	x.mu.Lock()
	x.tree.Clear()
	x.mu.Unlock()
}

// ascend calls visit on each key from that position on, in byte order, until it answers false.
func (x *index) ascend(from string, visit func(key string) bool) {
	x.mu.RLock()
	x.tree.Ascend(from, visit)
	x.mu.RUnlock()
}
