package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"syscall"

	"github.com/peterh/liner"

	"github.com/luastore/store/script"
)

// lines are what a session reads. One call is made at a time, but for close, which may be called while next waits, and again.
type lines interface {
	next(prompt string) (string, error) // io.EOF at the end, errDropped where Ctrl-C was typed
	remember(line string)               // for a person who wants it again
	lend() (back func())                // the terminal is another's until back is called
	close()                             // the terminal is as it was
}

// errDropped is the answer of a person who wants to begin anew.
var errDropped = errors.New("the line was dropped")

// openLines finds out who is at the other end: a person at a terminal that can be edited, one at another terminal, or no person.
func (r *repl) openLines(historyFile string) {
	in, fromTerminal := terminal(r.a.stdin)
	out, toTerminal := terminal(r.a.stdout)
	r.interactive = fromTerminal && toTerminal
	// The editor takes the terminal that the process began with.
	if r.interactive && in.Fd() == uintptr(syscall.Stdin) && out.Fd() == uintptr(syscall.Stdout) && liner.TerminalSupported() {
		r.lines = newEditor(r, historyFile)
		return
	}
	r.lines = newPlainLines(r.a.stdin, r.a.stdout, r.interactive)
}

// ask waits for a line, no longer than ctx lasts. What still waits then is left to the end of the process.
func (r *repl) ask(ctx context.Context) (string, error) {
	type answer struct {
		line string
		err  error
	}
	shown := prompt
	if r.continues() {
		shown = promptMore
	}
	r.asks(shown)
	defer r.asks("")
	answered := make(chan answer, 1)
	go func() {
		var got answer
		defer func() {
			if v := recover(); v != nil { // nothing but the main goroutine can give the terminal back
				got.err = fmt.Errorf("panic while reading a line: %v", v)
			}
			answered <- got
		}()
		got.line, got.err = r.lines.next(shown)
	}()
	select {
	case got := <-answered:
		return got.line, got.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// asks notes the prompt that is shown, "" for none.
func (r *repl) asks(shown string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking = shown
}

// howToLeave is what a person reads who tries to by Ctrl-C.
const howToLeave = "(Ctrl-D or .exit leaves)\n"

// dropped forgets the lines of a statement that is not complete, or says how to leave where there are none.
func (r *repl) dropped() {
	if !r.continues() {
		fmt.Fprint(r.a.stdout, howToLeave)
	}
	r.typed = script.Input{}
}

// drops reports whether SIGINT came while a line was asked for: the lines before it do not count.
func (r *repl) drops() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	drops := r.drop
	r.drop = false
	return drops
}

// plainLines are read as they come.
type plainLines struct {
	in      *bufio.Scanner
	out     io.Writer
	prompts bool
}

func newPlainLines(in io.Reader, out io.Writer, prompts bool) *plainLines {
	l := &plainLines{in: bufio.NewScanner(in), out: out, prompts: prompts}
	l.in.Buffer(nil, script.MaxSource+2) // and how it ends; Compile refuses longer ones
	return l
}

func (l *plainLines) next(prompt string) (string, error) {
	if l.prompts {
		fmt.Fprint(l.out, prompt)
	}
	if l.in.Scan() {
		return l.in.Text(), nil
	}
	switch err := l.in.Err(); {
	case err == nil:
		return "", io.EOF
	case errors.Is(err, bufio.ErrTooLong):
		return "", fmt.Errorf("cannot read on: a line is longer than %d bytes", script.MaxSource)
	default:
		return "", fmt.Errorf("cannot read standard input: %w", err)
	}
}

func (l *plainLines) remember(string)     {}
func (l *plainLines) lend() (back func()) { return func() {} }
func (l *plainLines) close()              {}

// An editor is a terminal on which lines are edited. That takes the raw mode, in which Ctrl-C is a key like any other.
type editor struct {
	state       *liner.State
	cooked, raw liner.ModeApplier // nil where the terminal does not tell
	history     *history
}

// newEditor puts the terminal into raw mode until close.
func newEditor(r *repl, historyFile string) *editor {
	e := &editor{cooked: terminalMode()}
	e.state = liner.NewLiner()
	e.raw = terminalMode()
	e.state.SetCtrlCAborts(true)
	e.state.SetTabCompletionStyle(liner.TabPrints)
	e.state.SetWordCompleter(r.complete)
	e.history = openHistory(historyFile, r.tell)
	for _, line := range e.history.read() {
		e.state.AppendHistory(line)
	}
	return e
}

// terminalMode returns the mode of the terminal, nil if it has none.
func terminalMode() liner.ModeApplier {
	mode, err := liner.TerminalMode()
	if err != nil {
		return nil
	}
	return mode
}

// apply puts the terminal into a mode. Where that fails it is gone, as the next line tells.
func apply(mode liner.ModeApplier) {
	if mode != nil {
		_ = mode.ApplyMode()
	}
}

func (e *editor) next(prompt string) (string, error) {
	line, err := e.state.Prompt(prompt)
	if errors.Is(err, liner.ErrPromptAborted) {
		return "", errDropped
	}
	return line, err
}

func (e *editor) remember(line string) {
	e.state.AppendHistory(line)
	e.history.add(line)
}

func (e *editor) lend() (back func()) {
	apply(e.cooked)
	return func() { apply(e.raw) }
}

func (e *editor) close() {
	_ = e.state.Close() // it has no error to return
	apply(e.cooked)
	e.history.close()
}
