package storetest

import (
	"context"
	"time"

	"github.com/luastore/store"
)

// handlePrefix is the prefix of the store through which rules look at a handle.
const handlePrefix = "p"

// A handle is a driver made of a [store.Handle], so that what holds for a driver can be said of the handle in the same words.
type handle struct {
	*store.Handle
	prefix   string // of stored keys
	unit     *store.Unit
	registry *store.Registry
}

// throughHandle looks at a handle of the connection.
func throughHandle(s *space) {
	h := s.handleOf(s.connection, store.Definition{Prefix: handlePrefix})
	s.driver, s.handle = h, h
	s.info.MaxKeyBytes = s.longestKey() - len(h.prefix)
}

// withoutOptional looks at a handle of the connection that has to do without optional interfaces. What a handle makes of a read
// and a compare-and-swap gets slow where many callers meet on one key, so that rules repeat less.
func withoutOptional(s *space) {
	s.connection = struct{ store.Driver }{s.connection}
	throughHandle(s)
	if s.harness.Scale == 0 {
		s.harness.Scale = 1
	}
	s.harness.Scale /= 5
}

// handleOf returns a handle of a store over d, and a unit of its own. Closing it closes d.
func (s *space) handleOf(d store.Driver, def store.Definition) *handle {
	s.Helper()
	h := &handle{registry: store.New(nil)}
	if def.Prefix != "" {
		h.prefix = def.Prefix + ":"
	}
	def.Open = opening(d)
	s.must("Define", h.registry.Define("test", def))
	ctx, unit := h.registry.Begin(s.ctx, "rule")
	var err error
	h.unit = unit
	h.Handle, err = unit.Get(ctx, "test")
	s.must("Get of the store", err)
	return h
}

// opening returns an opener of a driver that is open.
func opening(d store.Driver) store.Opener {
	return store.Opener{Open: func(context.Context) (store.Driver, error) { return d, nil }}
}

func (h *handle) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	e, err := h.Handle.Entry(ctx, key)
	return e.Value, e.TTL, err
}

func (h *handle) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	found, err := h.Handle.GetMany(ctx, keys)
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = found[key]
	}
	return values, err
}

// asUnit runs fn as a unit of work of its own, with a handle of the same store.
func (s *space) asUnit(fn func(ctx context.Context, h *store.Handle) error) error {
	return s.handle.registry.Do(s.ctx, func(ctx context.Context) error {
		h, err := store.Get(ctx, "test")
		if err != nil {
			return err
		}
		return fn(ctx, h)
	})
}

// Close ends the unit and closes the driver.
func (h *handle) Close() error {
	if err := h.unit.End(); err != nil {
		return err
	}
	return h.registry.Close(context.Background())
}
