package script

import "strings"

// MaxNesting is how deep a source may nest: brackets and blocks inside each other, each with the operators in a row before what
// it holds; operators in a row such as the dots of a.b.c; and the elseif branches of one statement. The parser keeps what is
// open on a stack, and the compiler calls itself for each level.
const MaxNesting = 5000

// checkNesting refuses a source that is deeper than its parser should follow. What it counts is never less than the depth of the
// parser's stack; operators that lean to the left and chains of suffixes, which only make the tree deep, are left to the
// rewriter.
func checkNesting(name, source string) error {
	n := nesting{open: []int{0}}
	for s := (scanner{source: source}); ; {
		tok := s.next()
		if tok == "" {
			return nil
		}
		if n.add(tok); n.depth > MaxNesting {
			return tooDeep(name, lineOf(source[:s.pos]))
		}
	}
}

func tooDeep(name string, line int) *Error {
	return syntaxError("%s:%d: nested too deeply: more than %d levels", name, line, MaxNesting)
}

// lineOf returns the number of the line after read, as the parser counts: a carriage return and a line feed together end one
// line.
func lineOf(read string) int {
	line := 1
	for i := 0; i < len(read); i++ {
		if c := read[i]; c != '\n' && c != '\r' {
			continue
		} else if i+1 < len(read) && read[i+1] == '\n'+'\r'-c {
			i++
		}
		line++
	}
	return line
}

// A nesting is what is open at one place of a source.
type nesting struct {
	open  []int // for each open bracket or block, the operators of its current expression
	depth int   // the sum of it, and one for each
	value bool  // whether the last token may end an expression
}

// add takes the next token. A source that opens one thing and closes another is none the parser follows any further.
func (n *nesting) add(tok string) {
	ended := n.value
	n.value = false
	switch tok {
	case "(", "{", "[":
		n.push()
	case ")", "}", "]", "end":
		n.pop()
		n.value = true
	case "function":
		if ended {
			n.reset()
		}
		n.push()
	case "do", "then", "repeat":
		n.reset()
		n.push()
	case "until", "elseif":
		n.pop()
		n.reset()
	case "else":
		n.pop()
		n.push()
	case "and", "or", "not", "..", "+", "-", "*", "/", "%", "^", "#", "<", ">", "<=", ">=", "==", "~=":
		n.open[len(n.open)-1]++
		n.depth++
	case "=", ",", ";", "::", "break", "for", "goto", "if", "in", "local", "return", "while":
		n.reset()
	case ".", ":":
	default:
		if ended && wordPart(tok[0]) { // no expression goes on with a name or a number
			n.reset()
		}
		n.value = true
	}
}

func (n *nesting) push() {
	n.open = append(n.open, 0)
	n.depth++
}

func (n *nesting) pop() {
	n.reset()
	if last := len(n.open) - 1; last > 0 {
		n.open = n.open[:last]
		n.depth--
	}
}

// reset begins an expression.
func (n *nesting) reset() {
	n.depth -= n.open[len(n.open)-1]
	n.open[len(n.open)-1] = 0
}

// A scanner splits a source into the tokens that the parser of gopher-lua sees, its ways with odd numbers included: what is a
// string here and code there could nest unseen.
type scanner struct {
	source  string
	pos     int
	endless bool // no token is left as a long string or comment does not end
}

// longOperators are those of more than one character, longest first.
var longOperators = []string{"...", "..", "==", "~=", "<=", ">=", "::"}

// next returns the next token. At the end, and where the parser will find no token, it is empty.
func (s *scanner) next() string {
	if !s.skipSpace() || s.pos >= len(s.source) {
		return ""
	}
	start := s.pos
	switch c := s.source[s.pos]; {
	case decimal(c), c == '.' && decimal(s.at(1)):
		s.number()
	case wordPart(c):
		s.skip(wordPart)
	case c == '"' || c == '\'':
		if !s.quoted(c) {
			return ""
		}
	case c == '[' && (s.at(1) == '[' || s.at(1) == '='):
		if !s.long() {
			return ""
		}
	default:
		s.pos += s.operator()
	}
	return s.source[start:s.pos]
}

// at returns the character i places ahead, 0 behind the end.
func (s *scanner) at(i int) byte {
	if s.pos+i < len(s.source) {
		return s.source[s.pos+i]
	}
	return 0
}

// skip passes characters of a kind.
func (s *scanner) skip(kind func(byte) bool) {
	for s.pos < len(s.source) && kind(s.source[s.pos]) {
		s.pos++
	}
}

// skipSpace passes white space and comments. It reports whether all comments end.
func (s *scanner) skipSpace() bool {
	for {
		s.skip(blank)
		if !strings.HasPrefix(s.source[s.pos:], "--") {
			return true
		}
		s.pos += 2
		if s.at(0) == '[' && (s.at(1) == '[' || s.at(1) == '=') {
			if !s.long() {
				return false
			}
			continue
		}
		s.skip(func(c byte) bool { return c != '\n' && c != '\r' })
	}
}

// number passes a number. Behind the e of an exponent the parser takes one character whatever it is.
func (s *scanner) number() {
	if s.at(0) == '0' && s.at(1)|0x20 == 'x' {
		s.pos += 2
		s.skip(hexDigit)
		return
	}
	if s.at(0) == '.' {
		s.pos++
	}
	s.skip(decimal)
	if s.at(0) == '.' {
		s.pos++
		s.skip(decimal)
	}
	if s.at(0)|0x20 != 'e' {
		return
	}
	s.pos++
	if s.at(0) == '-' || s.at(0) == '+' {
		s.pos++
	}
	s.pos = min(s.pos+s.width(), len(s.source))
	s.skip(decimal)
}

// width returns how much the parser takes as one character here: a carriage return and a line feed are one.
func (s *scanner) width() int {
	if c := s.at(0); (c == '\n' || c == '\r') && s.at(1) == '\n'+'\r'-c {
		return 2
	}
	return 1
}

// quoted passes a string in quotes. It reports whether it ends.
func (s *scanner) quoted(quote byte) bool {
	for s.pos++; s.pos < len(s.source); s.pos++ {
		switch s.source[s.pos] {
		case quote:
			s.pos++
			return true
		case '\n', '\r':
			return false
		case '\\':
			s.pos++
			s.pos += s.width() - 1
		}
	}
	return false
}

// long passes a string in long brackets. It reports whether it is one and ends.
func (s *scanner) long() bool {
	s.pos++
	start := s.pos
	s.skip(func(c byte) bool { return c == '=' })
	if s.at(0) != '[' {
		return false
	}
	closing := "]" + s.source[start:s.pos] + "]"
	end := strings.Index(s.source[s.pos+1:], closing)
	if end < 0 {
		s.endless = true
		return false
	}
	s.pos += 1 + end + len(closing)
	return true
}

// operator returns the length of the operator here.
func (s *scanner) operator() int {
	for _, op := range longOperators {
		if strings.HasPrefix(s.source[s.pos:], op) {
			return len(op)
		}
	}
	return 1
}

func blank(c byte) bool    { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func decimal(c byte) bool  { return '0' <= c && c <= '9' }
func hexDigit(c byte) bool { return decimal(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
func wordPart(c byte) bool { return c == '_' || decimal(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }
