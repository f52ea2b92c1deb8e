// Package table holds what the SQL drivers share about the table of entries: its name, the order of its keys, the cursors of
// its listings, and the removal of rows that have expired.
package table

import (
	"strings"

	"github.com/luastore/store"
)

// Default is the name of the table where none is given.
const Default = "luastore"

// maxNameBytes leaves room for the name of an index, in the 63 bytes that PostgreSQL and the 64 that MySQL allow.
const maxNameBytes = 48

// CheckName reports a name that would mean different tables to different databases, or none: a plain name takes no escape and
// no schema. Drivers quote it all the same, because it may be a word of the language.
func CheckName(name string) error {
	if name == "" || len(name) > maxNameBytes {
		return store.Errorf(store.ErrInvalid, "invalid table name of %d bytes: want 1 to %d", len(name), maxNameBytes)
	}
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return store.Errorf(store.ErrInvalid, "invalid table name %q: want lower-case letters, digits and _, not beginning with a digit", name)
		}
	}
	return nil
}

// After returns the least key that is greater, in byte order, than all that begin with prefix, or "" where there is none.
func After(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// cursorMark begins every cursor: without it that of a page which ends with the prefix itself would be "", the first one.
const cursorMark = "."

// Cursor returns the cursor of the page that follows key, one that begins with prefix.
func Cursor(prefix, key string) string { return cursorMark + strings.TrimPrefix(key, prefix) }

// ParseCursor returns the last key of the page before, or false for the first page. A forged cursor cannot leave the prefix.
func ParseCursor(prefix, cursor string) (last string, ok bool, err error) {
	if cursor == "" {
		return "", false, nil
	}
	rest, marked := strings.CutPrefix(cursor, cursorMark)
	if !marked {
		return "", false, store.Errorf(store.ErrInvalid, "invalid cursor: want the one that the page before returned")
	}
	return prefix + rest, true, nil
}
