// Package crashtest kills processes that write to a durable store, and holds what the next process finds against what the dead one
// had acknowledged.
//
// The whole crash test of a driver is a few lines:
//
//	func TestCrash_KilledWriters_LoseNothing(t *testing.T) { crashtest.Run(t, target) }
//
//	var target = crashtest.Target{Open: func(ctx context.Context, dir string) (store.Driver, error) {
//		return mydriver.Opener(&mydriver.Options{Dir: dir}).Open(ctx)
//	}}
//
// # A cycle
//
// Run starts this test binary again as a child, which opens the store in a folder and lets 8 writers loose on it: each writes,
// overwrites, deletes, touches, swaps and counts under keys of its own, and all of them count under keys that they share. What a
// writer is about to do it announces on a pipe, and what came of it it acknowledges there, each by one line in one write, so that
// what was said outlives the child. At a random moment the parent kills the child: mostly after 50 acknowledgements or more, at
// times sooner, at times while it opens, at times twice before anybody looks. Then it reads the pipe to its end, opens the same
// folder itself and verifies:
//
//   - each key holds what its last acknowledged write left, or what the one write that was announced after it would leave, with the
//     expiry that goes with it; no value is torn;
//   - what was deleted or has expired, while the store was down too, is not there;
//   - each shared counter is between what was acknowledged and that with what was on its way;
//   - a listing holds the keys that reads find, and none that nobody meant to write;
//   - what the writers were told (existed, swapped, the sum) was the truth;
//   - the store opens within a second, at p99.
//
// The next cycle goes on in the same folder, now and then in a fresh one.
//
// # Caveats
//
//   - A killed process leaves what it wrote in the page cache: this says nothing about the loss of power.
//   - The clocks of child and parent are one, that of the machine: a driver whose expiry goes by another clock does not fit.
//   - The child speaks on its standard output. A driver that prints there breaks nothing but shows in the report of a failure.
package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// A Target says what to crash.
type Target struct {
	// Open opens the store in the folder dir, which is there and empty at first. Parent and child call it in turn, never both at a
	// time. The driver outlives ctx. Required.
	Open func(ctx context.Context, dir string) (store.Driver, error)
	// Cycles is how often a child is killed. 0 means 300, a tenth of that under the race detector and with -short, and times the
	// environment variable STORETEST_SCALE: at least 10,000 from a scale of 20 on.
	Cycles int

	patience time.Duration // how long a child may take until its moment comes; 0: longEnough
}

const (
	lanes       = 2                // folders that are crashed at the same time
	perFolder   = 25               // cycles until the next fresh folder
	mostOpening = time.Second      // how long a reopening may take at p99
	longEnough  = 30 * time.Second // for what takes milliseconds
	enough      = 10_000           // cycles of a long run
	longRun     = 20               // STORETEST_SCALE of a long run
)

// Run crashes the target as often as it says and fails t with what was not as it must be. In a child it writes until it is killed.
func Run(t *testing.T, target Target) {
	t.Helper()
	if target.isChild(t) {
		return
	}
	for _, fault := range target.crash(t, target.cycles()) {
		t.Error(fault)
	}
}

// cycles returns how often a child is killed.
func (target Target) cycles() int {
	if target.Cycles > 0 {
		return target.Cycles
	}
	n := 300
	if scale, err := strconv.ParseFloat(os.Getenv("STORETEST_SCALE"), 64); err == nil {
		n = int(float64(n) * scale)
		if scale >= longRun {
			n = max(n, enough)
		}
	}
	if boundtest.Race || testing.Short() {
		n /= 10
	}
	return max(n, lanes)
}

// crash kills n children and returns what was wrong: after the first fault in a lane that lane ends.
func (target Target) crash(t *testing.T, n int) []error {
	t.Helper()
	all := make([]*lane, lanes)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = &lane{target: target, test: t.Name(), base: t.TempDir(), cycles: (n + i) / lanes}
		wg.Go(func() { all[i].fault = all[i].run(t.Context()) })
	}
	wg.Wait()
	var faults []error
	var opened []time.Duration
	runs, acks := 0, 0
	for _, l := range all {
		if l.fault != nil {
			faults = append(faults, l.fault)
		}
		opened, runs, acks = append(opened, l.opened...), runs+l.runs, acks+l.acks
	}
	took := p99(opened)
	t.Logf("%d cycles, %d children killed, %d writes acknowledged; opened again in %v at p99", len(opened), runs, acks, took)
	if took > boundtest.Scale(mostOpening) {
		faults = append(faults, fmt.Errorf("opening after a crash took %v at p99 of %d, want at most %v", took, len(opened), boundtest.Scale(mostOpening)))
	}
	return faults
}

// p99 returns the duration that 99 of 100 do not exceed.
func p99(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)*99+99)/100-1]
}

// A lane crashes one folder after the other.
type lane struct {
	target Target
	test   string // what the children run
	base   string // the folders are below it
	cycles int

	dir    string // the present folder
	model  *model // of what it holds
	runs   int    // children started so far, also in other folders
	acks   int
	opened []time.Duration // how long each reopening took
	fault  error
}

func (l *lane) run(ctx context.Context) error {
	for i := range l.cycles {
		if i%perFolder == 0 {
			if err := l.freshFolder(); err != nil {
				return err
			}
		}
		if err := l.cycle(ctx); err != nil {
			return fmt.Errorf("cycle %d of %d: %w", i+1, l.cycles, err)
		}
	}
	return nil
}

// freshFolder goes on in an empty folder.
func (l *lane) freshFolder() error {
	if err := os.RemoveAll(l.dir); err != nil {
		return err
	}
	l.dir = filepath.Join(l.base, strconv.Itoa(l.runs))
	l.model = newModel()
	return os.Mkdir(l.dir, 0o755)
}

// cycle kills one child, now and then another that had to recover what the first one left, and verifies.
func (l *lane) cycle(ctx context.Context) error {
	for again := true; again; again = rand.IntN(4) == 0 {
		l.runs++
		acks, err := l.killOne(ctx, drawMoment())
		l.acks += acks
		if err != nil {
			return err
		}
	}
	return l.verify(ctx)
}

// A moment is when a child is killed.
type moment struct {
	opening bool // while it opens the store, or soon after
	acks    int  // otherwise after so many acknowledgements
	delay   time.Duration
}

// drawMoment draws the moment at which the next child dies.
func drawMoment() moment {
	delay := rand.N(3 * time.Millisecond)
	switch p := rand.IntN(100); {
	case p < 8:
		return moment{opening: true, delay: rand.N(30 * time.Millisecond)}
	case p < 15:
		return moment{acks: rand.IntN(50), delay: delay}
	case p < 96:
		return moment{acks: 50 + rand.IntN(250), delay: delay}
	}
	return moment{acks: 500 + rand.IntN(1500), delay: delay}
}
