//go:build !race

package natsstore

import (
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
	"github.com/luastore/store/storetest"
)

// onThree gives each rule an empty bucket with three replicas. With the race detector the suite runs on one server: what replicas add has
// tests of its own.
var onThree = storetest.Harness{
	Persistent: true,
	Scale:      0.1,
	CountScale: 0.1,
	CountUnits: 16,
	Opener:     func(t testing.TB) store.Opener { return openerOf(t, natstest.SharedCluster(t).URL()) },
}

func TestConformance_ThreeReplicas(t *testing.T) { storetest.Run(t, onThree) }

func BenchmarkConformance_ThreeReplicas(b *testing.B) { storetest.Benchmark(b, onThree) }
