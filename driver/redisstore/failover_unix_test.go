//go:build unix && !race

package redisstore

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/historytest"
	"github.com/luastore/store/internal/redistest"
)

// clusterRecovery is how long calls may fail after the primary of their slot has: the others take it for dead after two seconds in
// tests, and elect another one.
const clusterRecovery = 15 * time.Second

// tags are in slots of all three primaries of a new cluster.
var tags = []string{"a", "b", "c", "d", "e", "f"}

func TestCluster_SlotsMoveAndPrimariesFailUnderLoad(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, 1, nil)
	struck := 0 // the server that a fault hit
	slot := redistest.Slot(tags[0])
	strike := func(do func(s *redistest.Server, t testing.TB)) func(t testing.TB) {
		return func(t testing.TB) {
			struck = c.Primary(t, slot)
			do(c.Servers[struck], t)
		}
	}
	// The last writes of a primary are lost where its replica takes over, acknowledged or not: how many is in docs/scaling.md.
	historytest.Run(t, historytest.Target{
		Open:     func(t testing.TB, client int) store.Driver { return openURL(t, c.URLOf(client%len(c.Servers))) },
		Tags:     tags,
		Lossy:    true,
		Recovery: clusterRecovery,
		Faults: []historytest.Fault{
			{Name: "slots move", Strike: func(t testing.TB) { moveAll(t, c) }, Harmless: true},
			{
				Name:   "a primary is killed",
				Strike: strike(func(s *redistest.Server, _ testing.TB) { s.Kill() }),
				Heal: func(t testing.TB) {
					c.Servers[struck].Restart(t)
					c.Wait(t)
				},
				Lasts:    6 * time.Second,
				Survived: true,
			},
			{
				Name:   "a primary hangs",
				Strike: strike(func(s *redistest.Server, t testing.TB) { s.Pause(t) }),
				Heal: func(t testing.TB) {
					c.Servers[struck].Resume(t)
					c.Wait(t)
				},
				Lasts:    6 * time.Second,
				Survived: true,
			},
		},
	})
}

// moveAll moves the slot of each tag to another primary.
func moveAll(t testing.TB, c *redistest.Cluster) {
	for _, tag := range tags {
		slot := redistest.Slot(tag)
		from := c.Primary(t, slot)
		for _, other := range tags {
			if to := c.Primary(t, redistest.Slot(other)); to != from {
				c.Migrate(t, slot, to)
				break
			}
		}
	}
}

// The servers are away as a whole, in each way that there is.
func TestServersAway_AreDialedSeldom(t *testing.T) {
	c := redistest.StartCluster(t, 3, 0, nil) // replicas would dial, too
	var addresses []string
	for _, s := range c.Servers {
		addresses = append(addresses, s.Addr())
	}
	historytest.Outage(t, historytest.OutageTarget{
		Addresses: addresses,
		Open: func(t testing.TB, addresses []string) store.Driver {
			ports := make([]int, len(addresses))
			for i, address := range addresses {
				_, port, _ := net.SplitHostPort(address)
				ports[i] = must(strconv.Atoi(port))(t)
			}
			c.Announce(t, ports...)
			c.Wait(t)
			return openURL(t, c.URL())
		},
		Recovery: clusterRecovery,
	})
}
