package memstore

import (
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/storetest"
)

// harness tests stores of the given options.
func harness(o *Options) storetest.Harness {
	return storetest.Harness{InProcess: true, Opener: func(testing.TB) store.Opener { return Opener(o) }}
}

func TestConformance_Unbounded(t *testing.T) { storetest.Run(t, harness(nil)) }

func TestConformance_BoundedThatRefuses(t *testing.T) {
	storetest.Run(t, harness(&Options{MaxEntries: 3000, MaxBytes: 16 << 20}))
}

func TestConformance_BoundedThatEvicts(t *testing.T) {
	storetest.Run(t, harness(&Options{MaxEntries: 3000, MaxBytes: 16 << 20, OnFull: Evict}))
}

func BenchmarkConformance(b *testing.B) { storetest.Benchmark(b, harness(nil)) }
