package pebblestore

import (
	"context"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/crashtest"
)

// It runs alone, for it has a bound on the time of opening.
func TestCrash_KilledWriters_LoseNothing(t *testing.T) {
	crashtest.Run(t, crashtest.Target{Open: func(ctx context.Context, dir string) (store.Driver, error) {
		return Opener(&Options{Path: dir}).Open(ctx)
	}})
}
