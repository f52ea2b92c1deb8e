package faulttest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/value"
)

// The rules, by the names of their subtests.
const (
	appliedOnce   = "IncrementsAreAppliedOnce"
	deletesTrue   = "DeletesTellTheTruth"
	swapsTrue     = "SwapsTellTheTruth" // writes if absent too
	acknowledged  = "WhatIsAcknowledgedIsThere"
	failed        = "WhatFailedIsNotApplied" // nor later
	readsTrue     = "ReadsTellTheTruth"
	errorsTell    = "ErrorsSayThatNobodyWasThere" // rather than that a value is corrupt
	inTime        = "CallsReturnInTime"
	recovers      = "RecoversSoon"
	strikes       = "FaultsStrike"
	atMostReports = 5 // of one rule
)

var rules = []string{appliedOnce, deletesTrue, swapsTrue, acknowledged, failed, readsTrue, errorsTell, inTime, recovers, strikes}

// restart is the index in demands of the killed server.
const restart = Split + 1

// A demand is what part of the calls that are planned a mode must hit at least, so that the test cannot pass by testing nothing, or of
// those that were made at most.
type demand struct{ unknown, failed, mostFailed float64 }

var demands = map[Mode]demand{
	DropReply:    {unknown: 0.01, failed: 0.02, mostFailed: 1},
	SwallowReply: {unknown: 0.01, failed: 0.02, mostFailed: 1},
	Blackhole:    {unknown: 0.01, failed: 0.05, mostFailed: 1},
	Reset:        {unknown: 0.01, failed: 0.02, mostFailed: 1},
	Trickle:      {unknown: 0.01, failed: 0.02, mostFailed: 1},
	Split:        {mostFailed: 0.2}, // by deadlines on a very busy machine
	restart:      {failed: 0.05, mostFailed: 1},
}

// A report collects what was found, by rule.
type report map[string][]string

func (r report) add(rule, format string, args ...any) {
	r[rule] = append(r[rule], fmt.Sprintf(format, args...))
}

// show runs a subtest for each rule.
func (r report) show(t *testing.T) {
	t.Helper()
	for _, rule := range rules {
		t.Run(rule, func(t *testing.T) {
			for i, text := range r[rule] {
				if i == atMostReports {
					t.Errorf("and %d more", len(r[rule])-i)
					break
				}
				t.Error(text)
			}
		})
	}
}

// check holds what the calls of a run answered against what is stored, and against the demands.
func (r *run) check(t *testing.T, d demand) report {
	t.Helper()
	found := report{}
	r.load.judgeAnswers(found)
	r.judgeTimes(t, found)
	r.judgeDemand(t, found, d)
	if r.forgets {
		return found
	}
	stored := r.settle(t)
	for _, c := range r.load.cells {
		v, there := stored[c.key]
		c.judge(found, v, there)
	}
	return found
}

// all returns all calls.
func (l *load) all() []*call {
	var calls []*call
	for _, c := range l.cells {
		calls = append(calls, c.calls...)
	}
	return calls
}

// judgeAnswers looks at each answer by itself.
func (l *load) judgeAnswers(found report) {
	for _, c := range l.all() {
		switch kind := store.Kind(c.err); {
		case kind == "unknown_outcome" && c.cell.kind == get:
			found.add(readsTrue, "the outcome of a read is never unknown: %v", c)
		case kind == "not_found" && c.cell.kind == get:
			// Judged with what is stored: a server may have forgotten it.
		case !slices.Contains([]string{"", "timeout", "unavailable", "unknown_outcome"}, kind):
			found.add(errorsTell, "want timeout, unavailable or unknown_outcome: %v", c)
		}
	}
}

// judgeTimes looks at how long calls and recoveries took.
func (r *run) judgeTimes(t *testing.T, found report) {
	var took []time.Duration
	for _, c := range r.load.all() {
		took = append(took, c.took)
	}
	slices.Sort(took)
	given := r.load.deadline
	most := boundtest.Scale(given + mostOverdue)
	p99, longest := took[(len(took)*99+99)/100-1], took[len(took)-1]
	if p99 > most {
		found.add(inTime, "at p99 calls with a deadline of %v took %v, want at most %v", given, p99, most)
	}
	if half := took[len(took)/2]; given == unhurried && half > boundtest.Scale(deadline) {
		found.add(inTime, "where nothing is lost half of the calls took %v and more, want at most %v", half, boundtest.Scale(deadline))
	}
	if longest > 10*most {
		found.add(inTime, "a call with a deadline of %v took %v", given, longest)
	}
	slowest := slices.Max(r.recoveries)
	if slowest > slowestRecovery {
		found.add(recovers, "no call succeeded in the %v after the end of a fault", slowest)
	}
	t.Logf("p99 %v, longest %v, recovery within %v", p99, longest, slowest)
}

// A count says how many calls there were, and how they ended.
type count struct{ calls, failed, unknown float64 }

func (l *load) count() count {
	var n count
	for _, c := range l.all() {
		n.calls++
		if c.err != nil {
			n.failed++
		}
		if c.unknown() {
			n.unknown++
		}
	}
	return n
}

// least reports whether as many calls were hit as is demanded of those that were planned.
func (n count) least(d demand, planned float64) bool {
	return n.unknown >= d.unknown*planned && n.failed >= d.failed*planned
}

