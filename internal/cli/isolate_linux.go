package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// An isolated process is a child that runs the same command under limits that it sets itself, before it reads anything. Parent and
// child talk over a pair of sockets, the line, in JSON: the parent says the limits, and why to stop when it was told to; the child
// says true when the script begins, and its exit code. A child that ends without a code has crashed. What a crash prints goes to
// standard error, which is why the child has a pipe in its place, and writes its own messages to another descriptor.

// isolatedArg is the first argument of a child. Nobody else gets anywhere with it: the line must come from the parent process.
const isolatedArg = "isolated"

// The descriptors that a child has besides the usual ones.
const (
	childStderr = 3
	childLine   = 4
)

// isolate runs the command again in a child and reports how that ended.
func (a *app) isolate(ctx context.Context, o runOptions) error {
	if a.process == nil {
		return usageError("--isolate: want a process of its own: start the program luastore")
	}
	program, err := a.process.Executable()
	if err != nil {
		return configError("cannot start an isolated process: %w", err)
	}
	ours, its, err := newLine()
	if err != nil {
		return configError("cannot start an isolated process: %w", err)
	}
	defer ours.Close()
	c := &child{limits: o.limits(), timeout: o.timeout, line: ours}
	c.command = exec.Command(program, append([]string{isolatedArg}, a.process.Args...)...)
	c.command.Env = a.process.Env
	c.command.Stdin, c.command.Stdout, c.command.Stderr = a.process.Stdin, a.process.Stdout, &c.printed
	c.command.ExtraFiles = []*os.File{a.process.Stderr, its}
	c.command.WaitDelay = time.Second // for processes that the script has started, and that hold on to its standard error
	c.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if path, err := configPath(o.config); err == nil && path != "" {
		c.onHangup = a.onHangup
	}
	if err := c.run(ctx, its); err != nil {
		return configError("cannot start an isolated process: %w", err)
	}
	return c.outcome(a)
}

// newLine returns the two ends of a line.
func newLine() (ours, its *os.File, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(pair[0]), "line to the child"), os.NewFile(uintptr(pair[1]), "line to the parent"), nil
}

// A child is an isolated process as its parent sees it.
type child struct {
	limits  limits
	timeout time.Duration // 0: none
	late    atomic.Bool   // it went on after it was to stop
	command *exec.Cmd
	line    *os.File
	code    *int // that the child has said; nil: none
	printed head // to standard error, by Go and by libraries

	onHangup func(take func()) (stop func()) // nil where SIGHUP ends the process
	mu       sync.Mutex
	begun    bool // the script, so that the child takes SIGHUP, which would end it before
	hungUp   bool // SIGHUP came before that
}

// run starts the child and waits until it has ended. The kernel kills a child when the thread ends that started it, so that the
// goroutine keeps its thread meanwhile.
func (c *child) run(ctx context.Context, its *os.File) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.command.Start()
	its.Close()
	if err != nil {
		return err
	}
	if c.onHangup != nil { // before the script can run, and somebody see that it does
		defer c.onHangup(c.hangup)()
	}
	// A child that is gone hears nothing, which Wait tells.
	words := json.NewEncoder(c.line)
	_ = words.Encode(c.limits)
	// Not by a signal: a terminal has sent one to the child too, which would take another for the second, that ends it at once.
	stop := context.AfterFunc(ctx, func() {
		_ = words.Encode(context.Cause(ctx).Error())
		c.killIn(closeTimeout)
	})
	defer stop()
	gone := make(chan struct{})
	go func() { defer close(gone); c.listen() }()
	_ = c.command.Wait()
	<-gone
	return nil
}

// listen hears what the child says, until it is gone. The timeout counts from where the script begins, which may have been waited for long.
func (c *child) listen() {
	var kill *time.Timer
	for words := json.NewDecoder(c.line); ; {
		var word any
		if words.Decode(&word) != nil {
			break
		}
		switch word := word.(type) {
		case bool:
			c.begin()
			if c.timeout > 0 && kill == nil {
				kill = c.killIn(min(c.timeout, math.MaxInt64-time.Minute) + closeTimeout)
			}
		case float64:
			code := int(word)
			c.code = &code
		}
	}
	if kill != nil {
		kill.Stop()
	}
}

// hangup tells the child, which has the stores, to read the configuration again.
func (c *child) hangup() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hungUp = true; c.begun {
		_ = c.command.Process.Signal(syscall.SIGHUP)
	}
}

// begin notes that the child takes SIGHUP from here on, and hands on the one that came before.
func (c *child) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun = true; c.hungUp {
		_ = c.command.Process.Signal(syscall.SIGHUP)
	}
}

// killIn kills the child if it is still there a second after it should have stopped: a script that was allowed io or os may wait for what
// nobody ends.
func (c *child) killIn(d time.Duration) *time.Timer {
	return time.AfterFunc(d+time.Second, func() {
		c.late.Store(true)
		_ = c.command.Process.Kill()
	})
}

// outcome is that of the child, which has said itself what went wrong if it could.
func (c *child) outcome(a *app) error {
	if c.code == nil {
		return &failure{exitScript, fmt.Errorf("script stopped: %s", c.crash())}
	}
	if _, err := a.stderr.Write(c.printed.text); err != nil || *c.code == exitDone {
		return a.written(err)
	}
	return &failure{*c.code, nil}
}

// crash says why a child ended that did not say so.
func (c *child) crash() string {
	state := c.command.ProcessState
	status, _ := state.Sys().(syscall.WaitStatus)
	used := state.UserTime() + state.SystemTime()
	switch {
	case c.late.Load():
		return "it did not stop when it was told to, and was killed"
	case c.printed.outOfMemory():
		return c.limits.outOfMemory()
	case status.Signaled() && c.limits.Processor > 0 && used >= c.limits.Processor:
		return c.limits.outOfTime()
	case status.Signaled():
		return fmt.Sprintf("its process was ended by signal %d (%v)\n%s", status.Signal(), status.Signal(), c.printed.text)
	}
	return fmt.Sprintf("its process ended by itself (%v)\n%s", state, c.printed.text)
}

// A head keeps the beginning of what is written to it. Go tells first why it crashes, and then much else.
type head struct{ text []byte }

const headSize = 1 << 20

// Write takes all, as a child must not wait for a reader.
func (h *head) Write(b []byte) (int, error) {
	h.text = append(h.text, b[:min(len(b), headSize-len(h.text))]...)
	return len(b), nil
}

// noMemory matches what Go, its race detector and the C library print when the kernel gives no more memory. Threads need some too,
// where they are those of C. The collector of Go does not look at each answer and follows a nil pointer, in the runtime itself.
var noMemory = regexp.MustCompile(`out of memory|cannot allocate memory|pthread_create failed|` +
	`too many address space collisions|ThreadSanitizer failed to allocate|` +
	`(?s:(^|\n)(SIGSEGV: segmentation violation|fatal error: unexpected signal during runtime execution)\n.{0,100}addr=0x[0-9a-f]{1,3}\b)`)

func (h *head) outOfMemory() bool { return noMemory.Match(h.text) }
