package storeotel_test

import (
	"context"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storeotel"
)

// A cached driver has what was written to it at hand, but for what begins with "far:".
type cached struct{ store.Driver }

func (d cached) Peek(key string) ([]byte, bool) {
	if len(key) > 4 && key[:4] == "far:" {
		return nil, false
	}
	v, err := d.Get(context.Background(), key)
	return v, err == nil
}

func TestTelemetry_StoreWithANearCache_CountsWhatItAnswers(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{Default: func(id string) (store.Definition, bool) {
		return store.Definition{Open: store.Opener{Open: func(ctx context.Context) (store.Driver, error) {
			d, err := memstore.Opener(nil).Open(ctx)
			if id != "near" || err != nil {
				return d, err
			}
			return cached{d}, nil
		}}}, true
	}})
	for _, id := range []string{"near", "plain"} {
		h.unit(id, func(ctx context.Context, s *store.Handle) {
			ok(t, s.Set(ctx, "a:b", numberOf(1), 0))
			ok(t, s.Set(ctx, "far:b", numberOf(2), 0))
			for _, key := range []string{"a:b", "a:b", "far:b"} {
				_, err := s.Get(ctx, key)
				ok(t, err)
			}
			_, err := s.Has(ctx, "a:none")
			ok(t, err)
			_, err = s.GetMany(ctx, []string{"a:b", "far:b", "far:c"})
			ok(t, err)
			_, _, err = s.Fetch(ctx, "a:b", 0, nil)
			ok(t, err)
			_, err = s.ListItems(ctx, "a:", "", 10)
			ok(t, err)
			_, err = s.Incr(ctx, "a:b", 1, 0, 0)
			ok(t, err)
		})
	}
	same(t, "lookups in near caches", of(h.lines(), "luastore.store.near.lookups"), []string{
		"{db.namespace=near,db.operation.name=fetch,db.system.name=luastore,luastore.hit=true} 1",
		"{db.namespace=near,db.operation.name=get,db.system.name=luastore,luastore.hit=false} 1",
		"{db.namespace=near,db.operation.name=get,db.system.name=luastore,luastore.hit=true} 2",
		"{db.namespace=near,db.operation.name=get_many,db.system.name=luastore,luastore.hit=false} 2",
		"{db.namespace=near,db.operation.name=get_many,db.system.name=luastore,luastore.hit=true} 1",
		"{db.namespace=near,db.operation.name=has,db.system.name=luastore,luastore.hit=false} 1",
		"{db.namespace=near,db.operation.name=list,db.system.name=luastore,luastore.hit=true} 1",
	})
}
