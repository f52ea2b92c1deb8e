package script

import (
	"errors"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// MaxSource is the longest source that is compiled, in bytes.
const MaxSource = 1 << 20

// A Program is compiled Lua source. It does not change: any number of runners and units may use it at once.
type Program struct {
	name     string
	proto    *lua.FunctionProto
	assigned []string // names of globals that it may assign, sorted
	escapes  []string // names of globals that it uses otherwise than to read a field of, sorted
}

// Compile translates Lua source. The name, usually the path of the file, stands in error messages and is the name of the units
// that run the program. A first line that begins with # is skipped, for scripts that name their interpreter. The error is an
// [*Error] of kind [KindSyntax].
func Compile(name, source string) (p *Program, err error) {
	defer func() { // the compiler answers some sources with a panic
		if v := recover(); v != nil {
			p, err = nil, syntaxError("%s: cannot compile: %v", name, v)
		}
	}()
	if len(source) > MaxSource {
		return nil, syntaxError("%s: source longer than %d bytes", name, MaxSource)
	}
	source = strings.TrimPrefix(source, "\ufeff")
	if strings.HasPrefix(source, "#") {
		source = "--" + source
	}
	if err := checkNesting(name, source); err != nil {
		return nil, err
	}
	chunk, err := parse.Parse(strings.NewReader(source), name)
	if err != nil {
		return nil, explainSyntax(name, source, err)
	}
	p = &Program{name: name}
	if p.assigned, p.escapes, err = rewrite(name, chunk); err != nil {
		return nil, err
	}
	if p.proto, err = lua.Compile(chunk, name); err != nil {
		return nil, explainSyntax(name, source, err)
	}
	p.proto.IsVarArg &^= lua.VarArgNeedsArg // a table of its arguments, which the main function could not name
	if err := finish(p.proto); err != nil {
		return nil, err
	}
	return p, nil
}

// Name returns the name that the program was compiled under.
func (p *Program) Name() string { return p.name }

// explainSyntax puts the place first and says what is there.
func explainSyntax(name, source string, err error) error {
	var unparsed *parse.Error
	var uncompiled *lua.CompileError
	switch {
	case errors.As(err, &unparsed):
		failed := unparsable(name, unparsed)
		failed.at = placeOf(source, unparsed)
		return failed
	case errors.As(err, &uncompiled):
		return syntaxError("%s:%d: %s", name, uncompiled.Line, uncompiled.Message)
	}
	return syntaxError("%s: %w", name, err)
}

// unparsable is a source that the parser refuses.
func unparsable(name string, err *parse.Error) *Error {
	what := err.Message
	if what == "parse error" {
		what = "syntax error"
	}
	if err.Pos.Line == parse.EOF {
		return syntaxError("%s: %s at the end of the file", name, what)
	}
	return syntaxError("%s:%d: %s near %q", name, err.Pos.Line, what, excerpt(err.Token))
}

func syntaxError(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: KindSyntax, Message: err.Error(), Cause: errors.Unwrap(err)}
}
