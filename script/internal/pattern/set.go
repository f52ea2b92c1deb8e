package pattern

import "strings"

// bytes is a set of bytes.
type bytes [4]uint64

func (b *bytes) has(c byte) bool { return b[c>>6]>>(c&63)&1 != 0 }

func (b *bytes) add(c byte) { b[c>>6] |= 1 << (c & 63) }

func (b *bytes) addAll(other *bytes) {
	for i := range b {
		b[i] |= other[i]
	}
}

func (b *bytes) complement() {
	for i := range b {
		b[i] = ^b[i]
	}
}

// A class is what a letter behind a "%" stands for. Other bytes there stand for themselves.
type class struct {
	bytes
	letter bool
}

// classes holds the classes of the C locale by their letters.
var classes = func() (all [256]class) {
	const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	lower := func(c byte) bool { return 'a' <= c && c <= 'z' }
	upper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	for letter, in := range map[byte]func(c byte) bool{
		'a': func(c byte) bool { return lower(c) || upper(c) },
		'c': func(c byte) bool { return c < ' ' || c == 0x7f },
		'd': digit,
		'l': lower,
		'p': func(c byte) bool { return strings.IndexByte(punctuation, c) >= 0 },
		's': func(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' },
		'u': upper,
		'w': func(c byte) bool { return lower(c) || upper(c) || digit(c) },
		'x': func(c byte) bool { return digit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' },
		'z': func(c byte) bool { return c == 0 },
	} {
		class := class{letter: true}
		for c := range 256 {
			if in(byte(c)) {
				class.add(byte(c))
			}
		}
		all[letter] = class
		class.complement()
		all[letter-'a'+'A'] = class
	}
	return all
}()

// setSlots is how many sets of a pattern are kept. The next that wants the slot of one takes it.
const setSlots = 13

// A set is what stands in brackets, as bytes: however long it is written, it is read once.
type set struct {
	bytes
	at  int // its "[" in the pattern, counted from 1
	end int // behind its "]"
}

func (m *Matcher) forgetSets() {
	for i := range m.sets {
		m.sets[i].at = 0
	}
}

// set returns the set at p, or nil when it does not end.
func (m *Matcher) set(p int) *set {
	kept := &m.sets[p%setSlots]
	if kept.at == p+1 {
		return kept
	}
	last := m.setEnd(p)
	if last == None {
		m.fail(ErrMissingBracket)
		return nil
	}
	*kept = set{end: last + 1}
	m.read(kept, p+1, last)
	kept.at = p + 1 // not before it is read: a poll may panic
	return kept
}

// setEnd returns where the "]" of the set at p is. One that comes first is an element.
func (m *Matcher) setEnd(p int) int {
	if p++; p < len(m.pattern) && m.pattern[p] == '^' {
		p++
	}
	for first := p; p < len(m.pattern); p++ {
		m.Spend(1)
		switch {
		case m.pattern[p] == ']' && p > first:
			return p
		case m.pattern[p] == '%':
			p++
		}
	}
	return None
}

// read puts the elements from p to last into a set. A range is taken before a "%" at its end is seen, so that what that stood
// before is an element of its own, even the "]" itself: so does Lua.
func (m *Matcher) read(into *set, p, last int) {
	negated := m.pattern[p] == '^'
	if negated {
		p++
	}
	for ; p < last; p++ {
		m.Spend(1)
		switch c := m.pattern[p]; {
		case c == '%':
			p++
			into.addItem(m.pattern[p])
		case m.pattern[p+1] == '-' && p+2 < last:
			p += 2
			for in := int(c); in <= int(m.pattern[p]); in++ {
				into.add(byte(in))
			}
		default:
			into.add(c)
		}
	}
	if negated {
		into.complement()
	}
}

// addItem adds what c stands for behind a "%".
func (s *set) addItem(c byte) {
	if class := &classes[c]; class.letter {
		s.addAll(&class.bytes)
		return
	}
	s.add(c)
}
