// Package pattern matches the patterns of Lua 5.1 as its own string library does: the same matches, the same captures and the same
// errors, at the same moments: a malformed pattern is an error only when matching comes to where it is malformed. Strings are
// bytes, and the classes are those of the C locale.
//
// Matching may take exponential time, so it polls. It does not recurse: what backtracking has to remember is on a stack of its
// own, which is bounded.
package pattern

import (
	"errors"
	"strings"
)

// MaxCaptures is how many captures a pattern may have.
const MaxCaptures = 32

// MaxDepth bounds how many places a match may have to come back to: one for each repetition and each capture of the pattern that
// it has passed. Lua 5.1 recurses there until its C stack is full. A place takes 40 bytes.
const MaxDepth = 200_000

// Errors of patterns, in the words of Lua 5.1, and one in those of Lua 5.2: [ErrTooComplex] is about [MaxDepth].
var (
	ErrEndsWithPercent   = errors.New("malformed pattern (ends with '%')")
	ErrMissingBracket    = errors.New("malformed pattern (missing ']')")
	ErrMissingSet        = errors.New("missing '[' after '%f' in pattern")
	ErrUnbalanced        = errors.New("unbalanced pattern")
	ErrPatternCapture    = errors.New("invalid pattern capture")
	ErrCaptureIndex      = errors.New("invalid capture index")
	ErrUnfinishedCapture = errors.New("unfinished capture")
	ErrTooManyCaptures   = errors.New("too many captures")
	ErrTooComplex        = errors.New("pattern too complex")
)

// None is the end of a match that there is not.
const None = -1

// Marks in place of the end of a capture.
const (
	unfinished = -1
	position   = -2
)

// keptChoices is how much room for choices a Matcher keeps from one match to the next.
const keptChoices = 1024

// keptPattern is the longest pattern whose sets a Matcher keeps for the next Reset, which may be with the same.
const keptPattern = 256

// pollEvery is how many steps, of a few nanoseconds each, pass between two polls.
const pollEvery = 10_000

// A Matcher matches one pattern against one subject. One that is [Matcher.Reset] again and again allocates nothing for most
// patterns. It is not safe for concurrent use.
type Matcher struct {
	// Poll is called every few thousand steps. It may panic, to end a match that takes too long; the Matcher may be Reset
	// after that. Nil means that nothing ends one.
	Poll func()

	subject, pattern string
	level            int // how many captures have begun
	captures         [MaxCaptures]capture
	choices          []choice
	sets             [setSlots]set
	setsOf           []byte // the pattern that they are of, or its beginning
	steps            int    // left before the next poll
	err              error  // why matching cannot go on
}

// A capture is what lies between two positions of the subject. Its end may be a mark.
type capture struct{ start, end int }

// Anchored splits a pattern into what is to be matched, and whether that has to begin where the search does.
func Anchored(pattern string) (rest string, anchored bool) { return strings.CutPrefix(pattern, "^") }

// Reset makes m match a pattern, without its anchor, against a subject. As in Lua 5.1 a pattern ends at a NUL byte.
func (m *Matcher) Reset(subject, pattern string) {
	if end := strings.IndexByte(pattern, 0); end >= 0 {
		pattern = pattern[:end]
	}
	m.subject, m.err = subject, nil
	if cap(m.choices) > keptChoices {
		m.choices = nil
	}
	m.pattern = pattern
	if len(pattern) > keptPattern || string(m.setsOf) != pattern {
		m.forgetSets()
		m.setsOf = append(m.setsOf[:0], pattern[:min(len(pattern), keptPattern)]...)
	}
}

// Forget drops the strings of the last Reset, so that they can be freed.
func (m *Matcher) Forget() { m.subject, m.pattern = "", "" }

// Find returns the first match that begins at from or behind it. Its end is [None] if there is none.
func (m *Matcher) Find(from int) (start, end int, err error) {
	first, fixed := m.firstByte()
	for s := from; s <= len(m.subject); s++ {
		if fixed {
			if s = m.skip(s, first); s == None {
				return 0, None, nil
			}
		}
		if end, err := m.Match(s); end != None || err != nil {
			return s, end, err
		}
	}
	return 0, None, nil
}

// firstByte returns the byte that each match begins with, where the pattern says one.
func (m *Matcher) firstByte() (first byte, fixed bool) {
	p := m.pattern
	if p == "" || strings.IndexByte("([.%$)", p[0]) >= 0 {
		return 0, false
	}
	return p[0], len(p) == 1 || strings.IndexByte("*?-", p[1]) < 0
}

// skip returns where the next c is, from s on, or [None]. It is what makes a search fast.
func (m *Matcher) skip(s int, c byte) int {
	for s < len(m.subject) {
		end := min(s+longRun, len(m.subject))
		if i := strings.IndexByte(m.subject[s:end], c); i >= 0 {
			m.Spend(i / 64)
			return s + i
		}
		m.Spend((end - s) / 64)
		s = end
	}
	return None
}

// Captures returns how many captures the last match has.
func (m *Matcher) Captures() int { return m.level }

// Capture returns one of them, counted from 0. The end of one that holds a position is [None].
func (m *Matcher) Capture(i int) (start, end int, err error) {
	if i >= m.level {
		return 0, None, ErrCaptureIndex
	}
	c := m.captures[i]
	switch c.end {
	case unfinished:
		return 0, None, ErrUnfinishedCapture
	case position:
		return c.start, None, nil
	}
	return c.start, c.end, nil
}

// Spend counts n steps and polls when it is time. Who works on what was matched may count that too.
func (m *Matcher) Spend(n int) {
	if m.steps -= n; m.steps < 0 {
		m.poll()
	}
}

func (m *Matcher) poll() {
	m.steps = pollEvery
	if m.Poll != nil {
		m.Poll()
	}
}
