package pebblestore

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/luastore/store"
)

// noise returns bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestSweeper_EntryThatCannotBeRead_DelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory()
		d := openOn(t, small, memory)
		if err := d.Set(t.Context(), "t:a", noise(30_000), time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := d.db.Flush(); err != nil {
			t.Fatal(err)
		}
		d.Close()
		// The value of the first entry is the first block of the table.
		faults := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") && op.Offset < 25_000 {
				return errInjected
			}
			return nil
		})}
		d = openOn(t, small, errorfs.Wrap(memory, faults))
		if err := d.Set(t.Context(), "t:b", nil, time.Minute); err != nil {
			t.Fatal(err)
		}
		faults.On()
		time.Sleep(time.Minute + time.Second)
		_, left, err := d.expired(0, clock(), 10)
		if len(left) != 1 || left[0].key != "t:a" || err != nil {
			t.Errorf("what has expired and is left: %v, %v", left, err)
		}
		if err := d.Set(t.Context(), "t:c", nil, time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * sweepRetry)
		if _, left, _ := d.expired(0, clock(), 10); len(left) != 1 {
			t.Errorf("later: %v", left)
		}
		faults.Off()
		time.Sleep(2 * sweepRetry)
		if n := stored(t, d); n != 0 {
			t.Errorf("%d keys are left once all can be read", n)
		}
		d.Close()
	})
}

// What replaces an entry that nobody can read leaves its expiry in the index.
func TestSweeper_ExpiryOfAnEntryThatWasReplacedUnread_IsDroppedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openOn(t, small, newMemory())
		for _, key := range []string{"t:never", "t:later", "t:gone"} {
			if err := d.Set(t.Context(), key, nil, time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := d.db.Set(appendDataKey(nil, key), []byte("short"), pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Set(t.Context(), "t:never", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		if err := d.Set(t.Context(), "t:later", []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Delete(t.Context(), "t:gone"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		wantConsistent(t, d)
		for _, key := range []string{"t:never", "t:later"} {
			if v, err := d.Get(t.Context(), key); !bytes.Equal(v, []byte("v")) || err != nil {
				t.Errorf("%s: %q, %v", key, v, err)
			}
		}
		if exists, err := d.Has(t.Context(), "t:gone"); exists || store.Kind(err) != "" {
			t.Errorf("t:gone: %v, %v", exists, err)
		}
		d.Close()
	})
}
