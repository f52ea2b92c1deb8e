package bench

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A bench is one thing that is measured: run does it n times.
type bench struct {
	name string
	run  func(n int)
	per  int       // how many keys one call is about
	n    int       // calls in one round, found by calibrate: at least one, however long it takes
	ns   []float64 // per key, one for each round
	mem  []float64 // allocations per key, one for each round
}

// A ratio compares one bench with the sum of others.
type ratio struct {
	of     string
	to     []string
	target float64 // 0: none, it is only shown
	atMost bool    // false: the ratio is to be at least target, as for throughputs
}

// A table is a set of benches that are measured in turn.
type table struct {
	title   string
	benches []*bench
	ratios  []ratio
}

func (t *table) add(name string, run func(n int)) { t.addEach(name, 1, run) }

// addEach adds a bench each call of which is about many keys. What is shown of it is what one key costs.
func (t *table) addEach(name string, keys int, run func(n int)) {
	t.benches = append(t.benches, &bench{name: name, per: keys, run: run})
}

// show states that the time of a bench is to be shown beside that of others together.
func (t *table) show(of string, to ...string) { t.atMost(0, of, to...) }

// atMost states that the time of a bench is to be at most target times that of others together.
func (t *table) atMost(target float64, of string, to ...string) {
	t.ratios = append(t.ratios, ratio{of: of, to: to, target: target, atMost: true})
}

// atLeast states that the throughput of a bench is to be at least target times that of another.
func (t *table) atLeast(target float64, of, to string) {
	t.ratios = append(t.ratios, ratio{of: of, to: []string{to}, target: target})
}

// calibrate finds how many calls fill one round.
func (b *bench) calibrate(round time.Duration) {
	b.run(1) // the first call may have to connect, or to grow something, and would make all rounds too short
	for b.n = 1; ; b.n *= 4 {
		start := time.Now()
		b.run(b.n)
		if d := time.Since(start); d > round/4 || b.n > 1<<26 {
			b.n = max(1, int(float64(b.n)*float64(round)/float64(max(d, 1))))
			return
		}
	}
}

// measure runs one round.
func (b *bench) measure() {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	b.run(b.n)
	d := time.Since(start)
	runtime.ReadMemStats(&after)
	keys := float64(b.n) * float64(b.per)
	b.ns = append(b.ns, float64(d.Nanoseconds())/keys)
	b.mem = append(b.mem, float64(after.Mallocs-before.Mallocs)/keys)
}

// measure runs all benches in turn, rounds times.
func (t *table) measure(rounds int, round time.Duration) {
	for _, b := range t.benches {
		b.calibrate(round)
	}
	for range rounds {
		for _, b := range t.benches {
			b.measure()
		}
	}
}

// of returns the median over the rounds of a ratio.
func (t *table) of(r ratio) float64 {
	a := t.find(r.of)
	each := make([]float64, len(a.ns))
	for i := range each {
		sum := 0.0
		for _, name := range r.to {
			sum += t.find(name).ns[i]
		}
		if each[i] = a.ns[i] / sum; !r.atMost {
			each[i] = sum / a.ns[i]
		}
	}
	return median(each)
}

func (t *table) find(name string) *bench {
	for _, b := range t.benches {
		if b.name == name {
			return b
		}
	}
	panic("no bench " + name)
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// print writes the table and its ratios.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "ns/op\tallocs/op\t \t")
	for _, b := range t.benches {
		fmt.Fprintf(tw, "%.1f\t%.1f\t %s\t\n", median(b.ns), median(b.mem), b.name)
	}
	tw.Flush()
	for _, r := range t.ratios {
		fmt.Fprintln(w, t.line(r))
	}
}

// line tells one ratio beside its target.
func (t *table) line(r ratio) string {
	to := r.to[0]
	if len(r.to) > 1 {
		to = "(" + strings.Join(r.to, " + ") + ")"
	}
	got, sign, met := t.of(r), "≤", "met"
	if r.target == 0 {
		return fmt.Sprintf("  %s×  %s / %s", figure(got), r.of, to)
	}
	if !r.atMost {
		sign = "≥"
	}
	if r.atMost && got > r.target || !r.atMost && got < r.target {
		met = "MISSED"
	}
	return fmt.Sprintf("  %s× (to reach: %s %s×, %s)  %s / %s", figure(got), sign, figure(r.target), met, r.of, to)
}

// figure writes a ratio so that a small one keeps a figure more.
func figure(ratio float64) string {
	if ratio < 0.1 {
		return fmt.Sprintf("%.3f", ratio)
	}
	return fmt.Sprintf("%.2f", ratio)
}
