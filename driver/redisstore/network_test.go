package redisstore

import (
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/faulttest"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/internal/servertest"
)

func TestNetworkFaults(t *testing.T) {
	server := redistest.Start(t, nil)
	faulttest.Run(t, faulttest.Target{
		Address: server.Addr(),
		Open: func(t testing.TB, address string) store.Driver {
			return openURL(t, strings.Replace(server.URL(), server.Addr(), address, 1))
		},
		Restart:  server.Restart,
		Volatile: true,
	})
}

func TestPassword_AppearsNowhere(t *testing.T) {
	password := servertest.Password()
	server := redistest.Start(t, &redistest.Options{Args: []string{"--requirepass", password}})
	at := "://default:" + password + "@" + server.Addr() + "/0"
	faulttest.Canary(t, faulttest.Secret[*Options]{
		URL: "redis" + at, TLSURL: "rediss" + at, ParseURL: ParseURL, Opener: Opener, Kill: server.Kill,
	})
}
