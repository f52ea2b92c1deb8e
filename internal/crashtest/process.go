package crashtest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/servertest"
)

// A child is a process that writes until it is killed.
type child struct {
	command *exec.Cmd
	pipe    *os.File      // what it says
	exited  chan struct{} // closed when it has ended
	stderr  bytes.Buffer  // to be read when it has ended
	killed  atomic.Bool
}

// startChild runs this test binary again, for one test and one folder.
func startChild(test, dir string, run int) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ours, its, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer its.Close()
	c := &child{command: exec.Command(program, "-test.run="+pattern(test), "-test.count=1"), pipe: ours}
	c.command.Env = append(os.Environ(), envTest+"="+test, envDir+"="+dir, envRun+"="+strconv.Itoa(run))
	c.command.Stdout, c.command.Stderr = its, &c.stderr
	if c.exited, err = servertest.Launch(c.command); err != nil {
		ours.Close()
		return nil, err
	}
	return c, nil
}

// pattern selects one test, which may be a subtest.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// kill ends the child at once.
func (c *child) kill() {
	c.killed.Store(true)
	if c.command.Process.Kill() != nil {
		c.killed.Store(false) // it has ended by itself
	}
}

// killOne runs a child until that moment, tells the model what it said, and returns how often it acknowledged.
func (l *lane) killOne(ctx context.Context, m moment) (acks int, err error) {
	c, err := startChild(l.test, l.dir, l.runs)
	if err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, c.kill)()
	var late atomic.Bool
	patience := boundtest.Scale(cmp.Or(l.target.patience, longEnough))
	watchdog := time.AfterFunc(patience, func() { late.Store(true); c.kill() })
	defer watchdog.Stop()

	acks, foreign, err := l.listen(c, m)
	c.pipe.Close()
	if err != nil {
		c.kill()
	}
	<-c.exited
	l.model.died(time.Now().UnixNano())
	switch {
	case err != nil:
		return acks, fmt.Errorf("%w\n%s", err, &c.stderr)
	case ctx.Err() != nil:
		return acks, ctx.Err()
	case late.Load():
		return acks, fmt.Errorf("a child has acknowledged %d writes after %v\n%s", acks, patience, &c.stderr)
	case !c.killed.Load():
		return acks, fmt.Errorf("a child ended by itself\n%s\n%s", foreign, &c.stderr)
	}
	return acks, nil
}

// listen tells the model what the child says, to the end of the pipe, and kills the child when the moment has come.
func (l *lane) listen(c *child, m moment) (acks int, foreign string, err error) {
	lines := bufio.NewReader(c.pipe)
	var timer *time.Timer
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return acks, foreign, nil // a line without an end was never said: the write of it did not return
		} else if err != nil {
			return acks, foreign, err
		}
		e, ok := parse(line)
		if !ok {
			foreign += string(line)
			continue
		}
		if e.Fault != "" {
			return acks, foreign, fmt.Errorf("in a child: %s", e.Fault)
		}
		if err := l.model.take(e); err != nil {
			return acks, foreign, err
		}
		if e.Ack != nil {
			acks++
		}
		if timer == nil && (m.opening && e.Opening || !m.opening && acks >= m.acks) {
			timer = time.AfterFunc(m.delay, c.kill)
		}
	}
}
