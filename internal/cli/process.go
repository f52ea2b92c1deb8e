package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// A Process is what the command has of the process that it is alone in. The program hands it over; --isolate needs it, as it starts
// the program again.
type Process struct {
	Executable            func() (string, error) // the path of the program, as [os.Executable] finds it
	Args                  []string               // without the name of the program
	Env                   []string               // as [os.Environ] returns it
	Stdin, Stdout, Stderr *os.File
}

// Main is the function [Main] for a process that does nothing else. SIGINT and SIGTERM end what the command does, cleanly; a second one
// ends the process at once.
func (p *Process) Main() int {
	a := p.app()
	ctx, stop := a.signals.watch(context.Background())
	defer stop()
	if code, ok := p.mainIsolated(ctx); ok {
		return code
	}
	return a.main(ctx, p.Args)
}

func (p *Process) app() *app {
	return &app{stdin: p.Stdin, stdout: p.Stdout, stderr: p.Stderr, env: p.Env, process: p}
}

// signals are what the process is told by others.
type signals struct {
	interrupt atomic.Pointer[func()] // takes SIGINT in the place of the end of the command, where it is not nil
}

// watch returns a context that ends at a signal which nothing takes.
func (s *signals) watch(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	came := make(chan os.Signal, 1)
	signal.Notify(came, os.Interrupt, syscall.SIGTERM)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case sig := <-came:
				if take := s.interrupt.Load(); take != nil && sig == os.Interrupt {
					(*take)()
					continue
				}
				signal.Stop(came) // the next one ends the process
				cancel(fmt.Errorf("%v signal received", sig))
			}
		}
	}()
	return ctx, func() { signal.Stop(came); cancel(nil) }
}

// onInterrupt gives SIGINT to take, until the function that it returns is called.
func (s *signals) onInterrupt(take func()) (stop func()) {
	s.interrupt.Store(&take)
	return func() { s.interrupt.Store(nil) }
}

// onHangup gives SIGHUP to take, until the function that it returns is called. Only a process of its own gets signals.
func (a *app) onHangup(take func()) (stop func()) {
	if a.process == nil {
		return func() {}
	}
	came := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(came, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-came:
				take()
			}
		}
	}()
	return func() { signal.Stop(came); close(done) }
}
