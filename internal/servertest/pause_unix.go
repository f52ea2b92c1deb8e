//go:build unix

package servertest

import (
	"syscall"
	"testing"
)

// Pause stops the server where it is, until [Process.Resume]: its connections stay open, and it does nothing. It may be killed.
func (p *Process) Pause(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP, true)
	// The system stops each thread at a moment of its own. Until the last one stands the server may still answer.
	if err := Within(stopTimeout, nil, func() error { return stands(p.PID()) }); err != nil {
		t.Fatal(err)
	}
}

// Resume makes a server go on that [Process.Pause] stopped. One that was not stopped goes on as well.
func (p *Process) Resume(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGCONT, false)
}

func (p *Process) signal(t testing.TB, signal syscall.Signal, paused bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil || p.ended() {
		t.Fatalf("%v to a server that has ended", signal)
	}
	if err := p.command.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	p.paused = paused
}
