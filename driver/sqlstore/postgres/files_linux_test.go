package postgres

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"context"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/pgtest"
)

// openFiles counts the open files of this process.
func openFiles() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

// stop makes a server and its processes stand still until the function that it returns is called.
func stop(t *testing.T, server *pgtest.Server) (goOn func()) {
	t.Helper()
	pids := []int{server.PID()}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, _ := os.ReadFile(name)
		_, after, _ := strings.Cut(string(text), ") ") // state, parent
		if fields := strings.Fields(after); len(fields) > 1 && fields[1] == strconv.Itoa(server.PID()) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			pids = append(pids, pid)
		}
	}
	signal := func(s syscall.Signal) {
		for _, pid := range pids {
			syscall.Kill(pid, s)
		}
	}
	signal(syscall.SIGSTOP)
	goOn = func() { signal(syscall.SIGCONT) }
	t.Cleanup(goOn)
	return goOn
}

func TestDriver_ServerStandsStill_CallsEndInTime(t *testing.T) {
	server := pgtest.Start(t, nil)
	const deadline = 100 * time.Millisecond
	boundtest.AtMost(t, "the longest of 16 calls with a deadline of 100 ms", boundtest.Scale(deadline+50*time.Millisecond), func() time.Duration {
		return callWhileItStands(t, server, deadline)
	})
}

// callWhileItStands makes calls to a server that stands still, and returns what the longest of them took.
func callWhileItStands(t *testing.T, server *pgtest.Server, deadline time.Duration) (longest time.Duration) {
	t.Helper()
	d := openURL(t, server.URL()+"?max_conns=4&dial_timeout=1s")
	defer d.Close()
	before, err := d.Incr(testContext(t), "k:n", 1, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	goOn := stop(t, server)
	const callers = 16
	var took [callers]time.Duration
	var errs [callers]error
	done := make(chan int, callers)
	for i := range callers {
		go func() {
			ctx, cancel := context.WithTimeout(testContext(t), deadline)
			defer cancel()
			begin := time.Now()
			switch i % 3 {
			case 0:
				_, errs[i] = d.Incr(ctx, "k:n", 1, 0, 0)
			case 1:
				_, errs[i] = d.Get(ctx, "k:n")
			case 2:
				errs[i] = d.Set(ctx, "k:k", nil, 0)
			}
			took[i] = time.Since(begin)
			done <- i
		}()
	}
	for range callers {
		i := <-done
		if kind := store.Kind(errs[i]); kind != "timeout" && (kind != "unknown_outcome" || i%3 != 2) {
			t.Errorf("call %d: %v after %v", i, errs[i], took[i])
		}
		longest = max(longest, took[i])
	}
	// They are given up, though the server does not say goodbye, and so are attempts to connect, after dial_timeout.
	begin := time.Now()
	eventually(t, "the connections are gone", func() bool {
		d.pool.mu.Lock()
		defer d.pool.mu.Unlock()
		return len(d.pool.wires) == 0
	})
	if took := time.Since(begin); took > boundtest.Scale(5*burial) {
		t.Errorf("the broken connections were closed after %v", took)
	}
	goOn()
	eventually(t, "the driver is back", func() bool { return d.Set(testContext(t), "k:k", nil, 0) == nil })
	if n, err := d.Incr(testContext(t), "k:n", 1, 0, 0); n != before+1 || err != nil {
		t.Errorf("increments that timed out were made: %v after %v, %v", n, before, err)
	}
	return longest
}

func TestClose_WhileTheServerStandsStill_Returns(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, nil)
	d := openURL(t, server.URL())
	burst(t, d, 10)
	goOn := stop(t, server)
	defer goOn()
	errs := make(chan error, 15)
	for range cap(errs) {
		go func() { errs <- second(d.Get(testContext(t), "k:k")) }()
	}
	eventually(t, "all connections are in use", func() bool { return len(d.pool.slots) == cap(d.pool.slots) })
	begin := time.Now()
	d.Close()
	if took := time.Since(begin); took > boundtest.Scale(2*time.Second) {
		t.Errorf("Close took %v", took)
	}
	for range cap(errs) {
		if err := <-errs; store.Kind(err) != "unavailable" {
			t.Errorf("got %v", err)
		}
	}
}
