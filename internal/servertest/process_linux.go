package servertest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// stopWithParent makes the kernel kill the command when the thread that starts it ends, whatever ends it. The order is the kernel's
// until the command runs as another user, which forgets the signal: package syscall gives it after that.
func stopWithParent(command *exec.Cmd) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
}

// onOwnThread runs fn on a thread that no other goroutine uses and that does not end before fn.
func onOwnThread(fn func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fn()
}
