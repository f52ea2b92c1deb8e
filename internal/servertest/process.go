package servertest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// startTimeout bounds the wait for a server to answer, generous because the race detector and busy machines are slow.
const startTimeout = 30 * time.Second

// stopTimeout bounds the wait for a server that was told to end.
const stopTimeout = 30 * time.Second

var errEnded = errors.New("it has ended")

// A Process is one server program: running, or ended and perhaps started again on the same port, in the same folder. Its methods
// are safe for concurrent use.
type Process struct {
	Dir  string // the folder of the server, its working folder
	Port int    // the port of the loopback interface that it listens on

	// Command returns the command that runs the server in Dir on Port. Output and folder are set by [Process.Run].
	Command func() *exec.Cmd
	// Ready returns nil when the server answers. It must itself return soon.
	Ready func() error
	// KillAll kills what the server started, after it or before it, with a process of its own that does not end with it. It runs
	// with the server's own process id, and may be nil.
	KillAll func(pid int)

	mu      sync.Mutex
	command *exec.Cmd
	exited  chan struct{} // closed when command has ended
	paused  bool          // by Pause
}

// New returns a process that does not run yet, in a new folder with a name that begins with name, below parent ("": the usual
// one for temporary files). The caller removes the folder.
func New(parent, name string) (*Process, error) {
	dir, err := makeDir(parent, name)
	if err != nil {
		return nil, err
	}
	return &Process{Dir: dir}, nil
}

// Start runs the server on a free port.
func (p *Process) Start() error {
	var err error
	// Another process may take the free port before the server does.
	for range 5 {
		if p.Port, err = FreePort(); err == nil {
			if err = p.Run(); err == nil {
				return nil
			}
		}
	}
	return err
}

// Run starts the server and waits until it answers. The error shows what the server printed.
func (p *Process) Run() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.Create(filepath.Join(p.Dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	command := p.Command()
	command.Dir, command.Stdout, command.Stderr = p.Dir, log, log
	if p.exited, err = Launch(command); err != nil {
		return err
	}
	p.command, p.paused = command, false
	if err := Within(startTimeout, p.exited, p.Ready); err != nil {
		p.kill()
		output, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s does not answer: %w\n%s", command.Path, err, output)
	}
	return nil
}

// Restart kills the server and runs it again on the same port, in the same folder.
func (p *Process) Restart(t testing.TB, timeout time.Duration) {
	t.Helper()
	p.Kill()
	// Another process may hold the port for a moment: a connection that it made may have been given it.
	if err := Within(timeout, nil, p.Run); err != nil {
		t.Fatalf("restart: %v", err)
	}
}

// Launch starts command and closes exited when it has ended, as command.ProcessState then tells. On Linux it ends with this process.
// It has a thread of its own, which lives as long as it does: the kernel ties the parent-death signal to the thread.
func Launch(command *exec.Cmd) (exited chan struct{}, err error) {
	stopWithParent(command)
	started, exited := make(chan error), make(chan struct{})
	go onOwnThread(func() {
		err := command.Start()
		started <- err
		if err == nil {
			command.Wait()
			close(exited)
		}
	})
	return exited, <-started
}

// Addr returns the address that the server listens on, host:port.
func (p *Process) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port)) }

// PID returns the process id of the server.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.command.Process.Pid
}

// Kill ends the server at once, as a crash does, and returns when it has ended.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill()
}

func (p *Process) kill() {
	if p.command == nil || p.ended() {
		return
	}
	if p.KillAll != nil {
		p.KillAll(p.command.Process.Pid)
	}
	p.command.Process.Kill()
	<-p.exited
}

// Running tells whether the server runs: it was started, and has neither ended nor been paused.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.command != nil && !p.ended() && !p.paused
}

func (p *Process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Shutdown ends the server by a signal, and kills it if it does not end on that.
func (p *Process) Shutdown(signal os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command != nil && p.command.Process.Signal(signal) == nil {
		select {
		case <-p.exited:
		case <-time.After(stopTimeout):
		}
	}
	p.kill()
}
