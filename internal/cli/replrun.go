package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/luastore/store/script"
)

// longInput is the length, in bytes, from which on a statement is not compiled before its brackets and blocks are closed: whoever adds
// line after line to it would wait for the compiler at each.
const longInput = 4 << 10

// enter takes a line: a command, or what makes a statement, which runs once it is complete. The error ends the session.
func (r *repl) enter(ctx context.Context, line string) error {
	text := strings.TrimSpace(line)
	if text != "" {
		r.lines.remember(line)
	}
	if !r.continues() {
		r.begun = r.number
		switch {
		case text == "", r.namesInterpreter(line):
			return nil
		case isCommand(text):
			return r.command(ctx, text)
		}
	}
	r.typed.Add(line)
	source := r.typed.String()
	if len(source) > longInput && r.typed.Open() {
		return nil
	}
	p, err := script.CompileInteractive(replName, source)
	if script.Incomplete(err) {
		return nil
	}
	r.typed = script.Input{}
	if err != nil {
		return r.refused(ctx, source, err)
	}
	return r.run(ctx, p)
}

// continues reports whether the next line goes on with a statement.
func (r *repl) continues() bool { return r.typed.String() != "" }

// namesInterpreter reports whether a line is the first of a file and has the name of the program that is to run it.
func (r *repl) namesInterpreter(line string) bool {
	return !r.interactive && r.number == 1 && strings.HasPrefix(line, "#!")
}

// isCommand tells commands from Lua that begins with a dot: a number, or three of them.
func isCommand(text string) bool {
	rest, ok := strings.CutPrefix(text, ".")
	return ok && (rest == "" || unicode.IsLetter(rune(rest[0])))
}

// refused tells why a statement was not compiled. Where nobody types, the lines behind one that is too long belong to it and are not to be
// run as others.
func (r *repl) refused(ctx context.Context, source string, err error) error {
	if len(source) > script.MaxSource && !r.interactive {
		return &failure{exitScript, fmt.Errorf("cannot read on: the statement at line %d is longer than %d bytes", r.begun, script.MaxSource)}
	}
	return r.fail(ctx, err)
}

// run runs a statement and prints what it answers.
func (r *repl) run(ctx context.Context, p *script.Program) error {
	begin := time.Now()
	results, err := r.runStoppable(ctx, p)
	took := time.Since(begin)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil && len(results) > 0 {
		err = r.print(strings.Join(withoutNils(results), ", ") + "\n")
	} else if err != nil {
		err = r.fail(ctx, err)
	}
	if err != nil {
		return err
	}
	if id := r.opened.unknown.Swap(nil); id != nil {
		r.note(fmt.Sprintf("unknown store %q: %s", *id, r.opened.hint(*id)))
	}
	if r.timed {
		r.note(milliseconds(took))
	}
	return nil
}

// withoutNils leaves out the nils after the first result: a call of a store that succeeds answers value, nil.
func withoutNils(results []string) []string {
	n := len(results)
	for n > 1 && results[n-1] == "nil" {
		n--
	}
	return results[:n]
}

// errInterrupt is why a statement stops at Ctrl-C.
var errInterrupt = errors.New("interrupted by Ctrl-C")

// runStoppable runs a statement with the terminal as other programs have it, where Ctrl-C is a signal, which stops the statement.
func (r *repl) runStoppable(ctx context.Context, p *script.Program) ([]string, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.mu.Lock()
	r.stop, r.interrupt = stop, 0
	r.mu.Unlock()
	defer r.ran()
	if r.interactive {
		defer r.takeInterrupts() // again, if the session let go of them
	}
	defer r.lines.lend()()
	return r.session.Run(ctx, p)
}

// ran is the end of a statement. A terminal has shown ^C where one was interrupted.
func (r *repl) ran() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop = nil
	if r.interrupt > 0 {
		fmt.Fprintln(r.a.stderr)
	}
}

// takeInterrupts has SIGINT stop statements, and not the session, until r.letGo is called.
func (r *repl) takeInterrupts() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.letGo = r.a.signals.onInterrupt(r.interrupted)
}

