// Package boundtest asserts, in tests, the bounds on time and memory that are part of a contract: at p99 without the race
// detector, ten times as wide with it.
package boundtest

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Scale returns a bound on time as it holds in this build: under the race detector everything takes longer.
func Scale(d time.Duration) time.Duration { return d * slowdown }

// Cheap runs f often and fails if at p99 it takes longer than mostTime, or once allocates more than mostBytes. What f waits for a
// processor that others use does not count, where the system tells. Time is measured again before it fails: a busy machine is slower in
// other ways too.
func Cheap(t testing.TB, mostTime time.Duration, mostBytes uint64, f func()) {
	t.Helper()
	mostTime = Scale(mostTime)
	var p99 time.Duration
	for range 10 {
		var allocated uint64
		if p99, allocated = cost(f); allocated > mostBytes {
			t.Errorf("allocated %d bytes, want at most %d", allocated, mostBytes)
			return
		}
		if p99 <= mostTime {
			return
		}
	}
	t.Errorf("took %v at p99, want at most %v", p99, mostTime)
}

// cost returns what f takes at p99, and the most that it allocated.
func cost(f func()) (p99 time.Duration, allocated uint64) {
	runtime.LockOSThread() // queued tells of one thread
	defer runtime.UnlockOSThread()
	times := make([]time.Duration, 0, runs)
	for range runs {
		waited := queued()
		before := totalAlloc()
		start := time.Now()
		f()
		took := time.Since(start)
		allocated = max(allocated, totalAlloc()-before)
		waited = queued() - waited
		times = append(times, took-min(took, waited))
	}
	slices.Sort(times)
	return times[(runs*99+99)/100-1], allocated
}

// queued returns how long this thread was ready to run and had no processor, since it began; 0 where nothing tells.
func queued() time.Duration {
	b, _ := os.ReadFile("/proc/thread-self/schedstat") // the time on a processor, the time in the queue for one, and how often
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	ns, _ := strconv.ParseInt(fields[1], 10, 64)
	return time.Duration(ns)
}

// totalAlloc returns how many bytes have been allocated so far, freed ones included.
func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
