package cli

import (
	"context"
	"os"
)

// A Process is what the command has of the process that it is alone in. The program hands it over; --isolate needs it, as it starts
// the program again.
type Process struct {
	Executable            func() (string, error) // the path of the program, as [os.Executable] finds it
	Args                  []string               // without the name of the program
	Env                   []string               // as [os.Environ] returns it
	Stdin, Stdout, Stderr *os.File
}

// Main is the function [Main] for a process that does nothing else.
func (p *Process) Main(ctx context.Context) int {
	if code, ok := p.mainIsolated(ctx); ok {
		return code
	}
	return p.app().main(ctx, p.Args)
}

func (p *Process) app() *app {
	return &app{stdin: p.Stdin, stdout: p.Stdout, stderr: p.Stderr, env: p.Env, process: p}
}
