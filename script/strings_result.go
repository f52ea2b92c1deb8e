package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// firstRoom bounds the room that is taken for a result before its length is known.
const firstRoom = 1024

// A result is a string that a call puts together. Short parts are gathered in pieces, and a long part is a piece as it is, so that
// nothing is copied again and again while the result grows: that leaves several times its size to the garbage collector.
type result struct {
	guard  *guard
	L      *lua.LState
	length int
	pieces []string
	last   strings.Builder // the piece that is not full yet
}

// expect takes room for about n bytes at once.
func (r *result) expect(n int) { r.last.Grow(min(n, firstRoom)) }

// add adds to the result, unless that becomes too long.
func (r *result) add(s string) {
	r.lengthen(len(s))
	if r.last.Len()+len(s) > pieceBytes {
		r.next()
	}
	if len(s) > pieceBytes {
		r.pieces = append(r.pieces, s)
		return
	}
	r.last.WriteString(s)
}

// addBytes adds a few bytes, which stay the caller's.
func (r *result) addBytes(b []byte) {
	r.lengthen(len(b))
	if r.last.Len()+len(b) > pieceBytes {
		r.next()
	}
	r.last.Write(b)
}

// lengthen counts n bytes more. The guard, which looks at the whole heap, is asked once, when the pieces are put together.
func (r *result) lengthen(n int) {
	if r.length += n; r.length > MaxString {
		r.guard.room(r.L, r.length)
	}
}

// next begins a piece.
func (r *result) next() {
	if r.last.Len() > 0 {
		r.pieces = append(r.pieces, r.last.String())
		r.last.Reset()
	}
	r.last.Grow(pieceBytes)
}

// text returns all that was added, and as good as nothing more: a string that lives long may not hold room that it does not need.
func (r *result) text() lua.LString {
	if len(r.pieces) == 0 && r.last.Cap() <= 2*r.length {
		return lua.LString(r.last.String())
	}
	r.guard.room(r.L, r.length)
	var all strings.Builder
	all.Grow(r.length)
	for _, piece := range r.pieces {
		all.WriteString(piece)
	}
	all.WriteString(r.last.String())
	return lua.LString(all.String())
}
