//go:build unix && !race

package natsstore

import (
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/historytest"
	"github.com/luastore/store/internal/natstest"
)

const (
	// killedFor is how long a leader is away that died: about as long as the others take to elect another one, four to nine seconds.
	killedFor = 8 * time.Second
	// strandedFor is how long one is away that lives: longer than it goes on leading for all that it knows, which is ten seconds.
	strandedFor = 13 * time.Second
	// electionBound is how long calls may fail after the leader has: now and then a first election has no winner.
	electionBound = 25 * time.Second
)

// The clients begin on different servers, so that one of them is always on that which is struck.
func TestFailover_HistoriesStayLegal(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := natstest.StartCluster(t, 3)
	stream := "KV_" + c.Bucket
	struck := 0
	leading := func(do func(t testing.TB, i int)) func(t testing.TB) {
		return func(t testing.TB) {
			struck = c.Leader(t, stream)
			do(t, struck)
		}
	}
	well := func(do func(t testing.TB, i int)) func(t testing.TB) {
		return func(t testing.TB) {
			do(t, struck)
			c.Wait(t, stream)
		}
	}
	historytest.Run(t, historytest.Target{
		Open: func(t testing.TB, client int) store.Driver {
			return openURL(t, c.URLOf(client%3, (client+1)%3, (client+2)%3))
		},
		Clients: 3,
		Faults: []historytest.Fault{
			{Name: "the leader is killed", Strike: leading(c.Kill), Heal: well(c.Restart), Lasts: killedFor, Survived: true},
			{Name: "the leader hangs", Strike: leading(c.Pause), Heal: well(c.Resume), Lasts: strandedFor, Survived: true},
			// It comes last: a server that was cut off may be behind for minutes.
			{Name: "the leader is cut off", Strike: leading(c.Isolate), Heal: c.Heal, Lasts: strandedFor, Survived: true},
		},
		Recovery: electionBound,
	})
}

// The servers are away as a whole, in each way that there is.
func TestServersAway_AreDialedSeldom(t *testing.T) {
	c := natstest.StartCluster(t, 3)
	var addresses []string
	for _, s := range c.Servers {
		addresses = append(addresses, s.Addr())
	}
	historytest.Outage(t, historytest.OutageTarget{
		Addresses: addresses,
		Open: func(t testing.TB, addresses []string) store.Driver {
			return openURL(t, "nats://"+strings.Join(addresses, ",")+"/"+c.Bucket+"?replicas=3")
		},
	})
}
