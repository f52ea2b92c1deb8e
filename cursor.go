package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// A cursorSealer makes cursors of handles out of those of drivers, bound to the prefix that was listed and in letters that need
// no escaping in a URL. One that was cut, changed, or taken from another listing is found out before a driver sees it.
//
// What a driver puts into a cursor, perhaps the last key looked at, can be read unless there is a key; then it is encrypted.
type cursorSealer struct {
	aead cipher.AEAD // nil: a checksum does
}

// newCursorSealer returns a sealer with that key, a random one if it is empty.
func newCursorSealer(key []byte) cursorSealer {
	var sum [sha256.Size]byte
	if len(key) > 0 {
		sum = sha256.Sum256(key)
	} else {
		_, _ = rand.Read(sum[:]) // never fails
	}
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err) // of a key of 32 bytes it is none
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // of AES it is none
	}
	return cursorSealer{aead}
}

// sumBytes is how much of a SHA-256 guards a cursor that is not encrypted: chance does not produce one.
const sumBytes = 8

// maxCursor is the length of the longest cursor that is looked at. That of a driver holds a key or less.
const maxCursor = 4 * DefaultKeyBytes

// seal returns the cursor of a listing of stored keys that begin with prefix, for the one of its driver.
func (s cursorSealer) seal(prefix, cursor string) string {
	if cursor == "" {
		return ""
	}
	var b []byte
	if s.aead == nil {
		b = append(cursorSum(prefix, cursor), cursor...)
	} else {
		b = s.aead.Seal(nil, nil, []byte(cursor), []byte(prefix))
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// unseal returns the cursor of the driver, or an [ErrInvalid] for one that seal did not return for this prefix.
func (s cursorSealer) unseal(prefix, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	if len(cursor) <= maxCursor {
		b, err := base64.RawURLEncoding.DecodeString(cursor)
		if err == nil && base64.RawURLEncoding.EncodeToString(b) == cursor { // the decoder takes other spellings too
			if inner, ok := s.open(prefix, b); ok {
				return inner, nil
			}
		}
	}
	return "", Errorf(ErrInvalid, "invalid cursor: want the one that came with the page before, under the same prefix")
}

// open returns what is sealed in b.
func (s cursorSealer) open(prefix string, b []byte) (string, bool) {
	if s.aead != nil {
		inner, err := s.aead.Open(nil, nil, b, []byte(prefix))
		return string(inner), err == nil
	}
	if len(b) <= sumBytes {
		return "", false
	}
	inner := string(b[sumBytes:])
	return inner, string(b[:sumBytes]) == string(cursorSum(prefix, inner))
}

// cursorSum returns the checksum of a cursor.
func cursorSum(prefix, cursor string) []byte {
	h := sha256.New()
	h.Write([]byte("luastore cursor\x00"))
	h.Write([]byte(prefix))
	h.Write([]byte{0})
	h.Write([]byte(cursor))
	return h.Sum(make([]byte, 0, sha256.Size))[:sumBytes]
}
