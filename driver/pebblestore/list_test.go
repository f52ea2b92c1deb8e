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
	hung := make(chan struct{})
	faults := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt {
			<-hung
		}
		return nil
	})}
	d := openOn(t, small, errorfs.Wrap(memory, faults))
	faults.On()
	const patience = 50 * time.Millisecond
	for range maxListings + 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patience/10)
		start := time.Now()
		if _, err := d.List(ctx, "t:", "", 1000); store.Kind(err) != "timeout" {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > boundtest.Scale(2*patience) {
			t.Errorf("left after %v", took)
		}
		cancel()
	}
	if n := len(d.listings); n != maxListings {
		t.Errorf("%d listings run", n)
	}
	close(hung)
	if page, err := d.List(t.Context(), "t:", "", 1000); len(page.Keys) != 600 || err != nil {
		t.Errorf("afterwards: %d keys, %v", len(page.Keys), err)
	}
}
