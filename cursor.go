package store

import (
	"crypto/sha256"
	"encoding/base64"
)

// A cursor of a handle is that of its driver behind a checksum, bound to the prefix that was listed, in letters that need no
// escaping in an URL. So one that was cut, changed, or taken from another listing is found out before a driver sees it. It is no
// secret: what a driver puts into it, perhaps the last key looked at, can be read.

// sumBytes is how much of a SHA-256 guards a cursor: chance does not produce one.
const sumBytes = 8

// maxCursor is the length of the longest cursor that is looked at. That of a driver holds a key or less.
const maxCursor = 4 * DefaultKeyBytes

// seal returns the cursor of a listing of stored keys that begin with prefix, for the one of its driver.
func seal(prefix, cursor string) string {
	if cursor == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(cursorSum(prefix, cursor), cursor...))
}

// unseal returns the cursor of the driver, or an [ErrInvalid] for one that seal did not return for this prefix.
func unseal(prefix, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	if len(cursor) <= maxCursor {
		b, err := base64.RawURLEncoding.DecodeString(cursor)
		if err == nil && len(b) > sumBytes {
			// Compared as a whole: a decoder takes more than one spelling.
			if inner := string(b[sumBytes:]); seal(prefix, inner) == cursor {
				return inner, nil
			}
		}
	}
	return "", Errorf(ErrInvalid, "invalid cursor: want the one that came with the page before, under the same prefix")
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
