//go:build !linux

package pgtest

// killChildren does nothing: the processes that a killed server started end by themselves soon.
func killChildren(int) {}

// removeSharedMemory does nothing: only Linux is known to need it.
func removeSharedMemory(string) {}
