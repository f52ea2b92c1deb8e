package main

import (
	"os"
	"testing"
)

// commandAtTerminal returns the path of the command, and what its environment needs besides: it is this test binary.
func commandAtTerminal(t *testing.T) (program string, env []string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program, []string{envCommand + "=does nothing besides"}
}
