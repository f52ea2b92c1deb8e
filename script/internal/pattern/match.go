package pattern

import "strings"

// longRun is how many bytes of the subject are looked at between two polls where that is fast.
const longRun = 1 << 16

// A choice is a place to come back to when what follows does not match. Captures are there so that what they were before is
// restored on the way back.
type choice struct {
	kind kind
	p    int // in the pattern, where matching goes on
	item int // in the pattern, what is repeated; or which capture is undone
	low  int // in the subject, how far it may go back
	s    int // in the subject, where it was tried last
}

type kind int

const (
	most   kind = iota // a repetition that gives back one byte at a time
	least              // a repetition that takes one byte more at a time
	opened             // a capture that was begun
	closed             // a capture that was ended
)

// Match returns the end of the match that begins at s, or [None]. Of several it is the one that Lua takes: each repetition first
// tries the most, or with "-" the least, that it may take, and what follows decides whether that will do.
//
// Items are matched one by one, without recursion, until one fails. Then matching comes back to the last choice that was made, and
// goes on from there with the next that there is.
func (m *Matcher) Match(s int) (end int, err error) {
	m.level, m.choices = 0, m.choices[:0]
	for p := 0; ; {
		if m.Spend(1); p >= len(m.pattern) {
			return s, nil
		}
		if s, p = m.item(s, p); s == None && m.err == nil {
			s, p = m.back()
		}
		if s == None {
			return None, m.err
		}
	}
}

// item matches the item at p against the subject at s. It returns where both go on, or [None].
func (m *Matcher) item(s, p int) (int, int) {
	switch m.pattern[p] {
	case '(':
		return m.open(s, p+1)
	case ')':
		return m.close(s, p+1)
	case '%':
		return m.escape(s, p)
	case '$': // elsewhere than at the end it stands for itself
		if p+1 < len(m.pattern) {
			break
		}
		if s < len(m.subject) {
			return None, 0
		}
		return s, p + 1
	}
	return m.single(s, p)
}

// escape matches what begins with a "%".
func (m *Matcher) escape(s, p int) (int, int) {
	if p+1 == len(m.pattern) {
		return m.fail(ErrEndsWithPercent)
	}
	switch c := m.pattern[p+1]; {
	case c == 'b':
		return m.balance(s, p+2)
	case c == 'f':
		return m.frontier(s, p+2)
	case '0' <= c && c <= '9':
		return m.again(s, p+2, int(c)-'1')
	}
	return m.single(s, p)
}

// single matches an item that stands for one byte, as often as what follows it says.
func (m *Matcher) single(s, p int) (int, int) {
	next := m.itemEnd(p)
	if next == None {
		return None, 0
	}
	if next < len(m.pattern) {
		switch m.pattern[next] {
		case '*':
			return m.take(s, m.run(s, p), next+1)
		case '+':
			if end := m.run(s, p); end > s {
				return m.take(s+1, end, next+1)
			}
			return None, 0
		case '?':
			if s < len(m.subject) && m.matches(m.subject[s], p) {
				return m.take(s, s+1, next+1)
			}
			return s, next + 1
		case '-':
			return m.push(choice{kind: least, p: next + 1, item: p, s: s})
		}
	}
	if s < len(m.subject) && m.matches(m.subject[s], p) {
		return s + 1, next
	}
	return None, 0
}

// itemEnd returns where the item at p, one that stands for one byte, ends, or [None] when it does not. A "%" is never the last byte
// here: escape has seen to that.
func (m *Matcher) itemEnd(p int) int {
	switch m.pattern[p] {
	case '%':
		return p + 2
	case '[':
		if set := m.set(p); set != nil {
			return set.end
		}
		return None
	}
	return p + 1
}

// matches reports whether c is what the item at p stands for.
func (m *Matcher) matches(c byte, p int) bool {
	switch want := m.pattern[p]; want {
	case '.':
		return true
	case '%':
		if class := &classes[m.pattern[p+1]]; class.letter {
			return class.has(c)
		}
		return c == m.pattern[p+1]
	case '[':
		return m.set(p).has(c)
	default:
		return c == want
	}
}

// run returns the end of the longest run of bytes from s on that the item at p stands for.
func (m *Matcher) run(s, p int) int {
	switch c := m.pattern[p]; c {
	case '.':
		return len(m.subject)
	case '%':
		if class := &classes[m.pattern[p+1]]; class.letter {
			return m.runOf(&class.bytes, s)
		}
		return m.runOfByte(m.pattern[p+1], s)
	case '[':
		return m.runOf(&m.set(p).bytes, s)
	default:
		return m.runOfByte(c, s)
	}
}

// runOf returns the end of the run of bytes of a set that begins at s.
func (m *Matcher) runOf(b *bytes, s int) int {
	for s < len(m.subject) {
		begin, end := s, min(s+longRun, len(m.subject))
		for s < end && b.has(m.subject[s]) {
			s++
		}
		if m.Spend((s - begin) / 4); s < end {
			break
		}
	}
	return s
}

