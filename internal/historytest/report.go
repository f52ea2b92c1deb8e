package historytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store"
)

// A Report counts what happened in a run, in all of its rounds, those included that were played again because the machine was busy.
type Report struct {
	// Calls is the number of calls of the workers.
	Calls int
	// Outcomes counts them by how they ended: "ok", or the kind of the error.
	Outcomes map[string]int
	// Checked is how many calls the histories held that were checked, reads in the end included; 0 where the target is Lossy.
	Checked int
	// LongestCall is how long the longest call took.
	LongestCall time.Duration
	// LongestOutage is the longest time for which one client could not write one key.
	LongestOutage time.Duration
	// Recoveries are how long it took until no client met failures any more: at the beginning, and after each fault and heal.
	Recoveries []time.Duration
	// Acknowledged is how many acknowledged writes were looked for in the end, each the only one of its key; AcknowledgedLost is
	// how many of them were not there.
	Acknowledged, AcknowledgedLost int
}

// String returns the report in one line.
func (r Report) String() string {
	outcomes := make([]string, 0, len(r.Outcomes))
	for _, kind := range slices.Sorted(maps.Keys(r.Outcomes)) {
		outcomes = append(outcomes, fmt.Sprintf("%d %s", r.Outcomes[kind], kind))
	}
	recoveries := make([]string, 0, len(r.Recoveries))
	for _, d := range r.Recoveries {
		recoveries = append(recoveries, d.Round(time.Millisecond).String())
	}
	return fmt.Sprintf("%d calls: %s; %d in checked histories; longest call %v, longest outage %v; recovered within %s; %d of %d acknowledged writes lost",
		r.Calls, strings.Join(outcomes, ", "), r.Checked, r.LongestCall.Round(time.Millisecond), r.LongestOutage.Round(time.Millisecond),
		strings.Join(recoveries, ", "), r.AcknowledgedLost, r.Acknowledged)
}

// addTo adds what happened in a round.
func (r *round) addTo(report *Report) {
	if report.Outcomes == nil {
		report.Outcomes = map[string]int{}
	}
	for _, w := range r.workers {
		for _, c := range w.calls {
			report.add(c)
		}
	}
	for _, p := range r.probes {
		report.LongestOutage = max(report.LongestOutage, p.longestOutage(r.ended))
	}
	report.Recoveries = append(report.Recoveries, r.recoveries...)
	report.Checked += r.checked
	for _, c := range r.load.cells {
		if c.role != once || len(c.found) == 0 || !c.isAcknowledged() {
			continue
		}
		report.Acknowledged++
		if c.isLost() {
			report.AcknowledgedLost++
		}
	}
}

// add counts a call.
func (r *Report) add(c *call) {
	r.Calls++
	kind := store.Kind(c.err)
	if kind == "" {
		kind = "ok"
	}
	r.Outcomes[kind]++
	r.LongestCall = max(r.LongestCall, c.returned-c.called)
}
