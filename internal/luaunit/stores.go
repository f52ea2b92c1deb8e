package luaunit

import (
	"context"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
)

// freshStores returns a registry of empty stores in memory: those that are named or, where definitions is nil, any.
func freshStores(definitions map[string]store.Definition) *store.Registry {
	if definitions == nil {
		return store.New(&store.Options{Default: func(string) (store.Definition, bool) {
			return store.Definition{Open: memstore.Opener(nil)}, true
		}})
	}
	inMemory := map[string]store.Definition{}
	opened := map[any]store.Opener{}
	for id, d := range definitions {
		d.Open = memory(d.Open.Connection, opened)
		inMemory[id] = d
	}
	return store.New(&store.Options{Default: func(id string) (store.Definition, bool) {
		d, ok := inMemory[id]
		return d, ok
	}})
}

// memory returns the opener that stands for a connection, one for each. That of a store in memory keeps its bounds.
func memory(connection any, opened map[any]store.Opener) store.Opener {
	if open, ok := opened[connection]; ok && connection != nil {
		return open
	}
	o, _ := connection.(*memstore.Options)
	open := memstore.Opener(o)
	if connection != nil {
		opened[connection] = open
	}
	return open
}

// closeTimeout bounds the time to close stores that nothing uses any more.
const closeTimeout = 5 * time.Second

// closeStores closes them also when ctx has ended.
func closeStores(ctx context.Context, reg *store.Registry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return reg.Close(ctx)
}
