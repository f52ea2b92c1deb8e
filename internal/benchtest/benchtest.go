// Package benchtest compares drivers with the bare clients below them in the same run of a benchmark.
package benchtest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// A Contender is one of several ways to do the same work, such as that of a driver and that of its client alone.
type Contender struct {
	name string
	op   func(ctx context.Context) error
}

// By returns a contender. Its name is that of the metric of its rate. op does the work once, with a context that has a deadline, as a
// handle sets it; an error fails the benchmark.
func By(name string, op func(ctx context.Context) error) Contender { return Contender{name, op} }

// Compare runs the contenders, two at least, in turns of many short rounds, each with so many callers at a time. It reports the operations
// per second of each and, as ratio, the median of the ratios of the first to the second: a noisy machine slows both of one round alike.
func Compare(b *testing.B, callers int, contenders ...Contender) {
	const rounds, each = 15, 100 * time.Millisecond
	rates := make([][]float64, len(contenders))
	for b.Loop() {
		for range rounds {
			for i, c := range contenders {
				rates[i] = append(rates[i], rate(b, callers, each, c.op))
			}
		}
	}
	for i, c := range contenders {
		b.ReportMetric(median(rates[i]), c.name+"/s")
	}
	ratios := make([]float64, len(rates[0]))
	for i := range ratios {
		ratios[i] = rates[0][i] / rates[1][i]
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// rate returns how many operations a second the callers make together.
func rate(b *testing.B, callers int, d time.Duration, op func(ctx context.Context) error) float64 {
	counts := make([]int, callers)
	start := time.Now()
	var wait sync.WaitGroup
	for i := range callers {
		wait.Go(func() {
			for time.Since(start) < d {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				err := op(ctx)
				cancel()
				if err != nil {
					b.Error(err)
					return
				}
				counts[i]++
			}
		})
	}
	wait.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(start).Seconds()
}
