package historytest

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
)

// A round is a load on entries of its own, under which each fault strikes once.
type round struct {
	target  Target
	drivers []store.Driver
	load    *load
	workers []*worker
	probes  []*probe
	lag     *lag
	start   time.Time
	found   findings

	ended      time.Duration // when the load was over
	checked    int           // calls in histories
	strikes    []span        // from each strike to the recovery from it
	calms      []span        // between two faults
	waits      []wait        // for recoveries
	recoveries []time.Duration
	stop       chan struct{} // closed by halt
	halt       func()
	tasks      sync.WaitGroup
}

// A span is a part of a round, in time since its start.
type span struct {
	name     string
	from, to time.Duration
}

// A wait is a moment from which each client has so long to recover.
type wait struct {
	name string
	from time.Duration
}

func newRound(target Target, drivers []store.Driver) *round {
	r := &round{target: target, drivers: drivers, start: time.Now(), found: findings{}, stop: make(chan struct{})}
	r.halt = sync.OnceFunc(func() { close(r.stop) })
	r.load = newLoad("h"+strconv.FormatUint(rand.Uint64(), 36), target.Tags)
	r.lag = &lag{start: r.start}
	for client, driver := range drivers {
		for range target.Workers {
			r.workers = append(r.workers, &worker{client: client, driver: driver, load: r.load, start: r.start, deadline: target.Deadline})
		}
		for i := range probeKeys {
			r.probes = append(r.probes, r.newProbe(client, i))
		}
	}
	return r
}

// now returns the time since the start of the round.
func (r *round) now() time.Duration { return time.Since(r.start) }

// play lets the faults strike under load, adds to the report and returns what is wrong.
func (r *round) play(t *testing.T, report *Report) findings {
	t.Helper()
	r.begin()
	defer r.halt() // where a fault ends the test
	alive := r.recovered(t, "the first calls", 0)
	for _, f := range r.target.Faults {
		if alive {
			r.stock(t)
			alive = r.strike(t, f)
		}
	}
	r.end(t)
	r.load.gather(r.workers)
	if alive {
		r.sweep()
	}
	r.check()
	if !r.target.Lossy {
		r.checked = r.load.judgeHistories(r.found)
	}
	r.addTo(report)
	return r.found
}

// begin lets workers and probes call until end.
func (r *round) begin() {
	r.tasks.Go(func() { r.lag.watch(r.stop) })
	for _, w := range r.workers {
		r.tasks.Go(func() { every(r.target.Pace, r.stop, w.act) })
	}
	for _, p := range r.probes {
		r.tasks.Go(func() { every(probePauses*r.target.Pace, r.stop, p.call) })
	}
}

// end stops the load.
func (r *round) end(t *testing.T) {
	t.Helper()
	r.ended = r.now()
	r.endCalm()
	r.halt()
	ended := make(chan struct{})
	go func() {
		r.tasks.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(r.target.Deadline + hang):
		t.Fatalf("a call with a deadline of %v has not returned after %v", r.target.Deadline, r.target.Deadline+hang)
	}
}

// strike lets a fault happen, and reports whether all clients recovered.
func (r *round) strike(t *testing.T, f Fault) bool {
	t.Helper()
	from := r.now()
	r.endCalm()
	f.Strike(t)
	struck := r.now()
	alive := true
	if f.survived() {
		alive = r.recovered(t, f.Name, from)
	}
	if f.Heal != nil {
		r.rest(struck + f.Lasts)
		r.endCalm()
		f.Heal(t) // even if the clients are lost: others may use the servers
		alive = alive && r.recovered(t, f.Name+", healed", r.now())
	}
	if !f.Harmless {
		r.strikes = append(r.strikes, span{f.Name, from, r.now()})
	}
	return alive
}

// endCalm notes that from now on there may be failures.
func (r *round) endCalm() {
	if last := &r.calms[len(r.calms)-1]; last.to == 0 {
		last.to = r.now()
	}
}

// rest returns at a time since the start of the round.
func (r *round) rest(until time.Duration) { <-time.After(until - r.now()) }

// recovered waits until no client has met a failure for a while, and notes how long that took, counted from a moment of the round.
// It reports false if it waited in vain. The name says from what they recover.
func (r *round) recovered(t *testing.T, name string, from time.Duration) bool {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := from + r.target.Recovery + r.target.Deadline + 2*r.target.Calm
	unsteady := r.unsteady(from)
	for ; unsteady != nil && r.now() < end; unsteady = r.unsteady(from) {
		<-tick.C
	}
	r.calms = append(r.calms, span{name: name, from: r.now()})
	r.waits = append(r.waits, wait{name, from})
	if p := unsteady; p != nil {
		r.found.add(recovers, "%s: after %v calls of client %d on %s still fail: %v", name, r.now()-from, p.client, p.key, p.failure())
		return false
	}
	var took time.Duration
	for _, p := range r.probes {
		took = max(took, p.recoveredAt()-from)
	}
	r.recoveries = append(r.recoveries, took)
	t.Logf("%s: all clients recovered within %v", name, took.Round(time.Millisecond))
	if took > r.target.Recovery {
		r.found.add(recovers, "%s: it took %v until all clients had recovered, want at most %v", name, took, r.target.Recovery)
	}
	return true
}

// unsteady returns a probe that has not succeeded for all of a while since a moment.
func (r *round) unsteady(from time.Duration) *probe {
	for _, p := range r.probes {
		if !p.steady(from, r.now()-r.target.Calm) {
			return p
		}
	}
	return nil
}

// stock writes entries that are to be deleted and swapped. That begins when they are old enough for a store to have them that loses
// what it was told last.
func (r *round) stock(t *testing.T) {
	t.Helper()
	var wait sync.WaitGroup
	for _, w := range r.workers {
		wait.Go(func() {
			for range stocked / len(r.workers) {
				w.seed()
			}
		})
	}
	wait.Wait()
	r.rest(r.now() + r.target.Calm)
	r.load.release()
}

// newProbe returns a probe of one client on one of the keys that all share.
func (r *round) newProbe(client, i int) *probe {
	return &probe{
		client: client, driver: r.drivers[client], key: r.load.key("probe", i),
		start: r.start, deadline: r.target.Deadline / 4, failing: true,
	}
}

// every does something again and again, with pauses of random length in between, until stop is closed.
func every(pause time.Duration, stop <-chan struct{}, do func()) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(pause/2 + rand.N(pause)):
			do()
		}
	}
}
