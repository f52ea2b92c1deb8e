package memstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const million = 1_000_000

var ctx = context.Background()

// A plain is what a program without a store would use: the yardstick.
type plain struct {
	mu sync.RWMutex
	m  map[string][]byte
}

func (p *plain) get(key string) ([]byte, bool) {
	p.mu.RLock()
	v, ok := p.m[key]
	p.mu.RUnlock()
	return v, ok
}

func (p *plain) set(key string, value []byte) {
	p.mu.Lock()
	p.m[key] = value
	p.mu.Unlock()
}

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("session:%08d", i*7919%n)
	}
	return keys
}

func filled(tb testing.TB, o *Options, keys []string, ttl time.Duration) *Driver {
	d := opened(tb, o)
	for _, k := range keys {
		if err := d.Set(ctx, k, []byte("sixteen bytes ok"), ttl); err != nil {
			tb.Fatal(err)
		}
	}
	return d
}

// A worker does n operations, from a seed, so that two workers with one seed do the same.
type worker func(seed uint64, n int)

// bareWorker works on a bare map with a lock, setting in every setEvery-th operation; 0: never.
func bareWorker(keys []string, setEvery uint64) worker {
	p := &plain{m: map[string][]byte{}}
	for _, k := range keys {
		p.set(strings.Clone(k), []byte("sixteen bytes ok")) // as callers' keys are: comparing a string with itself reads nothing
	}
	return func(seed uint64, n int) {
		r := rand.NewPCG(seed, 1)
		value := []byte("sixteen bytes ok")
		for range n {
			x := r.Uint64()
			key := keys[x%uint64(len(keys))]
			if setEvery != 0 && (x>>40)%setEvery == 0 {
				p.set(strings.Clone(key), value) // a map keeps the caller's key: it must be one of its own, as callers' are
			} else {
				p.get(key)
			}
		}
	}
}

func driverWorker(tb testing.TB, keys []string, setEvery uint64, o *Options, ttl time.Duration) worker {
	d := filled(tb, o, keys, ttl)
	return func(seed uint64, n int) {
		r := rand.NewPCG(seed, 1)
		value := []byte("sixteen bytes ok")
		for range n {
			x := r.Uint64()
			key := keys[x%uint64(len(keys))]
			if setEvery != 0 && (x>>40)%setEvery == 0 {
				_ = d.Set(ctx, strings.Clone(key), value, ttl)
			} else {
				_, _ = d.Get(ctx, key)
			}
		}
	}
}

// together runs n operations in each of so many goroutines and returns the time for one.
func together(w worker, goroutines int, seed uint64, n int) time.Duration {
	var wg sync.WaitGroup
	start := time.Now()
	for g := range goroutines {
		wg.Go(func() { w(seed+uint64(g), n) })
	}
	wg.Wait()
	return time.Since(start)
}

// compare times both workers in turn, in rounds, and reports the medians of their times and of their ratios. No round repeats the
// keys of another, which would find them in the cache, and each worker is the first in every other round.
func compare(b *testing.B, ours, bare worker, goroutines int) {
	const chunk = 100_000
	var a, z, ratios []float64
	for round := uint64(0); round < 14 || b.Loop(); round++ {
		var times [2]float64
		for i := range uint64(2) {
			who := (i + round) % 2
			n := together([]worker{ours, bare}[who], goroutines, (4*round+2*i)*1009, chunk)
			times[who] = float64(n) / chunk
		}
		a, z, ratios = append(a, times[0]), append(z, times[1]), append(ratios, times[0]/times[1])
	}
	b.ReportMetric(median(a), "ns/driver-op")
	b.ReportMetric(median(z), "ns/bare-op")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// BenchmarkBeside compares with a bare map[string][]byte under one sync.RWMutex in the same run: ratio is driver / bare.
func BenchmarkBeside(b *testing.B) {
	for _, bench := range []struct {
		name     string
		setEvery uint64
		keys     int
	}{
		{"get", 0, million},
		{"set", 1, million},
		{"mixed95-5", 20, million},
		{"get-small", 0, 100},
		{"set-small", 1, 100},
	} {
		b.Run(bench.name, func(b *testing.B) {
			keys := benchKeys(bench.keys)
			ours := driverWorker(b, keys, bench.setEvery, nil, 0)
			bare := bareWorker(keys, bench.setEvery)
			for _, n := range []int{1, 2} {
				b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) { compare(b, ours, bare, n) })
			}
		})
	}
}

// BenchmarkKinds compares stores whose entries expire, or can be evicted, with the bare map.
func BenchmarkKinds(b *testing.B) {
	keys := benchKeys(million)
	bare := bareWorker(keys, 20)
	for _, kind := range []struct {
		name string
		o    *Options
		ttl  time.Duration
	}{
		{"ttl", nil, time.Hour},
		{"refuse", &Options{MaxEntries: 2 * million}, 0},
		{"evict", &Options{MaxEntries: 2 * million, OnFull: Evict}, 0},
	} {
		b.Run(kind.name, func(b *testing.B) { compare(b, driverWorker(b, keys, 20, kind.o, kind.ttl), bare, 1) })
	}
}

// BenchmarkOps shows one operation by itself on a small store.
func BenchmarkOps(b *testing.B) {
	keys := benchKeys(1000)
	d := filled(b, nil, keys, 0)
	expiring := filled(b, nil, keys, time.Hour)
	value := []byte("sixteen bytes ok")
	i := 0
	next := func() string { i++; return keys[i%len(keys)] }
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	run("get", func() { _, _ = d.Get(ctx, next()) })
	run("get-expiring", func() { _, _ = expiring.Get(ctx, next()) })
	run("miss", func() { _, _ = d.Get(ctx, "absent:key") })
	run("has", func() { _, _ = d.Has(ctx, next()) })
	run("set", func() { _ = d.Set(ctx, next(), value, 0) })
	run("set-expiring", func() { _ = expiring.Set(ctx, next(), value, time.Hour) })
	run("incr", func() { _, _ = d.Incr(ctx, "n:n", 1, 0, 0) })
}

