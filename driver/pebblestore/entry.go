package pebblestore

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/luastore/store"
)

// What is in the database:
//
//	'd' key             -> expiry, value    an entry
//	'x' expiry key      -> nothing          one for each entry that expires, written and removed in the same batch as that
//
// where an expiry is 8 bytes, big-endian: nanoseconds since the Unix epoch, 0 for never. The second kind is the index that finds
// what has expired, in the order in which it did.
//
// Pebble keeps the name of the layout with the database, as that of the order of its keys, and opens it under no other.
const (
	layout = "luastore.v1"

	dataKind   = 'd'
	expiryKind = 'x'

	expirySize = 8
)

// maxTime is the last moment that an expiry can tell, in 2262.
const maxTime = math.MaxInt64

func appendDataKey(b []byte, key string) []byte { return append(append(b, dataKind), key...) }

func appendExpiryKey(b []byte, expires int64, key string) []byte {
	b = binary.BigEndian.AppendUint64(append(b, expiryKind), uint64(expires))
	return append(b, key...)
}

// parseExpiryKey returns what an expiry key is made of.
func parseExpiryKey(b []byte) (expires int64, key string, ok bool) {
	if len(b) < 1+expirySize || b[0] != expiryKind {
		return 0, "", false
	}
	expires = int64(binary.BigEndian.Uint64(b[1:]))
	return expires, string(b[1+expirySize:]), expires > 0
}

// putEntry writes the stored form of an entry into b, which has its length.
func putEntry(b []byte, expires int64, value []byte) {
	binary.BigEndian.PutUint64(b, uint64(expires))
	copy(b[expirySize:], value)
}

// An entry is what is stored under a key, alive or expired.
type entry struct {
	exists  bool
	expires int64  // 0: never
	value   []byte // as long as what it was read from stays open
}

// parseEntry returns the entry that b is the stored form of.
func parseEntry(b []byte) (entry, error) {
	if len(b) < expirySize || b[0] >= 0x80 {
		return entry{}, store.Errorf(store.ErrCorrupt, "corrupt value: no entry of a pebble store has these %d bytes", len(b))
	}
	return entry{true, int64(binary.BigEndian.Uint64(b)), b[expirySize:]}, nil
}

// live reports whether e is there for those who ask at the moment now.
func (e entry) live(now int64) bool { return e.exists && (e.expires == 0 || now < e.expires) }

// mayExpire reports whether a clock must be read to tell if e is alive.
func (e entry) mayExpire() bool { return e.expires != 0 }

// left returns the time that a live entry has left, 0 for one that does not expire.
func (e entry) left(now int64) time.Duration {
	if e.expires == 0 {
		return 0
	}
	return max(time.Duration(e.expires-now), store.MinTTL)
}

// expiry returns when an entry of that ttl, above zero, expires.
func expiry(now int64, ttl time.Duration) int64 {
	if int64(ttl) > maxTime-now {
		return maxTime
	}
	return now + int64(ttl)
}

// clock returns the present, on which expiry is decided.
func clock() int64 { return time.Now().UnixNano() }
