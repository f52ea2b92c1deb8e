package historytest

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// An OutageTarget is a driver whose servers are to be away for a while.
type OutageTarget struct {
	// Addresses are those of the servers, host:port. A driver that hears of others from them, as those of clusters do, goes past what
	// stands before them: either Open tells the servers to announce those, or there are no Addresses but Stop.
	Addresses []string
	// Open opens the driver on servers at addresses: one before each of Addresses, in their order. Outage closes it. Required.
	Open func(t testing.TB, addresses []string) store.Driver
	// Stop kills the servers, and Start starts them again, at the same addresses. Both may be nil.
	Stop, Start func(t testing.TB)
	// Dials returns how many connections the driver has tried to open so far: where there are no Addresses this is not known
	// otherwise. May be nil.
	Dials func() int
	// Lasts is how long the servers are away; 0 means 3 s times the environment variable STORETEST_SCALE, at most 60 s.
	Lasts time.Duration
	// Recovery is how long it may take until calls on any key succeed again; 0 means 2 s. Under the race detector it is ten times
	// as long.
	Recovery time.Duration
}

// The load of an outage.
const (
	callers        = 32
	callerDeadline = 200 * time.Millisecond
	callerPace     = 10 * time.Millisecond
	callerCalm     = 500 * time.Millisecond // without a failure: then the driver has recovered
)

// What an outage demands.
const (
	dialsPerSecond  = 2
	spareDials      = 4 // beyond that, in all
	spareGoroutines = 8
	spareBytes      = 1 << 20
	atOnce          = 50 * time.Millisecond // nine calls in ten, where the server is known to be away
)

// The rules, by the names of their subtests.
const (
	dialsAreFew     = "DialsAreFew"
	goroutinesStay  = "GoroutinesDoNotGrow"
	memoryStays     = "MemoryDoesNotGrow"
	callsFailAtOnce = "CallsFailAtOnce"
	recoversSoon    = "RecoversSoon"
)

var outageRules = []string{dialsAreFew, goroutinesStay, memoryStays, callsFailAtOnce, recoversSoon, errorsTell, inTime, strikes}

// Outage takes the servers away under load, in each way that there is as a subtest of t, with a subtest for each rule: nobody listens
// any more, connections are reset, nothing is ever said, or the servers are killed. Nothing else may run in this process.
func Outage(t *testing.T, target OutageTarget) {
	target.Lasts = cmp.Or(target.Lasts, time.Duration(min(60, 3*scale())*float64(time.Second)))
	target.Recovery = boundtest.Scale(cmp.Or(target.Recovery, 2*time.Second))
	var ways []absence
	if len(target.Addresses) > 0 {
		ways = []absence{refused, hungUp, silent}
	}
	if target.Stop != nil {
		ways = append(ways, killed)
	}
	for _, way := range ways {
		t.Run(way.String(), func(t *testing.T) {
			var found findings
			for try := 0; try == 0 || try < mostTries && len(found[inTime])+len(found[callsFailAtOnce]) > 0; try++ {
				found = target.run(t, way)
			}
			found.show(t, outageRules)
		})
	}
}

// An outage is one run of a target.
type outage struct {
	target  OutageTarget
	way     absence
	gates   []*gate
	driver  store.Driver
	callers []*caller
	lag     *lag
	start   time.Time
	stop    chan struct{}
	tasks   sync.WaitGroup
	found   findings
}

func (target OutageTarget) run(t *testing.T, way absence) findings {
	t.Helper()
	o := &outage{target: target, way: way, start: time.Now(), stop: make(chan struct{}), found: findings{}}
	o.lag = &lag{start: o.start}
	var addresses []string
	if way != killed {
		for _, address := range target.Addresses {
			g := startGate(t, address)
			defer g.close()
			o.gates = append(o.gates, g)
			addresses = append(addresses, g.addr)
		}
	}
	o.driver = target.Open(t, addresses)
	defer o.driver.Close()
	o.play(t)
	o.judgeCalls()
	return o.found
}

// play takes the servers away under load, unless there are none to begin with.
func (o *outage) play(t *testing.T) {
	t.Helper()
	defer o.tasks.Wait()
	defer close(o.stop) // also where the target ends the test
	o.begin()
	if o.recovered(t, "before the outage", 0) {
		o.takeAway(t)
	}
}

// begin lets callers call until stop is closed.
func (o *outage) begin() {
	o.tasks.Go(func() { o.lag.watch(o.stop) })
	for i := range callers {
		c := &caller{
			lag:   o.lag,
			probe: probe{driver: o.driver, key: fmt.Sprintf("outage%d:%d", o.start.UnixNano(), i), start: o.start, deadline: callerDeadline, failing: true},
		}
		o.callers = append(o.callers, c)
		o.tasks.Go(func() { every(callerPace, o.stop, c.act) })
	}
}

