//go:build !race

package redisstore

import (
	"strconv"
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/faulttest"
	"github.com/luastore/store/internal/redistest"
)

// TestCluster_NetworkFaults is the like for a cluster whose nodes are all behind proxies, which it announces in place of them.
func TestCluster_NetworkFaults(t *testing.T) {
	c := redistest.StartCluster(t, 3, 0, nil)
	var own []string
	for _, s := range c.Servers {
		own = append(own, s.Addr())
	}
	addresses := strings.Join(own, ",")
	faulttest.Run(t, faulttest.Target{
		Address: addresses,
		Open: func(t testing.TB, address string) store.Driver {
			// The driver beside the proxies is told of them as well: it is used only while they let everything pass.
			if address != addresses {
				c.Announce(t, ports(address)...)
			}
			return openURL(t, "redis+cluster://"+address)
		},
		Restart: func(t testing.TB) {
			for _, s := range c.Servers {
				s.Restart(t)
			}
			c.Wait(t)
		},
		Volatile: true,
	})
}

// ports returns those of addresses with commas between.
func ports(addresses string) (all []int) {
	for address := range strings.SplitSeq(addresses, ",") {
		_, text := hostPort(address)
		port, _ := strconv.Atoi(text)
		all = append(all, port)
	}
	return all
}
