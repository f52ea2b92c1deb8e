package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store/value"
)

// A contender does the same work by way of the driver or without it.
type contender struct {
	name    string
	callers int
	op      func(ctx context.Context, i int) error
}

// compare runs the contenders in turns, many short rounds each, and reports the operations per second of each and the median
// of the ratios of the first to the second: a noisy machine slows both of one round alike.
func compare(b *testing.B, contenders ...contender) {
	const rounds, each = 21, 100 * time.Millisecond
	rates := make([][]float64, len(contenders))
	for b.Loop() {
		for range rounds {
			for i, c := range contenders {
				rates[i] = append(rates[i], c.rate(b, each))
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

// rate returns how often per second the callers do it together, with a deadline each as a handle may set it.
func (c contender) rate(b *testing.B, d time.Duration) float64 {
	var total atomic.Int64
	start := time.Now()
	var wait sync.WaitGroup
	for caller := range c.callers {
		wait.Go(func() {
			n := 0
			defer func() { total.Add(int64(n)) }()
			for time.Since(start) < d {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				err := c.op(ctx, caller)
				cancel()
				if err != nil {
					b.Error(err)
					return
				}
				n++
			}
		})
	}
	wait.Wait()
	return float64(total.Load()) / time.Since(start).Seconds()
}

// benchValue is a stored string of some 100 bytes.
var benchValue = value.AppendString(nil, string(bytes.Repeat([]byte("x"), 100)))

// benchDriver opens a driver on the disk where the tests run.
func benchDriver(b *testing.B, o Options) *Driver {
	b.Helper()
	o.Path = filepath.Join(b.TempDir(), "store")
	d, err := Opener(&o).Open(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d.(*Driver)
}

// rawLoop appends the bytes of one entry to a file and waits for the disk, which is all that durability asks of one writer.
func rawLoop(b *testing.B) contender {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	record := append([]byte("b:0:1234"), benchValue...)
	return contender{"raw", 1, func(context.Context, int) error {
		if _, err := f.Write(record); err != nil {
			return err
		}
		return syncData(f)
	}}
}

// BenchmarkDurableSet compares writers that wait for the disk with a bare loop of write and fdatasync. The limits are 0.8 times
// that loop for one writer, and 10 times for 64; there is none for 64 writers of one key.
func BenchmarkDurableSet(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			d := benchDriver(b, Options{})
			var n atomic.Int64
			compare(b, contender{"driver", callers, func(ctx context.Context, caller int) error {
				return d.Set(ctx, fmt.Sprintf("b:%d:%d", caller, n.Add(1)%1000), benchValue, 0)
			}}, rawLoop(b))
		})
	}
	b.Run("callers=64/onekey", func(b *testing.B) {
		d := benchDriver(b, Options{})
		compare(b, contender{"driver", 64, func(ctx context.Context, _ int) error {
			_, err := d.Incr(ctx, "b:k", 1, 0, 0)
			return err
		}}, rawLoop(b))
	})
}

// BenchmarkBare compares Get with that of Pebble, and a copy of what it answers. The limit is 0.8.
func BenchmarkBare(b *testing.B) {
	d := benchDriver(b, Options{NoSync: true})
	for i := range 10_000 {
		if err := d.Set(context.Background(), fmt.Sprintf("b:%d", i), benchValue, 0); err != nil {
			b.Fatal(err)
		}
	}
	const key = "b:5000"
	bare := []byte("db:5000")
	for _, from := range []string{"memtable", "table"} {
		if from == "table" {
			if err := d.db.Flush(); err != nil {
				b.Fatal(err)
			}
		}
		b.Run("get/"+from, func(b *testing.B) {
			compare(b, contender{"driver", 1, func(ctx context.Context, _ int) error {
				_, err := d.Get(ctx, key)
				return err
			}}, contender{"bare", 1, func(context.Context, int) error {
				v, closer, err := d.db.Get(bare)
				if err != nil {
					return err
				}
				_ = bytes.Clone(v)
				return closer.Close()
			}})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	d := benchDriver(b, Options{NoSync: true})
	ctx := context.Background()
	if err := d.Set(ctx, "b:k", benchValue, 0); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Get(ctx, "b:k"); err != nil {
			b.Fatal(err)
		}
	}
}
