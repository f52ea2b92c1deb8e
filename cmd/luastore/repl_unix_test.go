//go:build unix && !linux

package main

import "testing"

// commandAtTerminal returns the path of the command, and what its environment needs besides.
func commandAtTerminal(t *testing.T) (program string, env []string) {
	t.Helper()
	return build(t), nil
}
