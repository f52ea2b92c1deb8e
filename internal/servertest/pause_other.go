//go:build unix && !linux

package servertest

// stands knows of no way to tell whether a process is stopped, other than on Linux.
func stands(int) error { return nil }
