// Package historytest tests what clients of a replicated store see while its servers are killed, cut off and paused.
//
// [Run] lets the workers of several clients, each with a driver of its own, call at the same time and at a pace, and lets faults strike
// meanwhile, one after the other. It notes what each call answered, reads everything back through every client in the end, and
// holds the two against each other: the calls on each entry must have taken effect one after the other, each between its call and its
// return; one that failed never takes effect; one whose outcome is unknown may do so at any time, once, or never; every call comes
// back in time; and each client recovers, without being opened again.
//
// Where a failover may lose what was acknowledged (Lossy) there is no such order to look for. Then it counts what was lost, and looks
// for what must hold all the same: no increment is applied twice, no delete that happened is reported false, and what is read was
// written.
//
// [Outage] takes all servers away and looks at what a driver spends while they are gone.
package historytest

import (
	"cmp"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// A Target is a driver to test, and what is to happen to its servers.
type Target struct {
	// Open opens the driver of one client, numbered from 0, on whichever servers the target likes. Run closes it. Required.
	Open func(t testing.TB, client int) store.Driver
	// Faults strike in turn, Rounds times. Required.
	Faults []Fault
	// Rounds is how often all faults strike; 0 means 1. The environment variable STORETEST_SCALE multiplies it.
	Rounds int
	// Clients is how many drivers are opened; 0 means 4.
	Clients int
	// Workers is how many goroutines of each client call at a time; 0 means 4.
	Workers int
	// Tags, if any, are what keys hold one of, in braces: Redis Cluster keeps keys of the same tag in the same slot, so that a fault
	// knows the slots that are in use.
	Tags []string
	// Lossy says that a failover may lose acknowledged writes: they are counted, and histories are not checked.
	Lossy bool
	// Deadline is that of each call; 0 means 2 s.
	Deadline time.Duration
	// Recovery is how long it may take until calls of each client, on any key, succeed again: from the end of a fault, or from
	// its beginning where it is Survived. 0 means 2 s. Under the race detector it is ten times as long.
	Recovery time.Duration
	// Pace is the mean pause of a worker between two calls; 0 means 20 ms.
	Pace time.Duration
	// Calm is how long there is load without a failure before each fault and in the end; 0 means 1 s.
	Calm time.Duration
	// Watch is how long everything is read again and again in the end, for what comes late; 0 means 3 s.
	Watch time.Duration
}

// A Fault is something that happens to servers.
type Fault struct {
	// Name says what happens, in reports. Required.
	Name string
	// Strike begins the fault. Required.
	Strike func(t testing.TB)
	// Heal ends it, and returns when the servers could serve again. Nil where the fault ends by itself.
	Heal func(t testing.TB)
	// Lasts is how long there is load between Strike and Heal, at least.
	Lasts time.Duration
	// Survived says that the other servers go on without the one that is struck: each client must recover from Strike on, and
	// once more from Heal on. A fault without Heal is always survived.
	Survived bool
	// Harmless says that the fault may go unnoticed. Any other must make a call fail, or wait for a quarter of its deadline.
	Harmless bool
}

func (f Fault) survived() bool { return f.Survived || f.Heal == nil }

// hang is how long after its deadline a call counts as one that never returns.
const hang = time.Minute

// Run runs the faults and then a subtest of t for each rule. Its report is logged, too.
func Run(t *testing.T, target Target) Report {
	t.Helper()
	target = target.filled()
	drivers := make([]store.Driver, target.Clients)
	for i := range drivers {
		drivers[i] = target.Open(t, i)
		defer drivers[i].Close()
	}
	var report Report
	all := findings{}
	for range target.Rounds {
		var found findings
		for try := 0; try == 0 || try < mostTries && len(found[inTime]) > 0; try++ {
			found = newRound(target, drivers).play(t, &report)
			all.merge(found, inTime)
		}
		all[inTime] = append(all[inTime], found[inTime]...)
		if len(found[recovers]) > 0 {
			break
		}
	}
	t.Log(report)
	all.show(t, target.rules())
	return report
}

// filled returns the target with its defaults.
func (target Target) filled() Target {
	target.Rounds = int(float64(cmp.Or(target.Rounds, 1)) * scale())
	target.Rounds = max(1, target.Rounds)
	target.Clients = cmp.Or(target.Clients, 4)
	target.Workers = cmp.Or(target.Workers, 4)
	target.Deadline = cmp.Or(target.Deadline, 2*time.Second)
	target.Recovery = boundtest.Scale(cmp.Or(target.Recovery, 2*time.Second))
	target.Pace = cmp.Or(target.Pace, 20*time.Millisecond)
	target.Calm = cmp.Or(target.Calm, time.Second)
	target.Watch = cmp.Or(target.Watch, 3*time.Second)
	return target
}

// scale returns how much more than in everyday tests there is to do.
func scale() float64 {
	if f, err := strconv.ParseFloat(os.Getenv("STORETEST_SCALE"), 64); err == nil {
		return f
	}
	return 1
}
