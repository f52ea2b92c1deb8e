//go:build !race

package natsstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
)

// A server that is killed finds its messages again, but forgets which of them it dropped for want of room beside newer ones of the same
// subject. That must not bring back what those newer ones were to replace, when these have been dropped too.
func TestWhatWasDeletedOrReplaced_StaysSoWhenServersAreKilledAfterItWasReclaimed(t *testing.T) {
	t.Parallel() // it waits most of the time
	t.Run("one", func(t *testing.T) {
		server := natstest.Start(t, nil)
		reclaimThenKill(t, openURL(t, server.URL()), server, func() { server.Restart(t) })
	})
	t.Run("three", func(t *testing.T) {
		cluster := natstest.StartCluster(t, 3)
		d := openURL(t, cluster.URL())
		reclaimThenKill(t, d, cluster.Servers[0], func() {
			for i := range cluster.Servers {
				cluster.Kill(t, i)
			}
			for i := range cluster.Servers {
				cluster.Restart(t, i)
			}
			cluster.Wait(t, d.stream)
		})
	})
}

// reclaimThenKill deletes and replaces entries in every way, waits until a server has reclaimed all that is to be, and looks at what is there
// after kill.
func reclaimThenKill(t *testing.T, d *Driver, server *natstest.Server, kill func()) {
	t.Helper()
	ctx := testContext(t)
	const n = 10
	kinds := []string{"t:deleted", "t:swapped", "t:expired", "t:many", "t:rewritten"}
	for i := range n {
		for _, kind := range kinds {
			if err := d.Set(ctx, fmt.Sprint(kind, i), []byte("before"), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range n {
		d.Delete(ctx, fmt.Sprint("t:deleted", i))
		d.CompareAndSwap(ctx, fmt.Sprint("t:swapped", i), []byte("before"), nil, 0)
		d.Set(ctx, fmt.Sprint("t:expired", i), []byte("brief"), time.Millisecond)
		d.DeleteMany(ctx, []string{fmt.Sprint("t:many", i)})
		d.Set(ctx, fmt.Sprint("t:rewritten", i), []byte("after"), 0)
		d.Delete(ctx, fmt.Sprint("t:rewritten", i))
		d.CompareAndSwap(ctx, fmt.Sprint("t:rewritten", i), nil, []byte("again"), time.Millisecond)
	}
	d.Set(ctx, "t:live", []byte("v"), 0)
	s := must(must(jetstream.New(server.Conn(t)))(t).Stream(ctx, d.stream))(t)
	eventually(t, "all but the live entry is reclaimed", func() bool {
		info, err := s.Info(ctx)
		return err == nil && info.State.Msgs == 1
	})
	kill()
	eventually(t, "the driver is connected again", func() bool {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		has, err := d.Has(short, "t:live")
		return has && err == nil
	})
	for i := range n {
		for _, kind := range kinds {
			if v, err := d.Get(ctx, fmt.Sprint(kind, i)); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s%d is back: %q, %v", kind, i, v, err)
			}
		}
	}
}
