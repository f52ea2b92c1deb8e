package script

import (
	"errors"
	"math"
	"strings"

	"github.com/yuin/gopher-lua/parse"
)

// longInput is the length, in bytes, from which on an input is not compiled before its brackets and blocks are closed: whoever adds
// line after line to it would wait for the compiler at each.
const longInput = 32 << 10

// CompileInteractive translates what a person has typed at a prompt: an expression, or several that commas separate, whose values are
// the results of the program, or else statements. A = before an expression is skipped, by which Lua 5.1 knows one. Errors have the
// lines of the source as it was typed. While [Incomplete] says so of the error, another line can be added to the source; one of more
// than 32 KB is then not compiled before its brackets and blocks are closed. Otherwise it is [Compile].
func CompileInteractive(name, source string) (*Program, error) {
	p, err := compileInput(name, source)
	var failed *Error
	if errors.As(err, &failed) {
		failed.Message = strings.TrimSuffix(failed.Message, " of the file") // there is none
	}
	return p, err
}

// compileInput is CompileInteractive, but takes the source for a file.
func compileInput(name, source string) (*Program, error) {
	source = strings.TrimPrefix(source, "\ufeff")
	if len(source) > longInput && len(source) <= MaxSource && opened(source) > 0 {
		return nil, unfinished(name)
	}
	if expression, ok := strings.CutPrefix(strings.TrimLeft(source, " \t"), "="); ok {
		return compileExpression(name, expression)
	}
	p, err := compileExpression(name, source)
	if err == nil || strings.HasPrefix(source, "#") { // the operator: a prompt needs no name of an interpreter
		return p, err
	}
	statements, failed := Compile(name, source)
	if failed != nil {
		return nil, further(err, failed)
	}
	return statements, nil
}

const returns = "return "

// compileExpression compiles expressions. A function that they call last is called from them, and not in their place: errors have the
// line.
func compileExpression(name, source string) (*Program, error) {
	p, err := Compile(name, returns+source)
	if err == nil {
		keepCaller(p.proto)
		return p, nil
	}
	var failed *Error
	if errors.As(err, &failed) && failed.at.line == 1 {
		failed.at.column -= len(returns)
	}
	return nil, err
}

// Incomplete reports whether [Compile] or [CompileInteractive] failed only because the source ends too early, as "for i = 1, 3 do" or
// "x =" does, so that more lines may make it whole.
func Incomplete(err error) bool { return placeIn(err).open }

// unfinished is a source that ends too early.
func unfinished(name string) *Error {
	failed := syntaxError("%s: syntax error at the end of the file", name)
	failed.at = place{line: math.MaxInt, open: true}
	return failed
}

// further returns the error of the attempt that got further with a source, which tells more: the expression or the statements. One that
// needs nothing but more lines has made no mistake.
func further(expression, statements error) error {
	e, s := placeIn(expression), placeIn(statements)
	switch {
	case e.open, !s.open && e.after(s):
		return expression
	}
	return statements
}

// A place is where the parser found a source wrong; the zero place is behind all of it.
type place struct {
	line, column int
	open         bool // what is wrong is that the source ends here
}

// after reports whether p comes later in a source than q.
func (p place) after(q place) bool {
	switch {
	case q.line == 0, p.line == 0:
		return q.line != 0
	case p.line != q.line:
		return p.line > q.line
	}
	return p.column > q.column
}

// placeIn returns the place of an error, the zero place if it has none.
func placeIn(err error) place {
	var failed *Error
	if !errors.As(err, &failed) {
		return place{}
	}
	return failed.at
}

// placeOf returns the place of an error of the parser. A string in quotes ends with its line, unless a backslash stands there.
func placeOf(source string, err *parse.Error) place {
	if err.Pos.Line != parse.EOF {
		return place{line: err.Pos.Line, column: err.Pos.Column}
	}
	return place{line: math.MaxInt, open: err.Message != "unterminated string" || goesOn(source)}
}

// goesOn reports whether the last line of a source ends with a backslash that is not escaped itself.
func goesOn(source string) bool {
	line := strings.TrimSuffix(source, "\n")
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// opened returns how many brackets and blocks a source leaves open.
func opened(source string) int {
	n := nesting{open: []int{0}}
	for s := (scanner{source: source}); ; {
		tok := s.next()
		if tok == "" {
			return len(n.open) - 1
		}
		n.add(tok)
	}
}
