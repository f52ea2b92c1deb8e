package memstore

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkExpiryHolds reports how long the sweeper holds a lock while a million entries that expired at once are reclaimed. The benchmark sweeps
// in its place, so that the product measures nothing; a hold has the wait for the lock in it, and what the machine does meanwhile,
// which shows in a control that holds no lock.
func BenchmarkExpiryHolds(b *testing.B) {
	keys := benchKeys(million)
	for b.Loop() {
		d := filled(b, nil, keys, time.Hour)
		d.sweeper.close()
		moment := time.Now().Add(10 * time.Second) // later than all are touched: a write reclaims what has expired
		for _, k := range keys {
			_, _ = d.Touch(ctx, k, time.Until(moment))
		}
		<-time.After(time.Until(moment))
		var holds, control []time.Duration
		for left := true; left; {
			left = false
			for i := range d.shards {
				holds = append(holds, timed(func() {
					_, _, more := d.shards[i].sweep()
					left = left || more
				}))
				control = append(control, timed(func() { spin(holds[len(holds)/2]) }))
			}
		}
		if len(holds) < million/sweepChunk {
			b.Fatalf("%d holds for a million entries: some were reclaimed before", len(holds))
		}
		slices.Sort(holds)
		slices.Sort(control)
		last := len(holds) - 1
		b.ReportMetric(float64(holds[last*99/100]), "p99-hold-ns")
		b.ReportMetric(float64(holds[last*9999/10000]), "p99.99-hold-ns")
		b.ReportMetric(float64(holds[last]), "longest-hold-ns")
		b.ReportMetric(float64(control[last]), "longest-without-lock-ns")
	}
}
