package value

import "encoding/binary"

// common reports whether b is one stored value within limits in which only the forms occur that this package writes most. It is the
// short way of [Validate]: where it is false, [Reader] finds out what is wrong, if anything is.
func common(b []byte, limits Limits) bool {
	c := checker{b: b, nodes: limits.Nodes - 1, depth: limits.Depth}
	end := c.value(0)
	return end > 0 && end == len(b)
}

// A checker goes through a stored value.
type checker struct {
	b     []byte
	nodes int // that may still come
	depth int // that may still be entered
}

// value returns the position behind the value at i, 0 where there is none of the common forms.
func (c *checker) value(i int) int {
	if uint(i) >= uint(len(c.b)) {
		return 0
	}
	switch head := c.b[i]; {
	case head <= 0x7f, head >= 0xe0, head == 0xc2, head == 0xc3:
		return i + 1
	case head <= 0x8f:
		return c.pairs(i+1, int(head&0x0f))
	case head <= 0x9f:
		return c.elements(i+1, int(head&0x0f))
	case head <= 0xbf:
		return c.skip(i+1, int(head&0x1f))
	case head == 0xdc && i+3 <= len(c.b):
		return c.elements(i+3, int(binary.BigEndian.Uint16(c.b[i+1:])))
	case head == 0xde && i+3 <= len(c.b):
		return c.pairs(i+3, int(binary.BigEndian.Uint16(c.b[i+1:])))
	case head == 0xcb:
		return c.skip(i+1, 8)
	default:
		return c.scalar(i, head)
	}
}

// scalar is value for integers and strings whose first byte, head, is not all of their header.
func (c *checker) scalar(i int, head byte) int {
	switch head {
	case 0xcc, 0xd0, 0xcd, 0xd1, 0xce, 0xd2:
		return c.skip(i+1, following(head))
	case 0xd9, 0xc4:
		if i+2 <= len(c.b) {
			return c.skip(i+2, int(c.b[i+1]))
		}
	case 0xda, 0xc5:
		if i+3 <= len(c.b) {
			return c.skip(i+3, int(binary.BigEndian.Uint16(c.b[i+1:])))
		}
	}
	return 0
}

// skip returns the position n bytes behind i.
func (c *checker) skip(i, n int) int {
	if i+n > len(c.b) {
		return 0
	}
	return i + n
}

// enter reports whether a table of n elements may be entered; the caller leaves it by adding one to depth.
func (c *checker) enter(n int) bool {
	c.nodes -= n
	c.depth--
	return c.nodes >= 0 && c.depth >= 0
}

// elements returns the position behind the n elements that begin at i.
func (c *checker) elements(i, n int) int {
	if !c.enter(n) {
		return 0
	}
	for ; n > 0; n-- {
		if i = c.value(i); i == 0 {
			return 0
		}
	}
	c.depth++
	return i
}

// pairs returns the position behind the n pairs that begin at i. The keys are to be strings, integers or booleans.
func (c *checker) pairs(i, n int) int {
	if !c.enter(n) {
		return 0
	}
	for ; n > 0; n-- {
		if uint(i) >= uint(len(c.b)) || !commonKey(c.b[i]) {
			return 0
		}
		if i = c.value(i); i == 0 {
			return 0
		}
		if i = c.value(i); i == 0 {
			return 0
		}
	}
	c.depth++
	return i
}

// commonKey reports whether a key of a common form begins with head: a table is none, nor is a float, which may be NaN.
func commonKey(head byte) bool {
	return head <= 0x7f || head >= 0xa0 && head != 0xcb && head != 0xdc && head != 0xde
}
