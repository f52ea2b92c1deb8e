package mysql

import (
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/faulttest"
	"github.com/luastore/store/internal/mariadbtest"
)

func TestNetworkFaults(t *testing.T) {
	server := mariadbtest.Start(t, nil)
	faulttest.Run(t, faulttest.Target{
		Address: server.Addr(),
		Open: func(t testing.TB, address string) store.Driver {
			return openURL(t, strings.Replace(server.URL(), server.Addr(), address, 1))
		},
		Restart: server.Restart,
	})
}
