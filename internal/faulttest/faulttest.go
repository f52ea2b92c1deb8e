// Package faulttest tests what a driver does when the network or the server fails it.
//
// A [Proxy] between the driver and a real server drops replies, keeps everything to itself, resets connections, trickles and splits,
// and the server is killed and restarted. Meanwhile [Run] lets many goroutines change entries, each call with a deadline,
// notes what each call answered, then reads the state back beside the proxy and holds the two against each other: what was
// acknowledged is there, once; what failed is not, nor comes later; what is unknown may be either; and every call came back in time.
//
// [Canary] looks for the password of a server in all that a driver says when it fails.
package faulttest

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// The load of a run.
const (
	callsPerMode   = 200 // times the scale, and at most mostCalls
	mostCalls      = 2000
	workers        = 32                     // that call at a time
	deadline       = 200 * time.Millisecond // of each call
	unhurried      = 5 * time.Second        // is that where nothing is lost, so that a call fails only of what it cannot take
	callsPerWave   = 2                      // of each worker
	callsPerOutage = 8                      // of each worker in a wave in which the server is killed
	moreWaves      = 10                     // times as many as are planned, at most
	shortest       = 5 * time.Millisecond   // of a fault
	pace           = 200 * time.Millisecond // at most, before a call in a wave that is not at its beginning
)

// What a run demands.
const (
	mostOverdue  = 50 * time.Millisecond  // that a call takes beyond its deadline
	mostRecovery = 2 * time.Second        // from the end of a fault to a call that succeeds
	hang         = time.Minute            // after which a call counts as one that never returns
	settled      = 500 * time.Millisecond // without a change of any entry
)

// slowestRecovery is when to wait for a driver no longer.
var slowestRecovery = boundtest.Scale(mostRecovery)

// A Target is a driver to test, and the server that it uses.
type Target struct {
	// Address is that of the server, host:port, or those of several, with commas between. Servers that tell the driver of each
	// other, as those of clusters do, must tell it of the addresses that it was opened on. Required.
	Address string
	// Open opens the driver on a server at address, which is Address or that of a proxy before it, or those of proxies before each
	// of several. Run closes it. Required.
	Open func(t testing.TB, address string) store.Driver
	// Restart kills the server and starts it again, at the same address. Required.
	Restart func(t testing.TB)
	// Volatile says that a server which is restarted has forgotten everything: what it was told before is then not looked for.
	Volatile bool
	// Scale multiplies the number of calls, as the environment variable STORETEST_SCALE does; 0 means 1.
	Scale float64
}

// Run runs each mode as a subtest of t, with a subtest for each rule. The seed of all that is random is logged.
func Run(t *testing.T, target Target) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, mode := range []Mode{DropReply, SwallowReply, Blackhole, Reset, Trickle, Split} {
		t.Run(mode.String(), func(t *testing.T) {
			measure(t, func(try uint64) report {
				r := target.start(t, seed+uint64(mode)+try<<32)
				if mode == Split {
					r.load.deadline = unhurried
				}
				r.waves(callsPerWave, demands[mode], func() { r.wave(t, callsPerWave, r.strike(mode)) })
				return r.check(t, demands[mode])
			})
		})
	}
	t.Run("Restart", func(t *testing.T) {
		measure(t, func(try uint64) report {
			r := target.start(t, seed+try<<32)
			r.forgets = target.Volatile
			outage := func(<-chan struct{}) { target.Restart(t) }
			r.waves(callsPerOutage, demands[restart], func() { r.wave(t, callsPerOutage, outage) })
			return r.check(t, demands[restart])
		})
	})
}

// measure runs a subtest for each rule with what run found. Where calls took too long it runs again, twice at most, before it says
// so: the machine may have been busy with something else. What it found about other rules stays.
func measure(t *testing.T, run func(try uint64) report) {
	t.Helper()
	found := report{}
	for try := range uint64(3) {
		delete(found, inTime)
		for rule, texts := range run(try) {
			found[rule] = append(found[rule], texts...)
		}
		if len(found[inTime]) == 0 {
			break
		}
	}
	found.show(t)
}

// A run is the test of one mode.
type run struct {
	proxies proxies
	driver  store.Driver // through the proxies
	beside  store.Driver // beside them
	random  *rand.Rand
	calls   int     // to make, about
	planned float64 // calls, of which a part must be hit
	forgets bool    // the state is not to be looked at
	load    load

	recoveries []time.Duration // after each wave
}

func (target Target) start(t *testing.T, seed uint64) *run {
	t.Helper()
	r := &run{proxies: startProxies(t, target.Address, seed), random: rand.New(rand.NewPCG(seed, 1))}
	r.load.prefix, r.load.deadline = strconv.FormatUint(seed, 36), deadline
	r.calls = min(mostCalls, int(callsPerMode*target.scale()))
	r.driver, r.beside = target.Open(t, r.proxies.addresses()), target.Open(t, target.Address)
	t.Cleanup(func() {
		r.driver.Close()
		r.beside.Close()
	})
	return r
}

// scale returns how much more than in everyday tests there is to do.
func (target Target) scale() float64 {
	scale := 1.0
	if target.Scale > 0 {
		scale = target.Scale
	}
	if f, err := strconv.ParseFloat(os.Getenv("STORETEST_SCALE"), 64); err == nil {
		scale *= f
	}
	return scale
}

