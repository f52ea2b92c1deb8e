package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// mainIsolated is Main in a child. In any other process it is not ok.
func (p *Process) mainIsolated(ctx context.Context) (code int, ok bool) {
	if len(p.Args) == 0 || p.Args[0] != isolatedArg || !fromParent(childLine) {
		return 0, false
	}
	syscall.CloseOnExec(childStderr) // processes that the script may start have nothing to do with these
	syscall.CloseOnExec(childLine)
	line := os.NewFile(childLine, "line to the parent")
	inner := *p
	inner.Args, inner.Stderr = p.Args[1:], os.NewFile(childStderr, "stderr")
	words := json.NewEncoder(line) // a parent that is gone needs none
	code = inner.mainLimited(ctx, json.NewDecoder(line), func() { _ = words.Encode(true) })
	_ = words.Encode(code)
	return code, true
}

// fromParent reports whether a descriptor is a socket that the parent process made.
func fromParent(descriptor int) bool {
	peer, err := syscall.GetsockoptUcred(descriptor, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	return err == nil && int(peer.Pid) == os.Getppid()
}

// mainLimited runs the command under the limits that the parent says, and calls begins when the script does.
func (p *Process) mainLimited(ctx context.Context, words *json.Decoder, begins func()) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var l limits
	err := words.Decode(&l)
	if err == nil {
		endWithProcessor(ctx, cancel, l)
		err = l.impose()
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "luastore: cannot limit an isolated process here, where the system forbids it: %v\n", err)
		return exitConfig
	}
	go endWithParent(cancel, words)
	a := p.app()
	a.begins = begins
	return a.main(ctx, p.Args)
}

// endWithParent cancels when the parent says so, with what it says.
func endWithParent(cancel context.CancelCauseFunc, words *json.Decoder) {
	why := "its parent process ended" // there is no time to tell, as the kernel kills the child then
	_ = words.Decode(&why)
	cancel(errors.New(why))
}

// endWithProcessor cancels when the kernel says that the soft limit is passed. It says so every second, to nobody after the first.
func endWithProcessor(ctx context.Context, cancel context.CancelCauseFunc, l limits) {
	passed := make(chan os.Signal, 1)
	signal.Notify(passed, syscall.SIGXCPU)
	go func() {
		select {
		case <-passed:
			cancel(errors.New(l.outOfTime()))
		case <-ctx.Done():
		}
	}()
}

// graceSeconds are what a unit may compute, at most, to end after the limit.
const graceSeconds = 2

// What a process may take besides the memory of its script. To count neither would end scripts that stay below their limit.
const (
	spareData      = 64 << 20 // to write to: stacks of threads, 8 MB each where they are those of C
	spareAddresses = 1 << 30  // that are only reserved: by Go in steps of 64 MB, by the C library 64 MB for a thread
)

// impose limits this process for ever. On one processor the collection of garbage takes its part of the script's time rather than
// more of the limit, which the script would otherwise reach before its timeout. Go collects harder before it has taken all of the
// memory: the kernel counts what Go may write to, which does not become less.
func (l limits) impose() error {
	runtime.GOMAXPROCS(1)
	var inUse runtime.MemStats
	runtime.ReadMemStats(&inUse)
	goal := int64(inUse.Sys-inUse.HeapReleased) + int64(l.Memory/4*3)
	debug.SetMemoryLimit(min(goal, debug.SetMemoryLimit(-1)))

	if err := lower(syscall.RLIMIT_CORE, 0, 0); err != nil {
		return err
	}
	if l.Processor > 0 {
		seconds := uint64(l.Processor / time.Second)
		if err := lower(syscall.RLIMIT_CPU, seconds, seconds+graceSeconds); err != nil {
			return err
		}
	}
	return l.imposeMemory()
}

// imposeMemory limits what the process may write to, and what it may address, which says less but includes what is shared. Both
// start from what it has: Go reserves a gigabyte, terabytes with the race detector.
func (l limits) imposeMemory() error {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var addresses, skipped, data uint64 // in pages
	if _, err := fmt.Sscan(string(text), &addresses, &skipped, &skipped, &skipped, &skipped, &data); err != nil {
		return fmt.Errorf("read /proc/self/statm: %w", err)
	}
	page := uint64(os.Getpagesize())
	mostData := data*page + uint64(l.Memory) + spareData
	if err := lower(syscall.RLIMIT_DATA, mostData, mostData); err != nil {
		return err
	}
	mostAddresses := addresses*page + uint64(l.Memory) + spareAddresses
	return lower(syscall.RLIMIT_AS, mostAddresses, mostAddresses)
}

// lower sets a limit, or keeps what is lower already.
func lower(resource int, soft, hard uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	limit := syscall.Rlimit{Cur: min(soft, now.Cur), Max: min(hard, now.Max)}
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(resource, &limit))
}