// judgeDemand looks at how many calls the mode has hit.
func (r *run) judgeDemand(t *testing.T, found report, d demand) {
	n := r.load.count()
	if !n.least(d, r.planned) || n.failed > d.mostFailed*n.calls {
		found.add(strikes, "of %v calls %v failed, %v of them with an unknown outcome: want at least %v and %v, and at most a share of %v",
			n.calls, n.failed, n.unknown, d.failed*r.planned, d.unknown*r.planned, d.mostFailed)
	}
	t.Logf("%v calls, %v failed, %v of them with an unknown outcome", n.calls, n.failed, n.unknown)
}

// A tally counts what the calls on a cell answered.
type tally struct{ done, refused, unknown, failed int }

func (c *cell) tally() tally {
	var n tally
	for _, call := range c.calls {
		switch {
		case call.unknown():
			n.unknown++
		case call.err != nil:
			n.failed++
		case call.ok || c.kind == incr || c.kind == set || c.kind == get:
			n.done++
		default:
			n.refused++
		}
	}
	return n
}

// judge holds what the calls on a cell answered against what is stored in it.
func (c *cell) judge(found report, stored string, there bool) {
	report := func(rule, format string, args ...any) {
		found.add(rule, "%s; there is %s", fmt.Sprintf(format, args...), c.describe(stored, there))
	}
	switch n := c.tally(); c.kind {
	case incr:
		c.judgeIncr(report, n, stored, there)
	case remove:
		judgeRemove(report, n, there)
	case swap, create:
		c.judgeSwap(report, n, stored, there)
	case set:
		if n.done > 0 && !there {
			report(acknowledged, "a value that was set is not there")
		}
		if n.done+n.unknown == 0 && there {
			report(failed, "a value is there that was not set")
		}
	case get:
		misread := func(call *call) bool {
			return call.err == nil && call.read != before || store.Kind(call.err) == "not_found"
		}
		if stored != before || slices.ContainsFunc(c.calls, misread) {
			report(readsTrue, "what nobody changed was read otherwise")
		}
	}
}

// A reporter adds to a report what is wrong with a cell.
type reporter func(rule, format string, args ...any)

func (c *cell) judgeIncr(report reporter, n tally, stored string, there bool) {
	number, ok := 0.0, true
	if there {
		number, ok = value.ParseNumber([]byte(stored))
	}
	switch count := int(number); {
	case !ok:
		report(appliedOnce, "the counter is no number")
	case count < n.done:
		report(acknowledged, "%d increments were acknowledged, the counter is %d", n.done, count)
	case count > len(c.calls):
		report(appliedOnce, "the counter is %d after %d calls", count, len(c.calls))
	case count > n.done+n.unknown && n.failed > 0:
		report(failed, "the counter is %d after %d calls that did not fail", count, n.done+n.unknown)
	case count > n.done+n.unknown:
		report(appliedOnce, "the counter is %d after %d calls", count, n.done+n.unknown)
	}
	sums := map[float64]bool{}
	for _, call := range c.calls {
		if call.err != nil {
			continue
		}
		if sums[call.sum] || call.sum < 1 || call.sum > float64(len(c.calls)) {
			report(appliedOnce, "an increment answered %v", call.sum)
		}
		sums[call.sum] = true
	}
}

func judgeRemove(report reporter, n tally, there bool) {
	switch {
	case n.done > 1:
		report(deletesTrue, "%d calls deleted the same entry", n.done)
	case there && n.done > 0:
		report(acknowledged, "a deleted entry is there")
	case there && n.refused > 0:
		report(deletesTrue, "a delete was reported false of an entry that is there")
	case !there && n.done+n.unknown == 0 && n.refused > 0:
		report(deletesTrue, "a delete that happened was reported false")
	case !there && n.done+n.unknown == 0:
		report(failed, "an entry is gone though every delete failed")
	}
}

func (c *cell) judgeSwap(report reporter, n tally, stored string, there bool) {
	unchanged := there == (c.kind == swap) && (!there || stored == before)
	if n.done > 1 {
		report(swapsTrue, "%d calls swapped the same value", n.done)
		return
	}
	if unchanged {
		switch {
		case n.done > 0:
			report(acknowledged, "a swap that was reported true is not there")
		case n.refused > 0:
			report(swapsTrue, "a swap was reported false of a value that is there")
		}
		return
	}
	i := slices.IndexFunc(c.calls, func(call *call) bool { return there && call.value == stored })
	switch {
	case i < 0:
		report(swapsTrue, "nobody swapped for what is there")
	case n.done > 0 && !c.calls[i].ok:
		report(acknowledged, "a swap that was reported true is not there, but another")
	case c.calls[i].err == nil && !c.calls[i].ok:
		report(swapsTrue, "a swap that happened was reported false")
	case c.calls[i].err != nil && !c.calls[i].unknown():
		report(failed, "a swap that failed is there")
	}
}

// describe says what is stored in a cell and what its calls answered.
func (c *cell) describe(stored string, there bool) string {
	text := "nothing"
	if there {
		text = strconv.Quote(stored)
	}
	var calls []string
	for _, call := range c.calls {
		calls = append(calls, "\n\t"+call.String())
	}
	return fmt.Sprintf("%s under %q after%s", text, c.key, strings.Join(calls, ""))
}
