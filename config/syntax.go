package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What a file may be at most. The parser takes a stack for each level, and time that grows faster than the number of tokens.
const (
	maxFile    = 1 << 20 // bytes
	maxLines   = 20_000
	maxTokens  = 100_000
	maxNesting = 50
	maxIndent  = 100 // spaces
)

// A file is one source on its way to a configuration: it gathers the mistakes.
type file struct {
	path     string
	source   *source
	mistakes []*Error
}

// add notes a mistake at a place.
func (f *file) add(line, column int, format string, args ...any) *Error {
	e := &Error{File: f.path, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
	f.mistakes = append(f.mistakes, e)
	return e
}

// fail returns all mistakes as one error, with their lines; nil if there are none.
func (f *file) fail() error {
	err := joined(f.mistakes)
	if err == nil {
		return nil
	}
	for _, e := range f.mistakes {
		if e.Line > 0 && f.source != nil {
			e.Source, e.caret = f.source.show(e.Line, e.Column)
		}
	}
	return err
}

// read returns the root of the tree that a source is, nil if there are mistakes.
func (f *file) read(text []byte) *node {
	if len(text) > maxFile {
		f.add(0, 0, "too large: at most %d KB", maxFile>>10)
		return nil
	}
	plain := strings.TrimPrefix(string(text), "\ufeff")
	if !utf8.ValidString(plain) {
		f.add(1+strings.Count(plain[:invalidAt(plain)], "\n"), 1, "not valid UTF-8: save the file in that encoding")
		return nil
	}
	plain = strings.ReplaceAll(plain, "\r\n", "\n")
	f.source = newSource(plain)
	f.checkLines()
	if len(f.mistakes) > 0 {
		return nil
	}
	return f.parse(plain)
}

// invalidAt returns where text stops being UTF-8.
func invalidAt(text string) int {
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd") {
			return i
		}
	}
	return len(text)
}

// checkLines notes what no line of YAML may be, before a parser sees it.
func (f *file) checkLines() {
	if len(f.source.lines) > maxLines {
		f.add(maxLines+1, 1, "too many lines: at most %d", maxLines)
	}
	for i, line := range f.source.lines {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t-"))]
		empty := strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#")
		switch at := strings.IndexFunc(line, isControl); {
		case empty && at < 0:
		case strings.Contains(indent, "\t"):
			f.add(i+1, 1+strings.Index(indent, "\t"), "tab in the indentation: YAML wants spaces")
		case at >= 0:
			f.add(i+1, 1+utf8.RuneCountInString(line[:at]), "control character: remove it, or write it as an escape in double quotes")
		case len(indent) > maxIndent || strings.Count(indent, "-") > maxNesting && strings.Contains(indent, "- "):
			f.add(i+1, 1, "nested too deeply")
		}
	}
}

// isControl reports whether YAML forbids a character in a line.
func isControl(r rune) bool { return r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\ufeff' }

// parse returns the tree of a text whose lines are right.
func (f *file) parse(text string) (root *node) {
	// The parser is given what anybody may have written into a file: a fault in it must be no fault of the host.
	defer func() {
		if recover() != nil {
			f.add(0, 0, "no valid YAML")
			root = nil
		}
	}()
	tokens := lexer.Tokenize(text)
	if f.checkTokens(tokens); len(f.mistakes) > 0 {
		return nil
	}
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		f.syntax(err)
		return nil
	}
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			return f.node(doc.Body)
		}
	}
	f.add(0, 0, "empty: want at least one of the sections %s", list(sectionNames()))
	return nil
}

// refused are the parts of YAML that a configuration has no use for.
var refused = map[token.Type]string{
	token.AnchorType:     "an anchor (&) is not supported: write the values out, and put text that begins with & in quotes",
	token.AliasType:      `an alias (*) is not supported: put a pattern in quotes, such as "*.lua"`,
	token.MergeKeyType:   "a merge key (<<) is not supported: write the fields out",
	token.TagType:        "a tag (!) is not supported: put text that begins with ! in quotes",
	token.DirectiveType:  "a directive (%) is not supported: remove the line",
	token.MappingKeyType: "a complex key (?) is not supported: write name: value",
}