// BenchmarkNewKeys is the price of the ordered index: every operation adds a key.
func BenchmarkNewKeys(b *testing.B) {
	keys := benchKeys(million)
	value := []byte("sixteen bytes ok")
	fill := func(goroutines int, set func(string)) float64 {
		var wg sync.WaitGroup
		start := time.Now()
		for g := range goroutines {
			wg.Go(func() {
				for i := g; i < len(keys); i += goroutines {
					set(keys[i])
				}
			})
		}
		wg.Wait()
		return float64(time.Since(start)) / million
	}
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			var a, z, ratios []float64
			for round := 0; round < 3 || b.Loop(); round++ {
				runtime.GC()
				p := &plain{m: map[string][]byte{}}
				y := fill(n, func(k string) { p.set(k, value) })
				runtime.GC()
				d := opened(b, nil)
				x := fill(n, func(k string) { _ = d.Set(ctx, k, value, 0) })
				_ = d.Close()
				a, z, ratios = append(a, x), append(z, y), append(ratios, x/y)
			}
			b.ReportMetric(median(a), "ns/driver-set")
			b.ReportMetric(median(z), "ns/bare-set")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkPage lists 100 keys of a prefix among a million.
func BenchmarkPage(b *testing.B) {
	keys := make([]string, million)
	for i := range keys {
		keys[i] = fmt.Sprintf("ns%03d:%08d", i%1000, i)
	}
	for _, ttl := range []time.Duration{0, time.Hour} {
		d := filled(b, nil, keys, ttl)
		b.Run(fmt.Sprintf("ttl=%v", ttl), func(b *testing.B) {
			b.ReportAllocs()
			r := rand.NewPCG(1, 2)
			for b.Loop() {
				page, err := d.List(ctx, fmt.Sprintf("ns%03d:", r.Uint64()%1000), "", 100)
				if err != nil || len(page.Keys) != 100 {
					b.Fatal(len(page.Keys), err)
				}
			}
		})
	}
}

// BenchmarkMemory reports bytes of heap for an entry, beside those of a plain map, and the time of a full collection.
func BenchmarkMemory(b *testing.B) {
	const n = million
	key := func(i int) string { return fmt.Sprintf("session:%08d", i) }
	value := func() []byte { return make([]byte, 16) }
	for b.Loop() {
		base := heap()
		m := map[string][]byte{}
		for i := range n {
			m[key(i)] = value()
		}
		bare, bareGC := heap()-base, gcTime()
		runtime.KeepAlive(m)
		m = nil
		base = heap()
		d := opened(b, nil)
		for i := range n {
			_ = d.Set(ctx, key(i), value(), 0)
		}
		for i := range n { // overwriting must not grow it
			_ = d.Set(ctx, key(i), value(), 0)
		}
		ours, oursGC := heap()-base, gcTime()
		for i := range n {
			_, _ = d.Touch(ctx, key(i), time.Hour)
		}
		expiring := heap() - base
		b.ReportMetric(float64(bare)/n, "B/bare-entry")
		b.ReportMetric(float64(ours)/n, "B/entry")
		b.ReportMetric(float64(expiring)/n, "B/expiring-entry")
		b.ReportMetric(float64(ours)/float64(bare), "memory-ratio")
		b.ReportMetric(float64(oursGC)/float64(bareGC), "gc-ratio")
		_ = d.Close()
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func gcTime() time.Duration {
	start := time.Now()
	runtime.GC()
	return time.Since(start)
}

// BenchmarkMassExpiry reports how the p99 of get changes while a million entries, that expired all at once, are swept.
func BenchmarkMassExpiry(b *testing.B) {
	keys := benchKeys(million)
	d := filled(b, nil, keys[:million/10], 0)
	for b.Loop() {
		quiet := percentile99(d, keys, 300_000)
		for _, k := range keys[million/10:] {
			_ = d.Set(ctx, k, []byte("v"), 3*time.Second)
		}
		tick := time.NewTicker(time.Millisecond)
		for d.expired() == 0 {
			<-tick.C
		}
		start := time.Now()
		busy := percentile99(d, keys, 300_000)
		left := d.expired()
		for d.expired() > 0 {
			<-tick.C
		}
		tick.Stop()
		b.ReportMetric(time.Since(start).Seconds(), "s/sweep")
		b.ReportMetric(float64(left), "left-at-end")
		b.ReportMetric(float64(quiet), "quiet-p99-ns")
		b.ReportMetric(float64(busy), "busy-p99-ns")
	}
}

// expired counts the entries that have expired and take memory still.
func (d *Driver) expired() (n int) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.RLock()
		if s.tracks.earliest() <= s.clock.now() {
			n += s.tracks.len()
		}
		s.mu.RUnlock()
	}
	return n
}

func percentile99(d *Driver, keys []string, n int) time.Duration {
	times := make([]time.Duration, n)
	r := rand.NewPCG(3, 4)
	for i := range times {
		key := keys[r.Uint64()%uint64(len(keys))]
		start := time.Now()
		_, _ = d.Get(ctx, key)
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[n*99/100]
}

// BenchmarkEvict adds keys to a full store, so that each evicts another.
func BenchmarkEvict(b *testing.B) {
	keys := benchKeys(million)
	d := filled(b, &Options{MaxEntries: million / 2, OnFull: Evict}, keys, 0)
	var i atomic.Uint64
	for b.Loop() {
		_ = d.Set(ctx, keys[i.Add(1)%million], []byte("v"), 0)
	}
}
