package value

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// A Kind is what the next thing in a stored value is.
type Kind uint8

// The kinds of things in a stored value.
const (
	Bool   Kind = iota + 1 // a boolean: Reader.Bool
	Number                 // a number: Reader.Num
	String                 // a string: Reader.Str
	Array                  // the header of an array: Reader.Len elements follow
	Map                    // the header of a map: Reader.Len pairs of a key and an element follow
)

// A Reader reads one stored value from front to back without allocating. It checks each length against the bytes that are
// left, and nodes and bytes against limits, before it answers: a header can be believed as soon as it is returned.
// Depth is the caller's to count, with [Reader.Deeper].
type Reader struct {
	Bool bool
	Num  float64
	Str  string // aliases the stored bytes, which must not change while it lives
	Len  int

	b     []byte // what is left
	nodes int    // that may still come
	depth int    // that may still be entered
}

// NewReader returns a Reader of the stored value b, which must not change while the Reader or its strings are in use.
func NewReader(b []byte, limits Limits) (Reader, error) {
	limits = limits.WithDefaults()
	if len(b) > limits.Bytes {
		return Reader{}, corrupt("%d bytes, limit %d", len(b), limits.Bytes)
	}
	return Reader{b: b, nodes: limits.Nodes - 1, depth: limits.Depth}, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

var errShort = fmt.Errorf("%w: cut short", ErrCorrupt)

// Next reads one boolean, number, string or header.
func (r *Reader) Next() (Kind, error) {
	if len(r.b) == 0 {
		return 0, errShort
	}
	c := r.b[0]
	switch {
	case c <= 0x7f:
		r.Num, r.b = float64(c), r.b[1:]
		return Number, nil
	case c <= 0x8f:
		return r.container(Map, 1, int(c&0x0f))
	case c <= 0x9f:
		return r.container(Array, 1, int(c&0x0f))
	case c <= 0xbf:
		return r.str(1, int(c&0x1f))
	case c >= 0xe0:
		r.Num, r.b = float64(int8(c)), r.b[1:]
		return Number, nil
	case c == 0xc2, c == 0xc3:
		r.Bool, r.b = c == 0xc3, r.b[1:]
		return Bool, nil
	}
	return r.long(c)
}

// long reads the forms whose first byte says how many bytes of length or number follow.
func (r *Reader) long(c byte) (Kind, error) {
	size := following(c)
	if size == 0 { // nil, never used, extensions
		return 0, corrupt("byte 0x%02x is no value", c)
	}
	if len(r.b) <= size {
		return 0, errShort
	}
	var u uint64
	switch p := r.b[1:]; size {
	case 1:
		u = uint64(p[0])
	case 2:
		u = uint64(binary.BigEndian.Uint16(p))
	case 4:
		u = uint64(binary.BigEndian.Uint32(p))
	case 8:
		u = binary.BigEndian.Uint64(p)
	}
	if c >= 0xca && c <= 0xd3 {
		return r.number(c, size, u)
	}
	if u > uint64(len(r.b)) {
		return 0, errShort
	}
	switch c {
	case 0xdc, 0xdd:
		return r.container(Array, 1+size, int(u))
	case 0xde, 0xdf:
		return r.container(Map, 1+size, int(u))
	}
	return r.str(1+size, int(u))
}

// following returns how many bytes of length or number follow the first byte c, 0 if it begins no value.
func following(c byte) int {
	switch c {
	case 0xc4, 0xcc, 0xd0, 0xd9:
		return 1
	case 0xc5, 0xcd, 0xd1, 0xda, 0xdc, 0xde:
		return 2
	case 0xc6, 0xca, 0xce, 0xd2, 0xdb, 0xdd, 0xdf:
		return 4
	case 0xcb, 0xcf, 0xd3:
		return 8
	}
	return 0
}

// number reads the number whose first byte is c and whose other bytes, size of them, are u.
func (r *Reader) number(c byte, size int, u uint64) (Kind, error) {
	switch c {
	case 0xca:
		r.Num = float64(math.Float32frombits(uint32(u)))
	case 0xcb:
		r.Num = math.Float64frombits(u)
	case 0xcc, 0xcd, 0xce, 0xcf:
		if u > MaxInteger {
			return 0, corrupt("integer %d beyond 2^53", u)
		}
		r.Num = float64(u)
	default:
		shift := 64 - 8*size
		i := int64(u<<shift) >> shift
		if i > MaxInteger || i < -MaxInteger {
			return 0, corrupt("integer %d beyond ±2^53", i)
		}
		r.Num = float64(i)
	}
	r.b = r.b[1+size:]
	return Number, nil
}

// str reads a string of n bytes behind a header of head bytes.
func (r *Reader) str(head, n int) (Kind, error) {
	if n > len(r.b)-head {
		return 0, errShort
	}
	r.Str = unsafe.String(unsafe.SliceData(r.b[head:]), n)
	r.b = r.b[head+n:]
	return String, nil
}

// container reads a header of head bytes that announces n elements or pairs.
func (r *Reader) container(k Kind, head, n int) (Kind, error) {
	least := n
	if k == Map {
		least = 2 * n
	}
	if least > len(r.b)-head {
		return 0, errShort
	}
	if r.nodes -= n; r.nodes < 0 {
		return 0, corrupt("too many elements")
	}
	r.Len = n
	r.b = r.b[head:]
	return k, nil
}

// Key reads one key of a map: a string, a boolean, or a number that is not NaN.
func (r *Reader) Key() (Kind, error) {
	k, err := r.Next()
	switch {
	case err != nil:
		return 0, err
	case k == Array || k == Map:
		return 0, corrupt("a table as key")
	case k == Number && r.Num != r.Num:
		return 0, corrupt("NaN as key")
	}
	return k, nil
}

// Deeper enters a table whose header was just read; [Reader.Up] leaves it.
func (r *Reader) Deeper() error {
	if r.depth == 0 {
		return corrupt("tables nested too deep")
	}
	r.depth--
	return nil
}

// Up leaves a table that [Reader.Deeper] entered.
func (r *Reader) Up() { r.depth++ }

// End reports an error if anything follows the value.
func (r *Reader) End() error {
	if len(r.b) != 0 {
		return corrupt("%d bytes follow the value", len(r.b))
	}
	return nil
}

// Skip reads one whole value.
func (r *Reader) Skip() error {
	k, err := r.Next()
	if err != nil || k < Array {
		return err
	}
	if err := r.Deeper(); err != nil {
		return err
	}
	for n := r.Len; n > 0; n-- {
		if k == Map {
			if _, err := r.Key(); err != nil {
				return err
			}
		}
		if err := r.Skip(); err != nil {
			return err
		}
	}
	r.Up()
	return nil
}

// Validate reports whether b is one stored value within limits, as [ErrCorrupt] if not. It allocates nothing but the error.
func Validate(b []byte, limits Limits) error {
	if limits = limits.WithDefaults(); len(b) <= limits.Bytes && common(b, limits) {
		return nil
	}
	return validateAny(b, limits)
}

// validateAny is Validate for every form.
func validateAny(b []byte, limits Limits) error {
	r, err := NewReader(b, limits)
	if err != nil {
		return err
	}
	if err := r.Skip(); err != nil {
		return err
	}
	return r.End()
}

// ParseNumber returns the number that the stored value b is; ok is false if b is anything else.
func ParseNumber(b []byte) (f float64, ok bool) {
	if len(b) > 9 {
		return 0, false
	}
	r := Reader{b: b}
	if k, err := r.Next(); err != nil || k != Number || len(r.b) != 0 {
		return 0, false
	}
	return r.Num, true
}

// ShortString returns the string that the stored value b is, aliasing b, if it has at most 255 bytes; ok is false for any other value. It is the
// short way to what is stored most.
func ShortString(b []byte) (s string, ok bool) {
	n := len(b)
	switch {
	case n > 0 && b[0]>>5 == 0xa0>>5 && int(b[0]&0x1f) == n-1:
		return unsafe.String(unsafe.SliceData(b[1:]), n-1), true
	case n > 1 && (b[0] == 0xd9 || b[0] == 0xc4) && int(b[1]) == n-2:
		return unsafe.String(unsafe.SliceData(b[2:]), n-2), true
	}
	return "", false
}
