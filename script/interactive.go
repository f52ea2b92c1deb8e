package script

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/yuin/gopher-lua/parse"
)

// An Input is what is typed at a prompt, line after line. The zero value is empty. It is not safe for concurrent use.
type Input struct {
	text    strings.Builder
	begun   bool // there is a line
	scanned int  // how much of the text is in nesting, in bytes
	last    string
	nesting nesting
	endless bool // a long string or comment goes on at the end of the text
	wrong   bool // the parser will find no token where scanned ends
}

// Add adds a line, which comes without what ends it.
func (in *Input) Add(line string) {
	if in.begun {
		in.text.WriteByte('\n')
	} else {
		in.begun, in.nesting.open = true, []int{0}
	}
	in.text.WriteString(line)
	if !in.endless || strings.Contains(line, "]") {
		in.scan()
	}
}

// String returns the lines.
func (in *Input) String() string { return in.text.String() }

// scan takes the tokens that came with the last line. What did not end there is looked at again.
func (in *Input) scan() {
	s := scanner{source: in.text.String(), pos: in.scanned}
	for {
		in.scanned = s.pos
		tok := s.next()
		if tok == "" {
			rest := scanner{source: s.source, pos: in.scanned}
			in.endless, in.wrong = s.endless, !s.endless && !(rest.skipSpace() && rest.pos == len(s.source))
			return
		}
		in.nesting.add(tok)
		in.last = tok
	}
}

// Open reports whether more lines have to follow, as a bracket, a block, a long string or an expression is not at its end. It is known at
// no cost, where [CompileInteractive] reads all lines; but only that knows of mistakes, and of all else that is [Incomplete].
func (in *Input) Open() bool {
	switch {
	case in.wrong, in.text.Len() > MaxSource, in.nesting.depth > MaxNesting:
		return false
	case in.endless, len(in.nesting.open) > 1:
		return true
	}
	return in.last != "" && !in.nesting.value && !slices.Contains(endings, in.last)
}

// endings are tokens that end a statement besides those that end an expression.
var endings = []string{";", "::", "break", "return"}

// CompileInteractive translates what a person has typed at a prompt: an expression, or several that commas separate, whose values are
// the results of the program, or else statements. A = before an expression is skipped, by which Lua 5.1 knows one. Errors have the
// lines of the source as it was typed. While [Incomplete] says so of the error, another line can be added to the source; [Input] tells of
// a long one whether that is worth a try. Otherwise it is [Compile].
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
