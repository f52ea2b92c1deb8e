package mysql

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
)

// A ttl counts from when the write is done: what it waited for is not taken off, or the entry would be gone early.
func TestWrite_ThatWaitedForARowLock_CountsItsTTLFromThen(t *testing.T) {
	server := mariadbtest.Shared(t)
	const ttl = time.Minute
	items := []store.Item{{Key: "t:a", Value: []byte("v")}, {Key: "t:k", Value: []byte("5")}, {Key: "t:z", Value: []byte("v")}}
	writes := map[string]func(ctx context.Context, d *Driver) error{
		"Set":     func(ctx context.Context, d *Driver) error { return d.Set(ctx, "t:k", []byte("5"), ttl) },
		"SetMany": func(ctx context.Context, d *Driver) error { return d.SetMany(ctx, items, ttl) },
		"Touch":   func(ctx context.Context, d *Driver) error { _, err := d.Touch(ctx, "t:k", ttl); return err },
		"Swap": func(ctx context.Context, d *Driver) error {
			_, err := d.CompareAndSwap(ctx, "t:k", []byte("5"), []byte("6"), ttl)
			return err
		},
		"Create": func(ctx context.Context, d *Driver) error {
			_, err := d.CompareAndSwap(ctx, "t:k", nil, []byte("6"), ttl)
			return err
		},
		"Incr": func(ctx context.Context, d *Driver) error { _, err := d.Incr(ctx, "t:k", 1, 0, ttl); return err },
	}
	for state, held := range map[string]struct {
		change string          // by the holder of the lock
		about  map[string]bool // the writes that then give t:k a ttl
	}{
		"Live":    {"UPDATE luastore SET `value` = '5' WHERE `key` = 't:k'", map[string]bool{"Set": true, "SetMany": true, "Touch": true, "Swap": true}},
		"Deleted": {"DELETE FROM luastore WHERE `key` = 't:k'", map[string]bool{"Set": true, "SetMany": true, "Create": true, "Incr": true}},
		"Expired": {"UPDATE luastore SET expires = 1 WHERE `key` = 't:k'", map[string]bool{"Set": true, "SetMany": true, "Create": true, "Incr": true}},
	} {
		for name, w := range writes {
			if !held.about[name] {
				continue
			}
			t.Run(state+"/"+name, func(t *testing.T) {
				ctx := testContext(t)
				d := openURL(t, server.URL())
				d.metAt.Store(math.MaxInt64)
				must(d.DeleteMany(ctx, keysOf(items)))(t)
				must(0, d.Set(ctx, "t:k", []byte("5"), 0))(t)
				h := begin(t, d)
				h.exec(held.change)
				wait := inBackground(func() (int, error) { return 0, w(ctx, d) })
				waitForWaiter(t, server)
				waited := time.Now()
				eventually(t, "it has waited", func() bool { return time.Since(waited) > 50*time.Millisecond })
				released := time.Now()
				h.commit()
				must(wait())(t)
				keys := []string{"t:k"}
				if name == "SetMany" {
					keys = keysOf(items)
				}
				for _, key := range keys {
					left := must(d.TTL(ctx, key))(t)
					if left < ttl-time.Since(released) {
						t.Errorf("%s has %v left, %v after the lock was released", key, left, time.Since(released))
					}
				}
			})
		}
	}
}
