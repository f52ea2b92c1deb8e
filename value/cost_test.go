package value_test

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

// What reading one stored value may cost, whatever its bytes are.
const (
	mostTime  = 50 * time.Millisecond
	mostBytes = 16 << 20
)

// wantCheap runs f often and fails if at p99 it takes longer, or once allocates more, than reading a stored value may. Time is
// measured again before it fails: the machine may have been busy with something else.
func wantCheap(t *testing.T, f func()) {
	t.Helper()
	var p99 time.Duration
	for range 10 {
		var allocated uint64
		if p99, allocated = cost(f); allocated > mostBytes {
			t.Errorf("allocated %d bytes, want at most %d", allocated, mostBytes)
			return
		}
		if p99 <= mostTime*slowdown {
			return
		}
	}
	t.Errorf("took %v at p99, want at most %v", p99, mostTime*slowdown)
}

// cost returns what f takes at p99, and the most that it allocated.
func cost(f func()) (p99 time.Duration, allocated uint64) {
	times := make([]time.Duration, 0, runs)
	for range runs {
		before := totalAlloc()
		start := time.Now()
		f()
		times = append(times, time.Since(start))
		allocated = max(allocated, totalAlloc()-before)
	}
	slices.Sort(times)
	return times[(runs*99+99)/100-1], allocated
}

// totalAlloc returns how many bytes have been allocated so far, freed ones included.
func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
