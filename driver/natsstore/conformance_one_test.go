//go:build race

package natsstore

import (
	"testing"

	"github.com/luastore/store/storetest"
)

// The suite runs on one server with the race detector, and on three without: both take minutes, and make test does both.
func TestConformance(t *testing.T) { storetest.Run(t, onOne) }
