//go:build !linux

package crashtest

import "os/exec"

// stopWithParent does nothing: only Linux ties the life of a process to that of its parent.
func stopWithParent(*exec.Cmd) {}

func onOwnThread(fn func()) { fn() }
