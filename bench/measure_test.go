package bench

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// A bench is one thing that is measured: run does it n times.
type bench struct {
	name string
	run  func(n int)
	n    int       // calls in one round, found by calibrate
	ns   []float64 // per call, one for each round
	mem  []float64 // allocations per call, one for each round
}

// A ratio compares one bench with the sum of others.
type ratio struct {
	of     string
	to     []string
	target float64
	atMost bool // false: the ratio is to be at least target, as for throughputs
}

// A table is a set of benches that are measured in turn.
type table struct {
	title   string
	benches []*bench
	ratios  []ratio
}

func (t *table) add(name string, run func(n int)) {
	t.benches = append(t.benches, &bench{name: name, run: run})
}

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
	b.ns = append(b.ns, float64(d.Nanoseconds())/float64(b.n))
	b.mem = append(b.mem, float64(after.Mallocs-before.Mallocs)/float64(b.n))
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
	got, sign, met := t.of(r), "≤", "met"
	if !r.atMost {
		sign = "≥"
	}
	if r.atMost && got > r.target || !r.atMost && got < r.target {
		met = "MISSED"
	}
	to := r.to[0]
	if len(r.to) > 1 {
		to = fmt.Sprintf("(%s + %s)", r.to[0], r.to[1])
	}
	return fmt.Sprintf("  %.2f× (to reach: %s %.2f×, %s)  %s / %s", got, sign, r.target, met, r.of, to)
}
