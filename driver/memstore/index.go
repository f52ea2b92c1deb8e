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
//
// It holds the keys a second time, in blocks, rather than one pointer for each key, which takes more memory than the bytes by which
// a key differs from its neighbour, makes the garbage collector visit each key once more, and a search read keys all over memory.
type index struct {
	mu   sync.RWMutex
	tree *btree.BTreeG[leaf]
	_    [96]byte // keeps the locks of two indexes on cache lines of their own
}

// A leaf is a block of the keys from a text on, up to the text of the next leaf. The text is no key, or the first one. The first
// leaf begins with the empty text and is always there.
type leaf struct {
	from string
	keys *block
}

func (x *index) init() {
	x.tree = btree.NewBTreeGOptions(func(a, b leaf) bool { return a.from < b.from }, btree.Options{NoLocks: true})
	x.tree.Set(leaf{keys: new(block)})
}

func (x *index) add(key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.leaf(key)
	if !l.keys.add(key) || len(l.keys.data) <= blockBytes || l.keys.spot(0).end == len(l.keys.data) {
		return
	}
	from, second := l.keys.split()
	x.tree.Set(leaf{from, &second})
}

func (x *index) remove(key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.leaf(key)
	if !l.keys.remove(key) || len(l.keys.data) > blockBytes/4 {
		return
	}
	x.join(l)
}

// join makes one leaf of a short one and a neighbour, if that is not much longer: leaves of which little is left would take more
// memory than the keys. Nothing may be left of the first leaf; of the others there always is something.
func (x *index) join(l leaf) {
	if before, ok := x.before(l.from); ok && x.pair(before, l) {
		return
	}
	if next, ok := x.after(l.from); ok {
		x.pair(l, next)
	}
}

// pair moves the keys of a leaf to that before it, unless both together are long, and reports whether it did.
func (x *index) pair(first, second leaf) bool {
	n, m := len(first.keys.data), len(second.keys.data)
	if n+m > blockBytes/2 && n != 0 && m != 0 {
		return false
	}
	first.keys.join(*second.keys)
	x.tree.Delete(second)
	return true
}

func (x *index) clear() {
	x.mu.Lock()
	x.init()
	x.mu.Unlock()
}

// leaf returns the leaf where a key is, or belongs.
func (x *index) leaf(key string) (l leaf) {
	x.tree.Descend(leaf{from: key}, func(at leaf) bool { l = at; return false })
	return l
}

// after returns the leaf after that from a text on, and whether there is one.
func (x *index) after(from string) (l leaf, ok bool) {
	x.tree.Ascend(leaf{from: from}, func(at leaf) bool { l, ok = at, at.from != from; return !ok })
	return l, ok
}

// before returns the leaf before that from a text on, and whether there is one.
func (x *index) before(from string) (l leaf, ok bool) {
	x.tree.Descend(leaf{from: from}, func(at leaf) bool { l, ok = at, at.from != from; return !ok })
	return l, ok
}

// ascend calls visit on each key from that position on, in byte order, until it answers false. The bytes of the key are valid during
// the call.
func (x *index) ascend(from string, visit func(key []byte) bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r := reader{key: make([]byte, 0, len(from)+64)}
	x.tree.Ascend(leaf{from: x.leaf(from).from}, func(l leaf) bool {
		r.b, r.spot = l.keys, spot{}
		for r.next() {
			if string(r.key) >= from && !visit(r.key) {
				return false
			}
		}
		return true
	})
}
