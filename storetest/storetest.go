// Package storetest holds every driver to the contract of [store.Driver]: each rule is a subtest named for what it states, and
// random sequences of operations are compared with a map. The rules about entries then run again through a [store.Handle] of the
// driver, with those about many units of work at once: histories of what they did are searched for an order in which that is
// legal, counts are exact, and a missing entry is computed once. Those about optional interfaces run again through a handle that
// has to do without them, and what scripts can do runs in Lua, so that they meet the same results and the same texts on every
// driver.
//
// The whole test of a driver is a few lines, and so are its benchmarks:
//
//	func TestConformance(t *testing.T) { storetest.Run(t, harness) }
//
//	func BenchmarkDriver(b *testing.B) { storetest.Benchmark(b, harness) }
//
//	var harness = storetest.Harness{
//		Opener: func(t testing.TB) store.Opener { return mydriver.Opener(&mydriver.Options{Dir: t.TempDir()}) },
//	}
//
// Nothing is skipped: rules about an optional interface or a property that [store.Info] states run on the drivers that have
// it. A single rule runs by its name:
//
//	go test -run 'TestConformance/TTL/SetWithoutTTLClearsTheOldOne' ./driver/mydriver
//
// Rules about concurrency repeat what they do. The flag -short takes a tenth of the repetitions, Harness.Scale and the
// environment variable STORETEST_SCALE multiply them; -rapid.checks sets how many random sequences run.
package storetest

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

// A Harness says how to test one driver.
type Harness struct {
	// Opener returns an opener of a space that is empty and that nobody else uses until the test t ends; the suite asks for
	// one at a time. It may be opened more than once: a driver that says Shared then sees the same entries. What it sets up
	// it takes down in t.Cleanup, which runs after the drivers were closed. Required.
	Opener func(t testing.TB) store.Opener
	// InProcess says that the driver needs nothing outside this process, so that rules about time open it inside a bubble of
	// [synctest.Test] and run in virtual time. Otherwise they wait for short times to pass.
	InProcess bool
	// Persistent says that a driver which is opened again after Close finds what was there before.
	Persistent bool
	// Scale multiplies how often rules about concurrency repeat what they do; 0 means 1. Where it is less it also makes random
	// sequences fewer.
	Scale float64
	// CountScale multiplies Scale for the exact counts, where 64 units add to one number: they take most of the time of all
	// rules where each addition is a round trip or more; 0 means 1.
	CountScale float64
	// CountUnits is how many units add to one number in the exact counts; 0 means 64. Where a conditional write takes long, so many are
	// in each other's way for more tries than an update has.
	CountUnits int
}

// Run runs every rule as a subtest of t: on the driver, on a [store.Handle] of it, and in Lua.
func Run(t *testing.T, h Harness) {
	for _, g := range groups {
		h.runGroup(t, g, direct)
	}
	t.Run("Handle", func(t *testing.T) {
		for _, g := range slices.Concat([]group{{"Store", handleRules}}, entryGroups, unitGroups) {
			h.runGroup(t, g, throughHandle)
		}
	})
	t.Run("Fallback", func(t *testing.T) {
		for _, g := range slices.Concat(optionalGroups, fallbackGroups) {
			h.runGroup(t, g, withoutOptional)
		}
	})
	h.runGroup(t, group{"Lua", slices.Concat(luaRules, luaAPIRules)}, direct)
}

// groups are the rules in the order in which they are best read and run: what the later ones rely on comes first. So does
// Close, because a bubble in which a driver leaves a goroutine behind ends the test binary.
var groups = slices.Concat([]group{{"Open", openRules}, {"Close", closeRules}, {"Info", infoRules}}, entryGroups)

// entryGroups are the rules about entries, which hold for a handle as they do for its driver.
var entryGroups = slices.Concat([]group{
	{"Value", valueRules},
	{"Key", keyRules},
	{"Get", getRules},
	{"Has", hasRules},
	{"Set", setRules},
	{"Delete", deleteRules},
	{"Entry", entryRules},
	{"TTL", ttlRules},
	{"Touch", touchRules},
	{"CompareAndSwap", swapRules},
	{"List", listRules},
	{"Context", contextRules},
}, optionalGroups)

// optionalGroups are about what only some drivers do by themselves, and handles do for the others.
var optionalGroups = []group{
	{"Incr", incrRules},
	{"GetMany", getManyRules},
	{"SetMany", setManyRules},
	{"DeleteMany", deleteManyRules},
	{"Model", modelRules},
}

// unitGroups are about what a handle makes of a driver for many units of work at once.
var unitGroups = []group{
	{"Linearizable", linearizableRules},
	{"Count", slices.Concat(incrCountRules, updateCountRules)},
	{"Fetch", fetchRules},
}

// fallbackGroups are the others that depend on optional interfaces.
var fallbackGroups = []group{
	{"Linearizable", linearizableRules},
	{"Count", incrCountRules},
	{"Lua", luaAPIRules},
}

// A group is the rules about one method or subject.
type group struct {
	name  string
	rules []rule
}

// A rule is one statement about drivers.
type rule struct {
	name  string            // the statement
	needs func(*space) bool // the drivers that it is about; nil: all
	timed bool              // it lets time pass: in a bubble, where the driver is in-process
	raw   bool              // it stores bytes that are no Lua value, which a handle refuses
	test  func(*space)
}

// needing returns rules, narrowed to the drivers of which needs is true.
func needing(needs func(*space) bool, rules []rule) []rule {
	for i := range rules {
		rules[i].needs = needs
	}
	return rules
}

// runGroup runs those rules of a group that are about the driver, each on a fresh one, which is closed before a bubble ends.
func (h Harness) runGroup(t *testing.T, g group, v view) {
	rules := h.applying(t, g.rules, v)
	if len(rules) == 0 {
		return
	}
	t.Run(g.name, func(t *testing.T) {
		for _, r := range rules {
			t.Run(r.name, func(t *testing.T) {
				if h.InProcess && r.timed {
					synctest.Test(t, func(t *testing.T) { h.check(t, r, v, true) })
				} else {
					h.check(t, r, v, false)
				}
			})
		}
	})
}

func (h Harness) check(t *testing.T, r rule, v view, virtual bool) {
	s := h.open(t, t, v, virtual)
	defer s.close()
	r.test(s)
}

// applying returns those of rules that are about the driver.
func (h Harness) applying(t *testing.T, rules []rule, v view) []rule {
	s := h.open(t, t, v, false)
	defer s.close()
	var apply []rule
	for _, r := range rules {
		if (r.needs == nil || r.needs(s)) && !(r.raw && s.handle != nil) {
			apply = append(apply, r)
		}
	}
	return apply
}

// times returns how often to repeat what n repetitions over a network are enough for in everyday tests.
func (h Harness) times(n int) int {
	scale := h.scale()
	if h.InProcess {
		scale *= 5 // calls are so much shorter, and so are the moments in which others can come between
	}
	return max(2, int(float64(n)*scale))
}

// scale returns how much more than in everyday tests rules repeat.
func (h Harness) scale() float64 {
	scale := 1.0
	if h.Scale > 0 {
		scale = h.Scale
	}
	if f, err := strconv.ParseFloat(os.Getenv("STORETEST_SCALE"), 64); err == nil {
		scale *= f
	}
	if testing.Short() {
		scale /= 10
	}
	return scale
}

// longer returns d, or more where rules repeat more than in everyday tests.
func (h Harness) longer(d time.Duration) time.Duration {
	return time.Duration(float64(d) * max(1, h.scale()))
}
