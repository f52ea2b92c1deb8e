package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/crashtest"
)

func TestCrash_KilledWriters_LoseNothing(t *testing.T) {
	crashtest.Run(t, crashtest.Target{Open: func(ctx context.Context, dir string) (store.Driver, error) {
		return Opener(&Options{Path: filepath.Join(dir, "store.db")}).Open(ctx)
	}})
}
