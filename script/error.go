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
	KindMemory  Kind = "memory"  // the heap grew by more than [Options].Memory
	KindExit    Kind = "exit"    // the script called os.exit, which [GrantOS] gives
	KindPanic   Kind = "panic"   // Go code that the script called, or the VM itself, panicked
	KindResult  Kind = "result"  // a returned value has no Go form
)

// An Error tells how a script failed. Where Kind is [KindStopped], [errors.Is] finds [context.DeadlineExceeded] or
// [context.Canceled], and the cause that the context was ended with.
type Error struct {
	Kind      Kind
	Message   string // with file and line where Lua knows them: "cart.lua:3: no such item"; at most 4 KB of it
	Traceback string // the Lua calls that led there, innermost first; "" where there were none
	GoStack   string // the Go calls that led to a panic, for those who mend it; else ""
	Value     any    // what Lua raised, as [value.Unmarshal] reads it into an any; nil if it has no Go form
	Missing   Grant  // what would have given a global that the script looked for in vain before a [KindError]; "" if there is none
	ExitCode  int    // of [KindExit]: what os.exit was given, 0 if nothing
	Cause     error  // the Go error behind it; nil if there is none

	at place // of [KindSyntax]
}

// Error returns Message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns Cause.
func (e *Error) Unwrap() error { return e.Cause }

// A goPanic is the panic of Go code that a script called. No pcall hides it; a coroutine makes it an error.
type goPanic struct {
	value string
	stack string // of Go
	trace string // of Lua
}

// Error returns what was panicked with.
func (p *goPanic) Error() string { return p.value }

// An exit is a call of os.exit.
type exit struct{ code int }

// Error says what was asked for.
func (e *exit) Error() string { return fmt.Sprintf("script exited with code %d", e.code) }

// failure turns what ended the Lua code on a thread into an error.
func (s *sandbox) failure(th *lua.LState, v any) *Error {
	raised, ok := v.(*lua.ApiError)
	switch {
	case v == callOverflow:
		raised = &lua.ApiError{Object: lua.LString(position(th, 0) + "stack overflow")}
	case !ok:
		if _, known := v.(*goPanic); !known {
			s.panicked(th, v)
		}
	}
	if s.panic != nil {
		return &Error{
			Kind: KindPanic, Message: "panic in Go code called by the script: " + s.panic.value,
			Traceback: s.panic.trace, GoStack: s.panic.stack,
		}
	}
	trace := s.trace(th)
	if s.ctx.Err() != nil {
		return s.stopped(trace)
	}
	e := &Error{Kind: KindError, Message: short(s.describe(raised.Object)), Traceback: trace, Value: goValue(raised.Object), Missing: s.missing}
	if s.ctx.Err() != nil { // a __tostring ran into the deadline
		return s.stopped(trace)
	}
	if s.unwritten != nil && strings.HasSuffix(e.Message, printFailed(s.unwritten)) {
		e.Cause = s.unwritten
	}
	return e
}

// setupFailed is a panic of [Options].Setup.
func setupFailed(v any) *Error {
	if raised, ok := v.(*lua.ApiError); ok {
		return &Error{Kind: KindError, Message: "set up the Lua state: " + raised.Object.String()}
	}
	return &Error{Kind: KindPanic, Message: fmt.Sprint("panic in Go code that sets up the Lua state: ", v), GoStack: string(debug.Stack())}
}

// trace returns the Lua calls that led to the failure of a thread.
func (s *sandbox) trace(th *lua.LState) string {
	for inner := s.raised; inner != nil; inner = inner.Parent {
		if inner == th {
			return traceback(s.raised)
		}
	}
	return traceback(th)
}

// exited says that the script called os.exit.
func (s *sandbox) exited() *Error {
	return &Error{Kind: KindExit, Message: s.exit.Error(), ExitCode: s.exit.code}
}

// stopped says why the unit of a sandbox ended before its code.
func (s *sandbox) stopped(trace string) *Error {
	if s.exit != nil {
		return s.exited()
	}
	return stopped(s.ctx, trace)
}

// stopped says why a context ended.
func stopped(ctx context.Context, trace string) *Error {
	cause := context.Cause(ctx)
	kind, why := KindStopped, cause.Error()
	var memory *errMemory
	switch {
	case errors.As(cause, &memory):
		kind = KindMemory
	case why != ctx.Err().Error():
		cause = errors.Join(cause, ctx.Err())
	case errors.Is(cause, context.DeadlineExceeded):
		why = "deadline passed"
	default:
		why = "canceled"
	}
	return &Error{Kind: kind, Message: "script stopped: " + why, Traceback: trace, Cause: cause}
}

// maxMessage is how much of a message is kept, in bytes.
const maxMessage = 4 << 10

// short cuts what is too long for a log.
func short(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + "..."
}

// describe returns an error value as people read it. A table tells by its __tostring, Lua code that may fail in turn.
func (s *sandbox) describe(v lua.LValue) (text string) {
	text = fmt.Sprintf("(error object is a %s value)", v.Type())
	switch v.Type() {
	case lua.LTString, lua.LTNumber:
		return v.String()
	}
	th := s.newThread()
	th.SetContext(s.ctx)
	if th.GetMetaField(v, "__tostring") == lua.LNil {
		return text
	}
	th.Push(th.NewFunction(func(L *lua.LState) int {
		L.Push(L.ToStringMeta(L.Get(1)))
		return 1
	}))
	th.Push(v)
	defer func() { _ = recover() }() // a panic of Go code is no worse than an error here
	if raised := s.call(th, 1); raised == nil {
		text = th.Get(-1).String()
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
