//go:build !race

package redisstore

import (
	"context"
	"sync"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/storetest"
)

// nearHarness gives each rule an empty database, to be used with a near cache by all who open it as stores of one process use it: they
// share one driver, as in a registry. What other processes see, and when, has tests of its own.
var nearHarness = storetest.Harness{
	Persistent: true,
	Scale:      0.25,
	CountScale: 0.2,
	Opener: func(t testing.TB) store.Opener {
		return sharing(openerOf(t, redistest.Shared(t).URL()+"?near=8MiB"))
	},
}

func TestConformance_Near(t *testing.T) { storetest.Run(t, nearHarness) }

// sharing returns an opener of which all who have opened it at a time share one driver.
func sharing(o store.Opener) store.Opener {
	s := &shared{opener: o}
	return store.Opener{Connection: o.Connection, Open: s.open}
}

// A shared opens one driver for all.
type shared struct {
	opener store.Opener

	mu     sync.Mutex
	driver *nearDriver
	users  int
}

func (s *shared) open(ctx context.Context) (store.Driver, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 {
		d, err := s.opener.Open(ctx)
		if err != nil {
			return nil, err
		}
		s.driver = d.(*nearDriver)
	}
	s.users++
	return &user{nearDriver: s.driver, shared: s}, nil
}

// A user is a driver that several have opened. The last to close it closes it.
type user struct {
	*nearDriver
	shared *shared
	once   sync.Once
}

func (u *user) Close() (err error) {
	u.once.Do(func() {
		u.shared.mu.Lock()
		defer u.shared.mu.Unlock()
		if u.shared.users--; u.shared.users == 0 {
			err = u.nearDriver.Close()
		}
	})
	return err
}
