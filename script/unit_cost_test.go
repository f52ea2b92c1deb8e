//go:build !race

package script_test

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// perUnit returns what one unit takes: the median of some rounds, which alternate with those of others.
func perUnit(units map[string]func(), rounds, count int) map[string]time.Duration {
	times := map[string][]time.Duration{}
	for range rounds {
		for name, unit := range units {
			begin := time.Now()
			for range count {
				unit()
			}
			times[name] = append(times[name], time.Since(begin)/time.Duration(count))
		}
	}
	medians := map[string]time.Duration{}
	for name, all := range times {
		slices.Sort(all)
		medians[name] = all[len(all)/2]
	}
	return medians
}

// TestUnit_IsCheap holds a unit in a state that is used again against the same Lua code in a state that is never cleaned, and against a
// unit in a new state. A machine that is busy with something else gets another chance.
func TestUnit_IsCheap(t *testing.T) {
	units := map[string]func(){"pooled": pooled(t), "bare": bare(t), "fresh": fresh(t)}
	var took map[string]time.Duration
	for range 5 {
		took = perUnit(units, 9, 200)
		if took["pooled"] <= 3*took["bare"] && took["fresh"] >= 10*took["pooled"] {
			break
		}
	}
	if took["pooled"] > 3*took["bare"] {
		t.Errorf("a unit takes %v, and %v in a bare state", took["pooled"], took["bare"])
	}
	if took["fresh"] < 10*took["pooled"] {
		t.Errorf("a unit takes %v, and %v in a new state", took["pooled"], took["fresh"])
	}
	t.Log(took)
}

// TestUnits_TwoAtOnce_AreFaster: what units share does not keep them from running beside each other. Where other work on the machine takes
// what a second goroutine could gain, they gain nine tenths of what bare Lua states do, which share nothing.
func TestUnits_TwoAtOnce_AreFaster(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		return // there is nothing to gain
	}
	// As in a host that has something in memory. With nothing in it Go collects each 4 MB, on the processor that one goroutine leaves free.
	kept := make([]byte, 64<<20)
	defer runtime.KeepAlive(kept)
	unit, states := pooled(t), [2]func(){bare(t), bare(t)}
	gains, shares := []float64(nil), []float64(nil)
	for range 5 {
		alone(unit) // until the heap has grown as far as it will
	}
	const enough, most = 5, 60 // rounds: where neither holds, the machine may be busy with something else for a while
	for round := 1; ; round++ {
		units := alone(unit).Seconds() / together(unit, unit).Seconds()
		gains = append(gains, units)
		shares = append(shares, units*together(states[0], states[1]).Seconds()/alone(states[0]).Seconds())
		if round >= enough && median(gains) >= 1.7 || round >= 4*enough && median(shares) >= 0.9 {
			break
		}
		if round == most {
			t.Error("units keep each other from running at once")
			break
		}
	}
	t.Logf("two goroutines run so many times the units of one: %.2f; in shares of what bare states gain: %.2f", gains, shares)
}

func median(of []float64) float64 { return slices.Sorted(slices.Values(of))[len(of)/2] }

// several is how many units one goroutine runs.
const several = 20_000

// alone returns what one goroutine takes for twice as many.
func alone(unit func()) time.Duration {
	begin := time.Now()
	for range 2 * several {
		unit()
	}
	return time.Since(begin)
}

// together returns what two goroutines take for as many each.
func together(units ...func()) time.Duration {
	begin := time.Now()
	var group sync.WaitGroup
	for _, unit := range units {
		group.Go(func() {
			for range several {
				unit()
			}
		})
	}
	group.Wait()
	return time.Since(begin)
}
