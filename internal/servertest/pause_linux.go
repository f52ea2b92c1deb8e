package servertest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// stands returns nil when every thread of a process is stopped by a signal.
func stands(pid int) error {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			return err
		}
		// The name of the program, in parentheses, may hold any byte; then comes the state.
		if state := stat[bytes.LastIndexByte(stat, ')')+1:]; !bytes.HasPrefix(state, []byte(" T")) {
			return errors.New("a thread of the server still runs")
		}
	}
	return nil
}