// runOfByte returns the end of the run of one byte that begins at s.
func (m *Matcher) runOfByte(c byte, s int) int {
	for s < len(m.subject) {
		begin, end := s, min(s+longRun, len(m.subject))
		for s < end && m.subject[s] == c {
			s++
		}
		if m.Spend((s - begin) / 4); s < end {
			break
		}
	}
	return s
}

// take goes on at high, and remembers that anything down to low would do. At the end of the pattern high will do.
func (m *Matcher) take(low, high, p int) (int, int) {
	if high == low || p == len(m.pattern) {
		return high, p
	}
	return m.push(choice{kind: most, p: p, low: low, s: high})
}

// push remembers a choice and goes on with it.
func (m *Matcher) push(c choice) (int, int) {
	if len(m.choices) == MaxDepth {
		return m.fail(ErrTooComplex)
	}
	m.choices = append(m.choices, c)
	return c.s, c.p
}

// back returns where the last choice that is left goes on, or [None].
func (m *Matcher) back() (int, int) {
	for n := len(m.choices) - 1; n >= 0; n-- {
		m.Spend(1)
		switch c := &m.choices[n]; c.kind {
		case most:
			if c.s--; c.s == c.low { // the last that there is
				m.choices = m.choices[:n]
			}
			return c.s, c.p
		case least:
			if c.s < len(m.subject) && m.matches(m.subject[c.s], c.item) {
				c.s++
				return c.s, c.p
			}
		case opened:
			m.level--
		case closed:
			m.captures[c.item].end = unfinished
		}
		m.choices = m.choices[:n]
	}
	return None, 0
}

// open begins the capture whose "(" is before p.
func (m *Matcher) open(s, p int) (int, int) {
	end := unfinished
	if p < len(m.pattern) && m.pattern[p] == ')' {
		end, p = position, p+1
	}
	if m.level == MaxCaptures {
		return m.fail(ErrTooManyCaptures)
	}
	m.captures[m.level] = capture{s, end}
	m.level++
	return m.undoable(choice{kind: opened, p: p, s: s})
}

// close ends the capture that was opened last of those that are open.
func (m *Matcher) close(s, p int) (int, int) {
	for i := m.level - 1; i >= 0; i-- {
		if m.captures[i].end == unfinished {
			m.captures[i].end = s
			return m.undoable(choice{kind: closed, p: p, item: i, s: s})
		}
	}
	return m.fail(ErrPatternCapture)
}

// undoable remembers what became of a capture where there is something to come back to. Otherwise the match ends without it.
func (m *Matcher) undoable(c choice) (int, int) {
	if len(m.choices) == 0 {
		return c.s, c.p
	}
	return m.push(c)
}

// again matches what a capture holds once more. A position is matched by nothing.
func (m *Matcher) again(s, p, i int) (int, int) {
	if i < 0 || i >= m.level || m.captures[i].end == unfinished {
		return m.fail(ErrCaptureIndex)
	}
	c := m.captures[i]
	if c.end == position {
		return None, 0
	}
	m.Spend((c.end - c.start) / 16)
	if !strings.HasPrefix(m.subject[s:], m.subject[c.start:c.end]) {
		return None, 0
	}
	return s + c.end - c.start, p
}

// balance matches a string that begins with the byte at p, ends with the next, and has as many of the one as of the other.
func (m *Matcher) balance(s, p int) (int, int) {
	if p+1 >= len(m.pattern) {
		return m.fail(ErrUnbalanced)
	}
	begin, end := m.pattern[p], m.pattern[p+1]
	if s == len(m.subject) || m.subject[s] != begin {
		return None, 0
	}
	for depth := 1; ; {
		if s++; s == len(m.subject) {
			return None, 0
		}
		m.Spend(1)
		switch m.subject[s] {
		case end: // first: it may be the same as begin
			if depth--; depth == 0 {
				return s + 1, p + 2
			}
		case begin:
			depth++
		}
	}
}

// frontier matches the empty string between a byte that is not in the set at p and one that is. A NUL byte is before the first
// and behind the last byte.
func (m *Matcher) frontier(s, p int) (int, int) {
	if p == len(m.pattern) || m.pattern[p] != '[' {
		return m.fail(ErrMissingSet)
	}
	set := m.set(p)
	if set == nil {
		return None, 0
	}
	var before, behind byte
	if s > 0 {
		before = m.subject[s-1]
	}
	if s < len(m.subject) {
		behind = m.subject[s]
	}
	if set.has(before) || !set.has(behind) {
		return None, 0
	}
	return s, set.end
}

// fail makes the match end with an error.
func (m *Matcher) fail(err error) (int, int) {
	m.err = err
	return None, 0
}
