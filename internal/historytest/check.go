package historytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

// The rules, by the names of their subtests.
const (
	legal         = "HistoriesAreLegal"           // not where the store is lossy
	acknowledged  = "WhatIsAcknowledgedStays"     // not where the store is lossy
	ghosts        = "WhatFailedNeverAppears"      // nor after a server has come back
	appliedOnce   = "IncrementsAreAppliedOnce"    // even where some are lost
	deletesTrue   = "DeletesTellTheTruth"         // even where some are lost
	swapsTrue     = "SwapsTellTheTruth"           // even where some are lost; writes if absent too
	readsTrue     = "ReadsFindWhatWasWritten"     // even if it is lost later
	errorsTell    = "ErrorsSayThatNobodyWasThere" // or came too late, rather than that a value is corrupt
	inTime        = "CallsReturnInTime"
	recovers      = "EachClientRecovers"
	strikes       = "FaultsStrike" // so that the test does not pass by testing nothing
	atMostReports = 5              // of one rule
)

// rules returns the rules that the target must keep.
func (target Target) rules() []string {
	all := []string{ghosts, appliedOnce, deletesTrue, swapsTrue, readsTrue, errorsTell, inTime, recovers, strikes}
	if target.Lossy {
		return all
	}
	return append([]string{legal, acknowledged}, all...)
}

// findings are what is wrong, by rule.
type findings map[string][]string

func (f findings) add(rule, format string, args ...any) {
	f[rule] = append(f[rule], fmt.Sprintf(format, args...))
}

// merge adds what others are, but for one rule.
func (f findings) merge(others findings, except string) {
	for rule, texts := range others {
		if rule != except {
			f[rule] = append(f[rule], texts...)
		}
	}
}

// show runs a subtest for each rule.
func (f findings) show(t *testing.T, rules []string) {
	t.Helper()
	for _, rule := range rules {
		t.Run(rule, func(t *testing.T) {
			for i, text := range f[rule] {
				if i == atMostReports {
					t.Errorf("and %d more", len(f[rule])-i)
					break
				}
				t.Error(text)
			}
		})
	}
}

// check looks at each rule.
func (r *round) check() {
	writers := r.load.writers()
	for _, c := range r.load.cells {
		for _, call := range c.calls {
			judgeError(r.found, call)
			call.judgeSeen(r.found, writers)
		}
		r.judgeCell(c)
	}
	r.judgeTimes()
	r.judgeStrikes()
	r.judgeRecoveries()
}

// judgeError looks at the kind of an error.
func judgeError(found findings, c *call) {
	switch kind := store.Kind(c.err); {
	case kind == "unknown_outcome" && c.action.reads:
		found.add(errorsTell, "the outcome of a read is never unknown: %v", c)
	case !slices.Contains([]string{"", "timeout", "unavailable", "unknown_outcome"}, kind):
		found.add(errorsTell, "want timeout, unavailable or unknown_outcome: %v", c)
	}
}

// judgeTimes looks at how long calls took beyond their deadline.
func (r *round) judgeTimes() {
	var o overdue
	for _, w := range r.workers {
		for _, c := range w.calls {
			o.note(c.called+r.target.Deadline, c.returned, r.lag)
		}
	}
	o.judge(r.found)
}

// judgeStrikes looks whether each fault was noticed.
func (r *round) judgeStrikes() {
	for _, s := range r.strikes {
		noticed := func(c *call) bool {
			return c.returned >= s.from && c.called <= s.to && (c.err != nil || c.returned-c.called >= r.target.Deadline/4)
		}
		if !slices.ContainsFunc(r.load.cells, func(c *cell) bool { return slices.ContainsFunc(c.calls, noticed) }) {
			r.found.add(strikes, "%s: no call failed or took long", s.name)
		}
	}
}

// judgeRecoveries looks at when the load of each client began to succeed.
func (r *round) judgeRecoveries() {
	for _, w := range r.waits {
		for client := range r.drivers {
			first := min(r.ended, r.load.firstSuccess(client, w.from))
			if took := first - w.from; took > r.target.Recovery {
				r.found.add(recovers, "%s: no call of the load of client %d succeeded for %v", w.name, client, took)
			}
		}
	}
}

// firstSuccess returns when the first of the calls of a client that began after a moment returned without an error.
func (l *load) firstSuccess(client int, from time.Duration) time.Duration {
	first := time.Duration(1<<63 - 1)
	for _, cell := range l.cells {
		for _, c := range cell.calls {
			if c.client == client && c.called >= from && c.err == nil {
				first = min(first, c.returned)
			}
		}
	}
	return first
}

// writers returns the calls that wrote the values there are, by value.
func (l *load) writers() map[float64]*call {
	writers := map[float64]*call{}
	for _, c := range l.cells {
		for _, call := range c.calls {
			if f, ok := number(call.value); ok {
				writers[f/valueSpacing] = call
			}
		}
	}
	return writers
}

// judgeSeen looks at who wrote what a call read.
func (c *call) judgeSeen(found findings, writers map[float64]*call) {
	if c.err != nil || c.got.seen == "" {
		return
	}
	f, ok := number(c.got.seen)
	n := float64(int64(f / valueSpacing))
	w := writers[n]
	switch {
	case !ok:
		found.add(readsTrue, "what was read is no number: %v", c)
	case n == 0 || c.got.seen == c.cell.seed:
	case w == nil || w.cell != c.cell:
		found.add(readsTrue, "nobody wrote, under %s, what was read: %v", c.cell.key, c)
	case w.failed():
		found.add(ghosts, "what a failed call wrote was read under %s:\n\t%v\n\t%v", c.cell.key, w, c)
	case w.err == nil && !w.got.ok:
		found.add(readsTrue, "what a call did not write, as it said, was read under %s:\n\t%v\n\t%v", c.cell.key, w, c)
	}
}

// describe says what was found in a cell, and what its calls answered.
func (c *cell) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "under %s, where there was %s:", c.key, show(c.seed))
	for i, call := range c.calls {
		if i == 12 {
			fmt.Fprintf(&b, "\n\tand %d more", len(c.calls)-i)
			break
		}
		fmt.Fprintf(&b, "\n\t%v", call)
	}
	return b.String()
}
