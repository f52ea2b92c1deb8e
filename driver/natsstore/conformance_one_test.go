//go:build race

package natsstore

import (
	"testing"

	"github.com/luastore/store/storetest"
)

// The suite runs on one server with the race detector, and on three without: both take minutes, and make test does both. With the detector,
// and another package beside it, 64 units that update one key take so long for each try that some meet another writer 65 times.
func TestConformance(t *testing.T) {
	h := onOne
	h.CountUnits = 32
	storetest.Run(t, h)
}
