package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/luastore/store"
)

// benchmarkEntries is how many entries a driver holds while it is measured.
const benchmarkEntries = 10_000

// Benchmark measures the operations that scripts use most, as sub-benchmarks of b: one caller, a 16-byte string, among 10,000
// entries.
func Benchmark(b *testing.B, h Harness) {
	d, keys := filled(b, h)
	ctx := context.Background()
	v := str("0123456789abcdef")
	measure(b, "Get", func(i int) error {
		_, err := d.Get(ctx, keys[i%len(keys)])
		return err
	})
	measure(b, "Set", func(i int) error { return d.Set(ctx, keys[i%len(keys)], v, 0) })
	measure(b, "SetWithTTL", func(i int) error { return d.Set(ctx, keys[i%len(keys)], v, long) })
	measure(b, "Miss", func(int) error {
		if _, err := d.Get(ctx, "absent:key"); err == nil {
			return fmt.Errorf("Get of an absent key answers no error")
		}
		return nil
	})
	measure(b, "Has", func(i int) error {
		_, err := d.Has(ctx, keys[i%len(keys)])
		return err
	})
	measure(b, "ListPageOf100", func(int) error {
		_, err := d.List(ctx, "b:", "", 100)
		return err
	})
	if c, ok := d.(store.Counter); ok {
		measure(b, "Incr", func(int) error {
			_, err := c.Incr(ctx, "counter:k", 1, 0, 0)
			return err
		})
	}
}

// filled opens a driver that holds benchmarkEntries entries.
func filled(b *testing.B, h Harness) (store.Driver, []string) {
	ctx := context.Background()
	d, err := h.Opener(b).Open(ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	keys := make([]string, benchmarkEntries)
	for i := range keys {
		keys[i] = fmt.Sprintf("b:%d", i)
		if err := d.Set(ctx, keys[i], str("0123456789abcdef"), 0); err != nil {
			b.Fatal(err)
		}
	}
	return d, keys
}

// measure runs fn as a sub-benchmark.
func measure(b *testing.B, name string, fn func(i int) error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := fn(i); err != nil {
				b.Fatal(err)
			}
		}
	})
}