// interrupted is told of SIGINT, which comes while a statement runs, at the prompt of a terminal that cannot be edited, and just before
// the editor has it.
func (r *repl) interrupted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupt++
	switch {
	case r.asking != "":
		r.drop = true
		fmt.Fprintln(r.a.stdout)
		if r.asking == prompt {
			fmt.Fprint(r.a.stdout, howToLeave)
		}
		r.asking = prompt
		fmt.Fprint(r.a.stdout, prompt)
	case r.stop == nil: // it has ended by itself
	case r.interrupt == 1:
		r.stop(errInterrupt)
	default:
		fmt.Fprintln(r.a.stderr, "luastore: what runs does not stop: a call that --allow has given waits; Ctrl-C again ends the session after it")
		r.letGo()
	}
}

// fail tells what failed. The error that it returns ends the session.
func (r *repl) fail(ctx context.Context, err error) error {
	var failed *script.Error
	if !errors.As(err, &failed) {
		return r.a.scriptFailure(r.opened, err)
	}
	switch {
	case closedOutput(err):
		return &failure{exitScript, nil}
	case failed.Kind == script.KindExit:
		r.failed = false // what the script says counts
		return cmp.Or(exited(failed.ExitCode), errLeave)
	}
	r.failed = true
	r.complain(visible(explained(failed)))
	if failed.Kind == script.KindPanic { // the globals are new
		return r.preset(ctx)
	}
	return nil
}

// explained is all that a person needs to know of a failure.
func explained(failed *script.Error) string {
	text := failed.Message + shown(failed)
	text += allowHint("repl", failed.Missing)
	if tells(failed.Traceback) {
		text += "\n" + failed.Traceback
	}
	return text
}

// tells reports whether a traceback has more than the statement itself and the function of Go that it called.
func tells(traceback string) bool {
	_, calls, _ := strings.Cut(traceback, "\n")
	for call := range strings.Lines(calls) {
		call = strings.TrimSpace(call)
		if !strings.HasPrefix(call, "[Go]") && !strings.HasSuffix(call, ": in main chunk") {
			return true
		}
	}
	return false
}

// complain tells what failed, in the words of the command where it is one of several.
func (r *repl) complain(text string) {
	if r.interactive {
		fmt.Fprintln(r.a.stderr, r.a.colours(r.a.stderr).red(text))
		return
	}
	fmt.Fprintf(r.a.stderr, "luastore: line %d: %s\n", r.begun, text)
}

// note tells something about the statement that has run, as a comment of Lua.
func (r *repl) note(text string) {
	fmt.Fprintln(r.a.stderr, r.a.colours(r.a.stderr).dim("-- "+visible(text)))
}

// print writes to the output. What it returns ends the session.
func (r *repl) print(text string) error {
	_, err := fmt.Fprint(r.a.stdout, text)
	if err != nil && closedOutput(err) {
		return &failure{exitScript, nil}
	}
	return r.a.written(err)
}

// errHangup is why a session ends with its terminal.
var errHangup = errors.New("hangup signal received")

// hungUp is told of SIGHUP: somebody has changed the configuration, or the terminal is gone, and with it whoever could stop what runs.
func (r *repl) hungUp(ctx context.Context, end context.CancelCauseFunc) {
	if _, there := terminal(r.a.stdin); r.opened.host == nil || r.interactive && !there {
		end(errHangup)
		return
	}
	r.reload(ctx)
}

// reload reads the configuration again. What came of it is told before the next prompt, where it does not break the line that is typed.
func (r *repl) reload(ctx context.Context) {
	var told strings.Builder
	r.opened.reload(ctx, &told)
	r.tell(told.String())
}

// tell has lines shown before the next prompt. It may be called at any time.
func (r *repl) tell(lines string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notices += lines
}

// showNotices shows what there is to tell.
func (r *repl) showNotices() {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprint(r.a.stderr, r.notices)
	r.notices = ""
}

// milliseconds returns how long something took, as people compare it.
func milliseconds(took time.Duration) string {
	ms := float64(took) / float64(time.Millisecond)
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f s", took.Seconds())
}
