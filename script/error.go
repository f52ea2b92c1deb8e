package script

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

// A Kind says why a script failed.
type Kind string

// The kinds of failure.
const (
	KindSyntax  Kind = "syntax"  // the source does not compile
	KindError   Kind = "error"   // Lua code raised an error
	KindStopped Kind = "stopped" // the deadline passed or the context was cancelled
	KindPanic   Kind = "panic"   // Go code that the script called, or the VM itself, panicked
	KindResult  Kind = "result"  // a returned value has no Go form
)

// An Error tells how a script failed. Where Kind is [KindStopped], [errors.Is] finds [context.DeadlineExceeded] or
// [context.Canceled], and the cause that the context was ended with.
type Error struct {
	Kind      Kind
	Message   string // on one line, with file and line where Lua knows them: "cart.lua:3: no such item"
	Traceback string // the Lua calls that led there, innermost first; "" where there were none
	GoStack   string // the Go calls that led to a panic, for those who mend it; else ""
	Value     any    // what Lua raised, as [value.Unmarshal] reads it into an any; nil if it has no Go form
	Cause     error  // the Go error behind it; nil if there is none
}

// Error returns Message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns Cause.
func (e *Error) Unwrap() error { return e.Cause }

// A goPanic is how a panic of Go code passes through the pcall of a script, which must not hide it.
type goPanic struct {
	value string
	stack string
}

// String returns what was panicked with: gopher-lua makes it the error of a coroutine.
func (p *goPanic) String() string { return p.value }

// failure turns what ended the Lua code into an error.
func (x *execution) failure(p any) *Error {
	var raised *lua.ApiError
	switch p := p.(type) {
	case *goPanic:
		return panicError(p.value, p.stack, "")
	case *lua.ApiError:
		raised = p
	default:
		if p != callOverflow {
			return panicError(fmt.Sprint(p), string(debug.Stack()), traceback(x.L))
		}
		raised = &lua.ApiError{Object: lua.LString(x.L.Where(0) + " stack overflow"), StackTrace: traceback(x.L)}
	}
	if x.ctx.Err() != nil {
		return stopped(x.ctx, raised.StackTrace)
	}
	e := &Error{
		Kind: KindError, Message: x.describe(raised.Object), Traceback: raised.StackTrace, Value: goValue(raised.Object),
	}
	if x.ctx.Err() != nil { // a __tostring ran into the deadline
		return stopped(x.ctx, raised.StackTrace)
	}
	if x.output != nil && strings.HasSuffix(e.Message, printFailed(x.output)) {
		e.Cause = x.output
	}
	return e
}

func panicError(text, stack, trace string) *Error {
	return &Error{Kind: KindPanic, Message: "panic in Go code called by the script: " + text, Traceback: trace, GoStack: stack}
}

// stopped says why a context ended.
func stopped(ctx context.Context, trace string) *Error {
	cause := context.Cause(ctx)
	why := cause.Error()
	switch {
	case why != ctx.Err().Error():
		cause = errors.Join(cause, ctx.Err())
	case errors.Is(cause, context.DeadlineExceeded):
		why = "deadline passed"
	default:
		why = "canceled"
	}
	return &Error{Kind: KindStopped, Message: "script stopped: " + why, Traceback: trace, Cause: cause}
}

// describe returns an error value as people read it. A table tells by its __tostring, Lua code that may fail in turn.
func (x *execution) describe(v lua.LValue) (text string) {
	text = fmt.Sprintf("(error object is a %s value)", v.Type())
	defer func() { _ = recover() }()
	switch v.Type() {
	case lua.LTString, lua.LTNumber:
		text = v.String()
	default:
		if x.L.GetMetaField(v, "__tostring") != lua.LNil {
			text = x.L.ToStringMeta(v).String()
		}
	}
	return text
}

// goValue returns an error value in Go, nil if that cannot be.
func goValue(v lua.LValue) any {
	b, err := storelua.Encode(v, value.Limits{})
	if err != nil {
		return nil
	}
	var out any
	if err := value.Unmarshal(b, &out, value.Limits{}); err != nil {
		return nil
	}
	return out
}
