package sqlite

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/crashtest"
)

func TestCrash_KilledWriters_LoseNothing(t *testing.T) {
	crashtest.Run(t, crashtest.Target{Open: func(ctx context.Context, dir string) (store.Driver, error) {
		to := (&Options{Path: filepath.Join(dir, "store.db")}).target()
		to.checkpointPages = pagesIn(dir)
		return open(ctx, to)
	}})
}

// pagesIn returns the length of the log in a folder: in half of them it is moved all the time, so that a child dies in that too.
// Both kinds are there at any time, in the first folders of the lanes already.
func pagesIn(dir string) int {
	number, _ := strconv.Atoi(filepath.Base(dir))
	lane, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	if (number+lane)%2 == 0 {
		return checkpointPages
	}
	return 64
}