// waves makes as many waves as make the calls of a run, at least two, and up to moreWaves times as many until the faults have hit
// what is demanded of the calls that were planned: how many calls a wave hits is chance, and on a busy machine they are few. It ends
// when the driver does not recover.
func (r *run) waves(perWorker int, d demand, wave func()) {
	planned := max(2, (r.calls+workers*perWorker-1)/(workers*perWorker))
	r.planned = float64(planned * workers * perWorker)
	for i := 0; r.alive() && (i < planned || i < moreWaves*planned && !r.load.count().least(d, r.planned)); i++ {
		wave()
	}
}

// strike returns a fault of a wave: the proxies are in a mode until done is closed, or for a shorter time; as a whole, or only their
// present connections. That of the first wave is the whole of it.
func (r *run) strike(mode Mode) func(done <-chan struct{}) {
	set, longest := r.proxies.set, hang
	if len(r.recoveries) > 0 && r.random.IntN(2) == 0 {
		set = r.proxies.setLive
	}
	if len(r.recoveries) > 0 && r.random.IntN(2) == 0 {
		longest = shortest + time.Duration(r.random.Int64N(2*int64(deadline)))
	}
	return func(done <-chan struct{}) {
		set(mode)
		select {
		case <-done:
		case <-time.After(longest):
		}
		r.proxies.set(Pass)
	}
}

// wave lets all workers make calls at a time. At a random one of the first fault begins. It ends with the wave, or before, and then
// the driver has to recover.
func (r *run) wave(t *testing.T, perWorker int, fault func(done <-chan struct{})) {
	t.Helper()
	calls := r.load.plan(r.random, perWorker)
	r.seed(t)
	r.warm()
	begin, done := make(chan struct{}), make(chan struct{})
	first := int64(1 + r.random.IntN(workers))
	var started atomic.Int64
	var wait sync.WaitGroup
	for _, own := range calls {
		wait.Go(func() {
			for i, c := range own {
				if started.Add(1) == first {
					close(begin)
				}
				if i >= callsPerWave {
					time.Sleep(c.pause)
				}
				c.do(r.driver, r.load.deadline)
			}
		})
	}
	go func() {
		wait.Wait()
		close(done)
	}()
	<-begin
	fault(done)
	recovered := make(chan struct{})
	go func() {
		defer close(recovered)
		r.recover(t)
	}()
	select {
	case <-done:
	case <-time.After(hang):
		t.Fatalf("a call with a deadline of %v has not returned after %v", r.load.deadline, hang)
	}
	<-recovered
}

// warm makes calls of each kind, of all workers at a time and without a fault, so that the driver has as many connections as it wants, and
// has prepared on them what it prepares: a fault would else meet little but that.
func (r *run) warm() {
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			key := r.load.prefix + ":warm:" + strconv.Itoa(w)
			for k := range kinds {
				c := call{cell: &cell{kind: k, key: key}, value: before}
				c.do(r.driver, r.load.deadline) // one that fails is no matter: the load tells
			}
		})
	}
	wait.Wait()
}

// recover calls the driver until a call succeeds, or until it has taken too long, and notes how long that took.
func (r *run) recover(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for time.Since(start) <= slowestRecovery {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		err := r.driver.Set(ctx, r.load.prefix+":probe", []byte{}, 0)
		cancel()
		if err == nil {
			break
		}
		<-tick.C
	}
	r.recoveries = append(r.recoveries, time.Since(start))
}

// alive reports whether the driver has recovered whenever it had to.
func (r *run) alive() bool {
	return len(r.recoveries) == 0 || slices.Max(r.recoveries) <= slowestRecovery
}

// seed writes, beside the proxy, what the calls of a wave are to find.
func (r *run) seed(t *testing.T) {
	t.Helper()
	for _, c := range r.load.unseeded {
		eventually(t, hang, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), mostRecovery)
			defer cancel()
			return r.beside.Set(ctx, c.key, []byte(before), 0)
		})
	}
	r.load.unseeded = nil
}

// snapshot reads, beside the proxy, what is stored in the cells.
func (r *run) snapshot(t *testing.T) map[string]string {
	t.Helper()
	stored := map[string]string{}
	for _, c := range r.load.cells {
		eventually(t, hang, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), mostRecovery)
			defer cancel()
			v, err := r.beside.Get(ctx, c.key)
			if err == nil {
				stored[c.key] = string(v)
			} else if errors.Is(err, store.ErrNotFound) {
				err = nil
			}
			return err
		})
	}
	return stored
}

// settle returns what is stored when it has not changed for a while: a call that failed must not be applied later.
func (r *run) settle(t *testing.T) map[string]string {
	t.Helper()
	stored, since := r.snapshot(t), time.Now()
	eventually(t, hang, func() error {
		if again := r.snapshot(t); !maps.Equal(stored, again) {
			stored, since = again, time.Now()
		}
		if time.Since(since) < settled {
			return errors.New("the entries have only just changed")
		}
		return nil
	})
	return stored
}

// eventually tries until it succeeds, or fails the test with the last error after a time.
func eventually(t *testing.T, timeout time.Duration, try func() error) {
	t.Helper()
	end := time.After(timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-end:
			t.Fatalf("in vain for %v: %v", timeout, err)
		case <-tick.C:
		}
	}
}
