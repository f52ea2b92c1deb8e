package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// An output is where a runner writes what scripts print. Whoever reads it may be slow, or never read: a write that is stuck holds
// back one goroutine, whatever number of units print, and units end without it.
type output struct {
	w    io.Writer
	turn chan struct{} // holds a token while a write is under way
}

func newOutput(w io.Writer) *output { return &output{w: w, turn: make(chan struct{}, 1)} }

// errWriter is what a Write failed with that ended its goroutine.
var errWriter = errors.New("the writer did not return")

// write writes a line in one piece, unless ctx ends before. A write that has begun then ends by itself, some time.
func (o *output) write(ctx context.Context, line string) error {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	written := make(chan error, 1)
	go func() {
		err := errWriter
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v", v)
			}
			<-o.turn
			written <- err
		}()
		_, err = io.WriteString(o.w, line)
	}()
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// print writes its arguments to the runner's output, as a line.
func (s *sandbox) print(L *lua.LState) int {
	var b strings.Builder
	for i := 1; i <= L.GetTop(); i++ {
		text := printed(L, L.Get(i))
		s.room(L, b.Len()+len(text)+2)
		if i > 1 {
			b.WriteByte('\t')
		}
		b.WriteString(text)
	}
	b.WriteByte('\n')
	s.printed += int64(b.Len())
	if s.r.printable > 0 && s.printed > s.r.printable {
		raise(L, "print: more than %d bytes of output", s.r.printable)
	}
	if s.r.output == nil {
		return 0
	}
	if err := s.r.output.write(s.ctx, b.String()); err != nil {
		s.poll(L)
		s.unwritten = err
		raise(L, "%s", printFailed(err))
	}
	return 0
}

// printed returns a value as print shows it. A __tostring must give a string.
func printed(L *lua.LState, v lua.LValue) string {
	text := textOf(L, v)
	if !lua.LVCanConvToString(text) {
		raise(L, "'tostring' must return a string to 'print'")
	}
	return operandText(text)
}

// printFailed is the text by which a failure of print is known again when it ends the script.
func printFailed(err error) string { return "print: " + err.Error() }
