package postgres

import (
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/faulttest"
	"github.com/luastore/store/internal/pgtest"
)

func TestNetworkFaults(t *testing.T) {
	server := pgtest.Start(t, nil)
	o := must(ParseURL(server.URL()))(t)
	faulttest.Run(t, faulttest.Target{
		Address: server.Addr(),
		Open: func(t testing.TB, address string) store.Driver {
			through := *o
			through.Address = address

			return openOptions(t, &through)
		},
		Restart: func(t testing.TB) {
			server.Kill()
			server.Restart(t)
		},
	})
}

func TestPassword_IsNowhere(t *testing.T) {
	server := pgtest.Start(t, nil)
	faulttest.Canary(t, faulttest.Secret[*Options]{
		URL:      server.URL(),
		TLSURL:   server.URL() + "?sslmode=verify-full",
		ParseURL: ParseURL,
		Opener:   Opener,
		Kill:     server.Kill,
	})
}