// takeAway takes the servers away for as long as it should, looks at the driver at the beginning of that and at the end, and gives them
// back.
func (o *outage) takeAway(t *testing.T) {
	t.Helper()
	const share = 6 // of the outage, before it counts as known, and for each look
	dials := o.dials()
	o.leave(t)
	left := time.Now()
	rest := func(until time.Duration) { <-time.After(until - time.Since(left)) }
	rest(o.target.Lasts / share)
	o.setKnown(true)
	first := look(o.target.Lasts / share)
	rest(o.target.Lasts - o.target.Lasts/share)
	last := look(o.target.Lasts / share)
	o.setKnown(false)
	lasted := time.Since(left)
	dials = o.dials() - dials
	back := o.back(t)
	o.judgeGrowth(first, last)
	if most := int(dialsPerSecond*lasted.Seconds()) + spareDials; dials > most {
		o.found.add(dialsAreFew, "%d dials in %v, want at most %d", dials, lasted, most)
	}
	t.Logf("away for %v: %d dials, from %v to %v", lasted.Round(time.Millisecond), dials, first, last)
	o.recovered(t, "after the outage", back)
}

// dials returns how many dials there were while the servers were away, or all, where nothing else is known.
func (o *outage) dials() int {
	if o.way == killed && o.target.Dials != nil {
		return o.target.Dials()
	}
	sum := 0
	for _, g := range o.gates {
		sum += g.dialed()
	}
	return sum
}

func (o *outage) leave(t *testing.T) {
	t.Helper()
	if o.way == killed {
		o.target.Stop(t)
	}
	for _, g := range o.gates {
		g.leave(o.way)
	}
}

// back gives the servers back and returns when that was.
func (o *outage) back(t *testing.T) time.Duration {
	t.Helper()
	if o.way == killed {
		o.target.Start(t)
	}
	for _, g := range o.gates {
		g.back(t)
	}
	return time.Since(o.start)
}

// recovered waits until no caller has met a failure for a while, and reports whether they had recovered in time.
func (o *outage) recovered(t *testing.T, name string, from time.Duration) bool {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	unsteady := func(c *caller) bool { return !c.steady(from, time.Since(o.start)-callerCalm) }
	for end := from + o.target.Recovery + 2*callerCalm; slices.ContainsFunc(o.callers, unsteady); <-tick.C {
		if time.Since(o.start) > end {
			o.found.add(recoversSoon, "%s: calls still fail after %v", name, time.Since(o.start)-from)
			return false
		}
	}
	var took time.Duration
	for _, c := range o.callers {
		took = max(took, c.recoveredAt()-from)
	}
	if took > o.target.Recovery {
		o.found.add(recoversSoon, "%s: recovered within %v, want at most %v", name, took, o.target.Recovery)
	}
	t.Logf("%s: recovered within %v", name, took.Round(time.Millisecond))
	return true
}

// A view is what the process holds.
type view struct {
	goroutines int // at least
	heap       uint64
}

// String shows the view in a message.
func (v view) String() string {
	return fmt.Sprintf("%d goroutines and %d KiB", v.goroutines, v.heap>>10)
}

// look looks at the process for a while.
func look(during time.Duration) view {
	v := view{goroutines: runtime.NumGoroutine()}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(during); time.Now().Before(end); <-tick.C {
		v.goroutines = min(v.goroutines, runtime.NumGoroutine())
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what a finalizer kept
	runtime.ReadMemStats(&m)
	v.heap = m.HeapAlloc
	return v
}

func (o *outage) judgeGrowth(first, last view) {
	if last.goroutines > first.goroutines+spareGoroutines {
		o.found.add(goroutinesStay, "from %v to %v in the course of the outage", first, last)
	}
	if last.heap > first.heap+spareBytes {
		o.found.add(memoryStays, "from %v to %v in the course of the outage", first, last)
	}
}

// setKnown says from when on, and until when, the servers have been away for a while.
func (o *outage) setKnown(known bool) {
	for _, c := range o.callers {
		c.mu.Lock()
		c.known = known
		c.mu.Unlock()
	}
}

// judgeCalls looks at what the callers counted.
func (o *outage) judgeCalls() {
	during, slow, done := 0, 0, 0
	var late overdue
	for _, c := range o.callers {
		during, slow, done = during+c.during, slow+c.slow, done+c.done
		late.add(c.overdue)
		if c.wrong != nil {
			o.found.add(errorsTell, "want timeout, unavailable or, of a write, unknown_outcome: %v", c.wrong)
		}
	}
	late.judge(o.found)
	if done > 0 {
		o.found.add(strikes, "%d of %d calls succeeded while the servers were away: the driver knows other ways", done, during)
	}
	if o.way != silent && slow*10 > during {
		o.found.add(callsFailAtOnce, "%d of %d calls took more than %v while the servers were away", slow, during, boundtest.Scale(atOnce))
	}
}
