package pebblestore

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/luastore/store"
)

func FuzzEntry(f *testing.F) {
	f.Add(int64(0), []byte("value"), "t:k", int64(5))
	f.Add(int64(math.MaxInt64), []byte{}, "", int64(1))
	f.Fuzz(func(t *testing.T, expires int64, value []byte, key string, other int64) {
		if expires &= math.MaxInt64; other < 0 {
			other &= math.MaxInt64
		}
		stored := make([]byte, expirySize+len(value))
		putEntry(stored, expires, value)
		e, err := parseEntry(stored)
		if err != nil || !e.exists || e.expires != expires || !bytes.Equal(e.value, value) {
			t.Errorf("%d %q became %+v, %v", expires, value, e, err)
		}
		if e.live(other) != (expires == 0 || other < expires) {
			t.Errorf("an entry that expires at %d, at %d: %v", expires, other, e.live(other))
		}
		indexed := appendExpiryKey(nil, expires, key)
		if at, k, ok := parseExpiryKey(indexed); ok != (expires > 0) || ok && (at != expires || k != key) {
			t.Errorf("index of %d %q became %d %q %v", expires, key, at, k, ok)
		}
		if expires < other != (bytes.Compare(indexed, appendExpiryKey(nil, other, key)) < 0) {
			t.Errorf("the index does not order %d and %d", expires, other)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("d1234567"))
	f.Add([]byte("x12345678k"))
	f.Add([]byte{0xff, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseEntry(b); err == nil {
			again := make([]byte, len(b))
			if putEntry(again, e.expires, e.value); !bytes.Equal(again, b) || e.expires < 0 {
				t.Errorf("%q became %+v", b, e)
			}
		} else if store.Kind(err) != "corrupt" {
			t.Errorf("%q: %v", b, err)
		}
		if at, key, ok := parseExpiryKey(b); ok && !bytes.Equal(appendExpiryKey(nil, at, key), b) {
			t.Errorf("%q became %d %q", b, at, key)
		}
	})
}

func TestExpiry_BeyondWhatCanBeTold_IsTheLastMoment(t *testing.T) {
	for now, want := range map[int64]int64{0: int64(time.Hour), maxTime - 5: maxTime, maxTime - int64(time.Hour): maxTime} {
		if got := expiry(now, time.Hour); got != want {
			t.Errorf("an hour from %d is %d, want %d", now, got, want)
		}
	}
}

func TestSuccessor_IsAboveAllThatBeginWithThePrefix(t *testing.T) {
	for prefix, want := range map[string]string{"d": "e", "da": "db", "d\xff": "e", "da\xff\xff": "db", "d\xfe": "d\xff"} {
		if got := successor([]byte(prefix)); string(got) != want {
			t.Errorf("successor of %q is %q, want %q", prefix, got, want)
		}
	}
}
