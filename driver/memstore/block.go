package memstore

import (
	"encoding/binary"
	"slices"
)

const (
	// blockBytes is how long a block may be before it is split, unless it holds one key: a change of a block reads through the
	// half of it, in some 200 ns.
	blockBytes = 1024
	// blockSpare is how many bytes a block has room to grow by when it was made anew: growing by doubling would leave a fourth
	// of the index unused.
	blockSpare = 128
)

// A block holds keys in byte order, each as what it shares with the one before and what it does not: two numbers and the bytes
// that differ. Keys have a namespace and often count up, so that one takes a few bytes. There is no pointer in a block, so that
// the garbage collector has nothing to look at in it.
type block struct{ data []byte }

// A spot is a place in a block: that of a key, or the end.
type spot struct {
	at     int // where the key begins
	suffix int // where its own bytes begin
	end    int // where the next key begins
	shared int // how many bytes it shares with the key before
}

// spot returns the spot of the key that begins at, which may be the end of the block.
func (b *block) spot(at int) spot {
	if at == len(b.data) {
		return spot{at: at, suffix: at, end: at}
	}
	shared, n := number(b.data[at:])
	own, m := number(b.data[at+n:])
	suffix := at + n + m
	return spot{at: at, suffix: suffix, end: suffix + own, shared: shared}
}

// number reads a number, of one byte in nearly all cases.
func number(data []byte) (x, n int) {
	if data[0] < 0x80 {
		return int(data[0]), 1
	}
	u, n := binary.Uvarint(data)
	return int(u), n
}

// A search tells where a key is in a block, or belongs.
type search struct {
	spot         // of the first key that is not less
	found   bool // it is the key
	before  int  // how many bytes the key shares with the one before the spot
	matches int  // how many with that of the spot
}

// find looks for key. No key is put together for that: of two neighbours less than key the second begins with as much of key as
// it shares with the first, or more.
func (b *block) find(key string) search {
	matches := 0
	for at := 0; at < len(b.data); {
		s := b.spot(at)
		switch {
		case s.shared < matches: // it differs from its neighbour, which is less, where that still is as key
			return search{spot: s, before: matches, matches: s.shared}
		case s.shared == matches:
			n := common(b.data[s.suffix:s.end], key[matches:])
			switch own := s.end - s.suffix; {
			case n == own && matches+n == len(key):
				return search{spot: s, found: true, before: matches, matches: len(key)}
			case n < own && (matches+n == len(key) || b.data[s.suffix+n] > key[matches+n]):
				return search{spot: s, before: matches, matches: matches + n}
			}
			matches += n
		}
		at = s.end
	}
	return search{spot: b.spot(len(b.data)), before: matches}
}

// common returns how many bytes a and b begin with in common.
func common(a []byte, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// add adds a key and reports whether it was not there.
func (b *block) add(key string) bool {
	s := b.find(key)
	if s.found {
		return false
	}
	// The key of the spot shares more with its new neighbour than with the old one, never less.
	next, cut := []byte(nil), s.suffix
	if s.at < s.end {
		cut = s.suffix + s.matches - s.shared
		next = b.data[cut:s.end]
	}
	var buffer [2 * blockSpare]byte
	entry := appendKey(buffer[:0], s.before, key[s.before:])
	if next != nil {
		entry = appendNumbers(entry, s.matches, len(next))
	}
	b.replace(s.at, cut, entry)
	return true
}

// remove removes a key and reports whether it was there.
func (b *block) remove(key string) bool {
	s := b.find(key)
	if !s.found {
		return false
	}
	next := b.spot(s.end)
	if next.shared <= s.shared {
		b.replace(s.at, s.end, nil)
		return true
	}
	// The next key shared with this one what it does not share with the one before.
	own := b.data[s.suffix : s.suffix+next.shared-s.shared]
	var buffer [2 * blockSpare]byte
	entry := appendNumbers(buffer[:0], s.shared, len(own)+next.end-next.suffix)
	b.replace(s.at, next.suffix, append(entry, own...))
	return true
}

// replace puts bytes in the place of others.
func (b *block) replace(from, to int, with []byte) {
	if need := len(b.data) - (to - from) + len(with); need > cap(b.data) {
		b.data = append(make([]byte, 0, need+blockSpare), b.data...)
	}
	b.data = slices.Replace(b.data, from, to, with...)
}

// split moves the second half of the keys to a new block and returns it with a text that is greater than every key that stays and
// not greater than any that went. There must be two keys.
func (b *block) split() (text string, second block) {
	r := reader{b: b}
	r.next()
	for r.next() && r.end < len(b.data)/2 {
		continue
	}
	second.data = appendKey(make([]byte, 0, len(b.data)-r.at+r.shared+blockSpare), 0, string(r.key))
	second.data = append(second.data, b.data[r.end:]...)
	text = string(r.key[:r.shared+1])
	b.data = append(make([]byte, 0, r.at+blockSpare), b.data[:r.at]...)
	return text, second
}

// join appends the keys of a block all of which are greater.
func (b *block) join(second block) {
	if len(second.data) == 0 {
		return
	}
	r := reader{b: b}
	for r.next() {
		continue
	}
	first := second.spot(0)
	key := second.data[first.suffix:first.end]
	shared := common(r.key, string(key))
	tail := appendKey(nil, shared, string(key[shared:]))
	b.replace(len(b.data), len(b.data), append(tail, second.data[first.end:]...))
}

func appendKey(data []byte, shared int, own string) []byte {
	return append(appendNumbers(data, shared, len(own)), own...)
}

func appendNumbers(data []byte, shared, own int) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(data, uint64(shared)), uint64(own))
}

// A reader puts the keys of a block together, one after the other.
type reader struct {
	b *block
	spot
	key []byte // valid until the next call of next
}

// next goes to the next key and reports whether there is one.
func (r *reader) next() bool {
	if r.end == len(r.b.data) {
		return false
	}
	r.spot = r.b.spot(r.end)
	r.key = append(r.key[:r.shared], r.b.data[r.suffix:r.end]...)
	return true
}
