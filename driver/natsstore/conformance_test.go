package natsstore

import (
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/natstest"
	"github.com/luastore/store/storetest"
)

// onOne gives each rule an empty bucket of the server that all tests of the package share.
var onOne = storetest.Harness{
	Persistent: true,
	CountScale: 0.05,
	Opener:     func(t testing.TB) store.Opener { return openerOf(t, natstest.Shared(t).URL()) },
}

// onThree gives each rule an empty bucket with three replicas. Reads trust the leader where the race detector makes all slow: it is found
// in what both ways have in common.
var onThree = storetest.Harness{
	Persistent: true,
	Scale:      0.2,
	CountScale: 0.1,
	Opener: func(t testing.TB) store.Opener {
		url := natstest.SharedCluster(t).URL()
		if boundtest.Race {
			url += "&reads=lease"
		}
		return openerOf(t, url)
	},
}

func openerOf(t testing.TB, url string) store.Opener {
	o, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return Opener(o)
}

func TestConformance(t *testing.T) { storetest.Run(t, onOne) }

func TestConformance_ThreeReplicas(t *testing.T) { storetest.Run(t, onThree) }

func BenchmarkConformance(b *testing.B) { storetest.Benchmark(b, onOne) }

func BenchmarkConformance_ThreeReplicas(b *testing.B) { storetest.Benchmark(b, onThree) }
