//go:build !race

package redisstore

import (
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/storetest"
)

// With the race detector the suite runs on one server: where a command goes has tests of its own.

// clusterHarness and sentinelHarness give each rule a cluster, and a primary that sentinels watch, emptied for it. The exact
// counts are short: what adds up on one server does so on each.
var (
	clusterHarness = storetest.Harness{
		Persistent: true,
		Scale:      0.1,
		Opener:     func(t testing.TB) store.Opener { return openerOf(t, redistest.SharedCluster(t).URL()) },
		CountScale: 0.2,
	}
	sentinelHarness = storetest.Harness{
		Persistent: true,
		Scale:      0.1,
		Opener:     func(t testing.TB) store.Opener { return openerOf(t, redistest.SharedSentinel(t).URL()) },
		CountScale: 0.2,
	}
)

func TestConformance_Cluster(t *testing.T) { storetest.Run(t, clusterHarness) }

func TestConformance_Sentinel(t *testing.T) { storetest.Run(t, sentinelHarness) }
