package pebblestore

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// What was deleted lies in the way of a listing until Pebble compacts it away, and Pebble does not look up meanwhile: here a disk
// that does not answer stands for that.
func TestList_WhosePebbleDoesNotReturn_IsLeftWithItsContext(t *testing.T) {
	memory := newMemory()
	fill(t, small, memory)
	const patience = 50 * time.Millisecond
	boundtest.AtMost(t, "the longest of some listings was left after", boundtest.Scale(2*patience), func() time.Duration {
		return listInVain(t, memory, patience/10)
	})
}

// listInVain opens a store whose disk does not answer, and returns how long the longest of more listings than may run took, with that
// patience.
func listInVain(t *testing.T, memory memory, patience time.Duration) (longest time.Duration) {
	t.Helper()
	hung := make(chan struct{})
	faults := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt {
			<-hung
		}
		return nil
	})}
	d := openOn(t, small, errorfs.Wrap(memory, faults))
	faults.On()
	for range maxListings + 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		start := time.Now()
		if _, err := d.List(ctx, "t:", "", 1000); store.Kind(err) != "timeout" {
			t.Errorf("got %v", err)
		}
		longest = max(longest, time.Since(start))
		cancel()
	}
	if n := len(d.listings); n != maxListings {
		t.Errorf("%d listings run", n)
	}
	close(hung)
	if page, err := d.List(t.Context(), "t:", "", 1000); len(page.Keys) != 600 || err != nil {
		t.Errorf("afterwards: %d keys, %v", len(page.Keys), err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	return longest
}
