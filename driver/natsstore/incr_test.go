package natsstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
	"github.com/luastore/store/value"
)

func TestIncr_OfManyCallers_TakesFewMessages(t *testing.T) {
	server := natstest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	const callers, each = 64, 50
	sums := make([]float64, callers*each)
	var wait sync.WaitGroup
	for c := range callers {
		wait.Go(func() {
			for i := range each {
				var err error
				if sums[c*each+i], err = d.Incr(ctx, "t:n", 1, 0, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	slices.Sort(sums)
	for i, sum := range sums {
		if sum != float64(i+1) {
			t.Fatalf("sum %d is %v", i, sum)
		}
	}
	info := must(stream(t, server).Info(ctx))(t)
	if info.State.LastSeq > callers*each/4 {
		t.Errorf("%d increments took %d messages", len(sums), info.State.LastSeq)
	}
	eventually(t, "nothing is left of the work", func() bool {
		d.counters.mu.Lock()
		defer d.counters.mu.Unlock()
		d.lanes.mu.Lock()
		defer d.lanes.mu.Unlock()
		return len(d.counters.byKey) == 0 && len(d.lanes.bySubject) == 0
	})
}

// counting is a puppet whose counter a test can hold back.
func counting(t *testing.T, hold func(n int64) string) (*Driver, *atomic.Int64) {
	var published atomic.Int64
	p := startPuppet(t, func(came post) string {
		if strings.HasPrefix(came.subject, "$KV.") {
			return hold(published.Add(1))
		}
		return ""
	})
	return openURL(t, "nats://"+p.addr+"/b"), &published
}

func TestIncr_LeftWhileItWaits_IsNotApplied(t *testing.T) {
	release := make(chan struct{})
	d, published := counting(t, func(n int64) string {
		if n == 1 {
			<-release
		}
		return ""
	})
	first := make(chan float64)
	go func() {
		sum, err := d.Incr(testContext(t), "t:n", 1, 0, 0)
		if err != nil {
			t.Error(err)
		}
		first <- sum
	}()
	eventually(t, "the first is on its way", func() bool { return published.Load() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := d.Incr(ctx, "t:n", 10, 0, 0); store.Kind(err) != "timeout" {
		t.Errorf("an increment that waits when its time ends: %v, want a timeout", err)
	}
	close(release)
	if sum := <-first; sum != 1 {
		t.Errorf("the first sum is %v", sum)
	}
	if sum, err := d.Incr(testContext(t), "t:n", 100, 0, 0); sum != 101 || err != nil {
		t.Errorf("the sum is %v, %v: the one that left was added", sum, err)
	}
}

func TestIncr_LeftWhileItIsSent_HasAnUnknownOutcomeAndHoldsUpNobody(t *testing.T) {
	d, _ := counting(t, func(n int64) string {
		if n == 1 {
			return silence
		}
		return ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // it is to be sent by then, on a busy machine too
	defer cancel()
	if _, err := d.Incr(ctx, "t:n", 1, 0, 0); store.Kind(err) != "unknown_outcome" {
		t.Errorf("an increment without an answer: %v, want an unknown outcome", err)
	}
	start := time.Now()
	if _, err := d.Incr(testContext(t), "t:n", 1, 0, 0); err != nil || time.Since(start) > 10*time.Second {
		t.Errorf("the next one after %v: %v", time.Since(start), err)
	}
}

func TestIncr_TogetherWithSomethingThatCannotBeAdded_EachHasItsOwnAnswer(t *testing.T) {
	d, ctx := openURL(t, natstest.Shared(t).URL()), testContext(t)
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			delta := 1.0
			if i%2 == 1 {
				delta = value.MaxInteger + 2
			}
			_, err := d.Incr(ctx, "t:n", delta, 0, time.Hour)
			if want := []string{"", "invalid"}[i%2]; store.Kind(err) != want {
				t.Errorf("adding %v: %v, want %q", delta, err, want)
			}
		})
	}
	wait.Wait()
	if sum, err := d.Incr(ctx, "t:n", 0, 0, 0); sum != 20 || err != nil {
		t.Errorf("the sum is %v, %v", sum, err)
	}
	if ttl, err := d.TTL(ctx, "t:n"); ttl < time.Minute || err != nil {
		t.Errorf("TTL = %v, %v", ttl, err)
	}
}

func TestIncr_OfSeveralProcesses_LosesNothing(t *testing.T) {
	for name, url := range map[string]string{"one": natstest.Shared(t).URL(), "three": natstest.SharedCluster(t).URL()} {
		t.Run(name, func(t *testing.T) {
			var drivers []*Driver
			for range 4 {
				drivers = append(drivers, openURL(t, url))
			}
			ctx := testContext(t)
			var wait sync.WaitGroup
			for i := range 16 {
				wait.Go(func() {
					for n := range 20 {
						if _, err := drivers[i%4].Incr(ctx, "t:n", 1, 0, 0); err != nil {
							t.Error(err)
						}
						if _, err := drivers[i%4].Touch(ctx, "t:n", time.Hour+time.Duration(n)*time.Minute); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wait.Wait()
			if sum, err := drivers[0].Incr(ctx, "t:n", 0, 0, 0); sum != 320 || err != nil {
				t.Errorf("the sum is %v, %v", sum, err)
			}
		})
	}
}

func TestSwap_OfSeveralProcessesBesideDelete_HasOneWinner(t *testing.T) {
	for name, url := range map[string]string{"one": natstest.Shared(t).URL(), "three": natstest.SharedCluster(t).URL()} {
		t.Run(name, func(t *testing.T) {
			a, b, c, ctx := openURL(t, url), openURL(t, url), openURL(t, url), testContext(t)
			for round := range 60 {
				key := fmt.Sprint("t:", round%3)
				if err := a.Set(ctx, key, []byte("old"), 0); err != nil {
					t.Fatal(err)
				}
				var won atomic.Int64
				var wait sync.WaitGroup
				for _, change := range []func() (bool, error){
					func() (bool, error) { return a.CompareAndSwap(ctx, key, []byte("old"), []byte("a"), 0) },
					func() (bool, error) { return b.CompareAndSwap(ctx, key, []byte("old"), nil, 0) },
					func() (bool, error) {
						swapped, err := c.CompareAndSwap(ctx, key, []byte("old"), []byte("c"), 0)
						return swapped, err
					},
				} {
					wait.Go(func() {
						changed, err := change()
						if err != nil {
							t.Error(err)
						}
						if changed {
							won.Add(1)
						}
					})
				}
				wait.Wait()
				if won.Load() != 1 {
					t.Fatalf("%d of three won", won.Load())
				}
			}
		})
	}
}
