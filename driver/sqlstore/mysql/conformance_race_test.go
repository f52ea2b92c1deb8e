//go:build race

package mysql

import (
	"testing"

	"github.com/luastore/store/storetest"
)

// The suite runs with the race detector only: it takes a minute, and its bounds on time are those of the code that PostgreSQL and SQLite
// share with this driver, with which it runs without as well.
func TestConformance(t *testing.T) { storetest.Run(t, harness) }
