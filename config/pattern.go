package config

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// A pattern matches whole texts: * stands for any run of characters, ? for one, and \ takes the next character as it is. Matching
// takes time that grows no faster than text times pattern, whatever they are, and allocates nothing.
type pattern struct {
	elements []element
	head     string // what a text must begin with: the characters up to the first wildcard
	tail     string // what it must end with: those after the last
	exact    bool   // there are no wildcards: head is all
	simple   bool   // the one wildcard is a *: head and tail are all there is to know
}

// An element matches one character, or with any run a number of any.
type element struct {
	kind elementKind
	char rune // of one
}

type elementKind byte

const (
	one elementKind = iota // the character char
	any1
	anyRun
)

var errBackslash = errors.New(`a pattern ends with \: write \\ for the character itself`)

// compile returns the pattern that a text describes.
func compile(text string) (pattern, error) {
	var p pattern
	escaped := false
	for _, r := range text {
		switch {
		case !escaped && r == '\\':
			escaped = true
			continue
		case !escaped && r == '*':
			if n := len(p.elements); n == 0 || p.elements[n-1].kind != anyRun {
				p.elements = append(p.elements, element{kind: anyRun})
			}
			continue
		case !escaped && r == '?':
			p.elements = append(p.elements, element{kind: any1})
		default:
			p.elements = append(p.elements, element{kind: one, char: r})
		}
		escaped = false
	}
	if escaped {
		return pattern{}, errBackslash
	}
	p.ends()
	return p, nil
}

// ends finds what most texts are told apart by.
func (p *pattern) ends() {
	wild := func(e element) bool { return e.kind != one }
	first := slices.IndexFunc(p.elements, wild)
	p.exact = first < 0
	if p.exact {
		p.head = characters(p.elements)
		return
	}
	last := first
	for i, e := range p.elements {
		if wild(e) {
			last = i
		}
	}
	p.head, p.tail = characters(p.elements[:first]), characters(p.elements[last+1:])
	p.simple = first == last && p.elements[first].kind == anyRun
}

// characters returns the text of elements without wildcards.
func characters(elements []element) string {
	var b strings.Builder
	for _, e := range elements {
		b.WriteRune(e.char)
	}
	return b.String()
}

// literally returns a text as the pattern that matches it and nothing else.
func literally(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(text)
}

// takes reports whether e matches one character.
func (e element) takes(r rune) bool { return e.kind == any1 || e.kind == one && e.char == r }

// match reports whether p matches text. When what follows the last run does not fit, that run takes one character more; earlier runs
// need not be tried again.
func (p *pattern) match(text string) bool {
	switch {
	case p.exact:
		return p.head == text
	case !strings.HasPrefix(text, p.head) || !strings.HasSuffix(text, p.tail):
		return false
	case p.simple:
		return len(text) >= len(p.head)+len(p.tail)
	}
	next, run, runText := 0, -1, 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case next < len(p.elements) && p.elements[next].kind == anyRun:
			run, runText = next, i
			next++
		case next < len(p.elements) && p.elements[next].takes(r):
			next++
			i += size
		case run >= 0:
			_, skipped := utf8.DecodeRuneInString(text[runText:])
			runText += skipped
			next, i = run+1, runText
		default:
			return false
		}
	}
	return p.rest(next)
}

// rest reports whether the elements from next on match nothing.
func (p *pattern) rest(next int) bool {
	return next == len(p.elements) || next == len(p.elements)-1 && p.elements[next].kind == anyRun
}

// reach follows every way in which p can match the beginning of texts that begin with prefix. some tells that there is a way, so that
// p matches some such text; all that one of the ways has come to a last *, so that p matches all of them.
func (p *pattern) reach(prefix string) (some, all bool) {
	states := make([]bool, len(p.elements)+1)
	states[0] = true
	p.spread(states)
	for _, r := range prefix {
		for i := len(p.elements); i >= 0; i-- {
			stays := states[i] && i < len(p.elements) && p.elements[i].kind == anyRun
			comes := i > 0 && states[i-1] && p.elements[i-1].takes(r)
			states[i] = stays || comes
		}
		p.spread(states)
	}
	for i, alive := range states {
		some = some || alive
		all = all || alive && i == len(p.elements)-1 && p.elements[i].kind == anyRun
	}
	return some, all
}

// spread adds the states that are reached by a run of no characters.
func (p *pattern) spread(states []bool) {
	for i, e := range p.elements {
		if states[i] && e.kind == anyRun {
			states[i+1] = true
		}
	}
}
