package crashtest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// stopWithParent makes the kernel kill the command when the thread that starts it ends, whatever ends it.
func stopWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// onOwnThread runs fn on a thread that no other goroutine uses and that does not end before fn.
func onOwnThread(fn func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fn()
}