// checkTokens notes what is refused whatever it stands for.
func (f *file) checkTokens(tokens token.Tokens) {
	if len(tokens) > maxTokens {
		f.add(0, 0, "too long: at most %d words and signs", maxTokens)
		return
	}
	depth, begun := 0, false
	for _, t := range tokens {
		switch why, ok := refused[t.Type]; {
		case ok:
			f.at(t, why)
		case t.Type == token.DocumentHeaderType && begun:
			f.at(t, "a second document: want one in a file")
			return
		case t.Type == token.MappingStartType || t.Type == token.SequenceStartType:
			depth++
		case t.Type == token.MappingEndType || t.Type == token.SequenceEndType:
			depth--
		}
		if depth > maxNesting {
			f.at(t, "nested too deeply")
			return
		}
		begun = begun || t.Type != token.CommentType
	}
}

// at notes a mistake at a token. What the lexer has found out about the line so far is no reason to show more of it than a name.
func (f *file) at(t *token.Token, why string) {
	line, column := 1, 1
	if t != nil && t.Position != nil {
		line, column = f.place(t)
	}
	f.guess(line)
	f.add(line, column, "%s", why)
}

// place returns the position of a token, within the file whatever the lexer says.
func (f *file) place(t *token.Token) (line, column int) {
	line = max(1, min(t.Position.Line, len(f.source.lines)))
	return line, max(1, min(t.Position.Column, 1+utf8.RuneCountInString(f.source.lines[line-1])))
}

var known = regexp.MustCompile(`^[ -]*([a-z_]+):(?: |$)`)

// guess marks the key of a line that no parser has understood, if it is the name of a field: all else may be part of a value.
func (f *file) guess(line int) {
	if len(f.source.keys[line]) > 0 {
		return
	}
	text := f.source.lines[line-1]
	if m := known.FindStringSubmatchIndex(text); m != nil && isField(text[m[2]:m[3]]) {
		f.source.add(line, m[2]+1, text[m[2]:m[3]])
	}
}

// syntax notes why the parser gave up.
func (f *file) syntax(err error) {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil {
		f.add(0, 0, "no valid YAML")
		return
	}
	f.at(y.GetToken(), f.explain(y))
}

var colonAtEnd = regexp.MustCompile(`:[ ]+[A-Za-z]+:[ ]*(#.*)?$`)

// explain says what to do about an error of the parser, whose own words may repeat a value.
func (f *file) explain(y yaml.Error) string {
	message := y.GetMessage()
	line, _ := f.place(y.GetToken())
	switch has := func(part string) bool { return strings.Contains(message, part) }; {
	case has("mapping value is not allowed") && colonAtEnd.MatchString(f.source.lines[line-1]):
		return `a value that ends with a colon needs quotes: write "mem:"`
	case has("mapping value is not allowed"):
		return "a colon and a space where no field can begin: check the indentation of this line and the next, or put the value in quotes"
	case has("could not find end character"):
		return "quotes that are opened here are never closed"
	case has("reserved character"):
		return "a value cannot begin with this character: put it in quotes"
	case has("unknown escape"):
		return "unknown escape in double quotes: write \\\\ for a backslash, or use single quotes"
	case has("must be specified") || has("not found") || has("could not find flow"):
		return `a list [ ] or mapping { } that began here or above is not closed, lacks a comma, or holds a value that needs quotes, such as "${NAME}"`
	case has("block sequence entries"):
		return "a list begins on its own line, below its field: move the dash there"
	case has("value is not allowed in this context") || has("unexpected key name") || has("non-map value"):
		return "this does not fit what is above it: indent it like its neighbours, and check that fields end with a colon"
	}
	return "no valid YAML here: check indentation, quotes, brackets and colons"
}
