//go:build !linux

package cli

import "context"

// isolate refuses: only Linux ends a child with its parent, and holds it to limits that a hostile script cannot pass.
func (a *app) isolate(context.Context, runOptions) error {
	return usageError("--isolate works on Linux only: run the command in a container or virtual machine of its own")
}

func (p *Process) mainIsolated(context.Context) (code int, ok bool) { return 0, false }
