package natsstore

import (
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/faulttest"
	"github.com/luastore/store/internal/natstest"
	"github.com/luastore/store/internal/servertest"
)

func TestNetworkFaults(t *testing.T) {
	server := natstest.Start(t, nil)
	faulttest.Run(t, faulttest.Target{
		Address: server.Addr(),
		Open: func(t testing.TB, address string) store.Driver {
			return openURL(t, strings.Replace(server.URL(), server.Addr(), address, 1))
		},
		Restart: server.Restart,
	})
}

func TestPassword_AppearsNowhere(t *testing.T) {
	password := servertest.Password()
	server := natstest.Start(t, &natstest.Options{User: "luastore", Password: password})
	at := "://luastore:" + password + "@" + server.Addr() + "/" + server.Bucket
	faulttest.Canary(t, faulttest.Secret[*Options]{
		URL: "nats" + at, TLSURL: "natss" + at, ParseURL: ParseURL, Opener: Opener, Kill: server.Kill,
	})
}
