package pgtest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// childTimeout bounds the wait for killed processes to end.
const childTimeout = 10 * time.Second

// killChildren kills the processes that a server started, as a crash of the machine does. Those of a killed server end by
// themselves, but one that is in the middle of a statement finishes it first. The server is stopped, so that it starts no others.
func killChildren(pid int) {
	if syscall.Kill(pid, syscall.SIGSTOP) != nil {
		return
	}
	children := childrenOf(pid)
	for _, child := range children {
		syscall.Kill(child, syscall.SIGKILL)
	}
	deadline := time.After(childTimeout)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, child := range children {
		for lives(child) {
			select {
			case <-deadline:
				return
			case <-tick.C:
			}
		}
	}
}

func childrenOf(pid int) []int {
	entries, _ := os.ReadDir("/proc")
	var children []int
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if _, parent := stat(child); parent == pid {
			children = append(children, child)
		}
	}
	return children
}

// lives reports whether a process has not ended, whether or not its parent knows.
func lives(pid int) bool {
	state, _ := stat(pid)
	return state != "" && state != "Z" && state != "X"
}

// stat returns the state of a process and who its parent is; "" when there is none.
func stat(pid int) (state string, parent int) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// The second field, the name in brackets, may hold anything.
	fields := strings.Fields(string(line[bytes.LastIndexByte(line, ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

// removeSharedMemory removes the System V segment that a killed server leaves behind, which its lock file names.
func removeSharedMemory(lockFile string) {
	text, err := os.ReadFile(lockFile)
	if err != nil {
		return
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 7 {
		return
	}
	if fields := strings.Fields(lines[6]); len(fields) == 2 {
		if id, err := strconv.Atoi(fields[1]); err == nil {
			const remove = 0 // IPC_RMID
			syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), remove, 0)
		}
	}
}
