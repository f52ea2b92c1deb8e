package redisstore

import (
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/storetest"
)

// openerOf returns an opener by URL.
func openerOf(t testing.TB, url string) store.Opener {
	t.Helper()
	return Opener(must(ParseURL(url))(t))
}

// harness gives each rule an empty database of the server that all tests of the package share.
var harness = storetest.Harness{
	Persistent: true,
	Opener:     func(t testing.TB) store.Opener { return openerOf(t, redistest.Shared(t).URL()) },
}

// clusterHarness and sentinelHarness give each rule a cluster, and a primary that sentinels watch, emptied for it. Both make the
// counts of the single server shorter: these say nothing new about where they run.
var (
	clusterHarness = storetest.Harness{
		Persistent: true,
		Opener:     func(t testing.TB) store.Opener { return openerOf(t, redistest.SharedCluster(t).URL()) },
		CountScale: 0.2,
	}
	sentinelHarness = storetest.Harness{
		Persistent: true,
		Opener:     func(t testing.TB) store.Opener { return openerOf(t, redistest.SharedSentinel(t).URL()) },
		CountScale: 0.2,
	}
)

func TestConformance(t *testing.T) { storetest.Run(t, harness) }

func TestConformance_Cluster(t *testing.T) { storetest.Run(t, clusterHarness) }

func TestConformance_Sentinel(t *testing.T) { storetest.Run(t, sentinelHarness) }

func BenchmarkConformance(b *testing.B) { storetest.Benchmark(b, harness) }
