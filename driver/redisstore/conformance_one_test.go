//go:build race

package redisstore

import (
	"testing"

	"github.com/luastore/store/storetest"
)

// The suite runs on one server with the race detector; without, on a cluster, behind sentinels and with a near cache.
func TestConformance(t *testing.T) { storetest.Run(t, harness) }
