package storelua

import (
	"errors"
	"fmt"
	"maps"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
)

// getMany is s:get_many(keys).
func getMany(L *lua.LState) int {
	h := self(L)
	keys, err := keysOf(L, h)
	if err != nil {
		return failed(L, h, store.OpGetMany, "", err)
	}
	found, err := h.GetMany(contextOf(L), keys)
	d := newBatchDecoder(L, h)
	if err != nil && !d.note(err) {
		return fail(L, err)
	}
	t := L.CreateTable(0, len(found))
	for _, key := range keys { // in their order, which pairs then has too
		if b, ok := found[key]; ok {
			if v := d.decode(key, b); v != nil {
				t.RawSetString(key, v)
			}
		}
	}
	switch corrupt := d.err(); {
	case corrupt == nil:
		return done(L, t)
	case err == nil || d.more:
		return failed(L, h, store.OpGetMany, "", corrupt)
	}
	return fail(L, err)
}

// A batchDecoder decodes many values and gathers those that are corrupt.
type batchDecoder struct {
	L      *lua.LState
	h      *store.Handle
	failed map[string]error
	more   bool // some are corrupt
}

func newBatchDecoder(L *lua.LState, h *store.Handle) *batchDecoder { return &batchDecoder{L: L, h: h} }

// note takes up the keys that failed before they could be decoded. It reports false for an error that names none.
func (d *batchDecoder) note(err error) bool {
	var batch *store.BatchError
	if !errors.As(err, &batch) {
		return false
	}
	d.failed = maps.Clone(batch.Errs)
	return true
}

// decode returns a value, nil if it is corrupt.
func (d *batchDecoder) decode(key string, b []byte) lua.LValue {
	v, err := Decode(d.L, b, d.h.Limits().Value())
	if err == nil {
		return v
	}
	if d.failed == nil {
		d.failed = map[string]error{}
	}
	d.failed[key], d.more = err, true
	return nil
}

// err returns the error that names the corrupt ones.
func (d *batchDecoder) err() error {
	if d.failed == nil {
		return nil
	}
	return &store.BatchError{Errs: d.failed}
}

// setMany is s:set_many(entries [, ttl]).
func setMany(L *lua.LState) int {
	h := self(L)
	entries, err := entriesOf(L, h)
	if err != nil {
		return failed(L, h, store.OpSetMany, "", err)
	}
	expiry, err := ttlOf(L, 3, store.DefaultTTL)
	if err != nil {
		return failed(L, h, store.OpSetMany, "", err)
	}
	if err := h.SetMany(contextOf(L), entries, expiry); err != nil {
		return fail(L, err)
	}
	return done(L, lua.LTrue)
}

// deleteMany is s:delete_many(keys).
func deleteMany(L *lua.LState) int {
	h := self(L)
	keys, err := keysOf(L, h)
	if err != nil {
		return failed(L, h, store.OpDeleteMany, "", err)
	}
	n, err := h.DeleteMany(contextOf(L), keys)
	if err != nil {
		return fail(L, err)
	}
	return done(L, number(float64(n)))
}

// tooMany reports a batch that is beyond the limit of a store, before it is counted to its end.
func tooMany(most int) error {
	return store.Errorf(store.ErrTooLarge, "batch too large: more than %d keys", most)
}

// keysOf returns argument 2, which must be an array of keys without holes.
func keysOf(L *lua.LState, h *store.Handle) ([]string, error) {
	t, ok := L.Get(2).(*lua.LTable)
	if !ok {
		return nil, wrongType("keys", "an array of keys", L.Get(2))
	}
	n, most := 0, h.Limits().Batch
	for k, _ := t.Next(lua.LNil); k != lua.LNil; k, _ = t.Next(k) {
		if n++; n > most {
			return nil, tooMany(most)
		}
		if _, ok := k.(lua.LNumber); !ok {
			return nil, store.Errorf(store.ErrInvalid, "invalid keys: want an array of keys, got a table with a key of type %s", typeName(k))
		}
	}
	keys := make([]string, n)
	for i := range keys {
		switch v := t.RawGet(lua.LNumber(i + 1)).(type) {
		case lua.LString:
			keys[i] = string(v)
		case *lua.LNilType:
			return nil, store.Errorf(store.ErrInvalid, "invalid keys: want an array of keys, got one with nothing at [%d]", i+1)
		default:
			return nil, store.Errorf(store.ErrInvalid, `invalid key at [%d]: want a string "namespace:name", got %s`, i+1, typeName(v))
		}
	}
	return keys, nil
}

// entriesOf returns argument 2, which must be a table of values by key. Keys come first: what is refused for them is not encoded.
func entriesOf(L *lua.LState, h *store.Handle) ([]store.Item, error) {
	t, ok := L.Get(2).(*lua.LTable)
	if !ok {
		return nil, wrongType("entries", "a table of values by key", L.Get(2))
	}
	n, most := 0, h.Limits().Batch
	for k, _ := t.Next(lua.LNil); k != lua.LNil; k, _ = t.Next(k) {
		key, ok := k.(lua.LString)
		if !ok {
			return nil, store.Errorf(store.ErrInvalid, `invalid key: want a string "namespace:name", got %s`, typeName(k))
		}
		if n++; n > most {
			return nil, tooMany(most)
		}
		if err := store.CheckKey(string(key)); err != nil {
			return nil, err
		}
	}
	entries := make([]store.Item, 0, n)
	limits := h.Limits().Value()
	left := h.Limits().BatchBytes
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		key := string(k.(lua.LString))
		b, err := Encode(v, limits)
		if err != nil {
			return nil, fmt.Errorf("%w: key %q", err, short(key))
		}
		if left -= len(b); left < 0 {
			return nil, store.Errorf(store.ErrTooLarge, "batch too large: more than %d bytes of values", h.Limits().BatchBytes)
		}
		entries = append(entries, store.Item{Key: key, Value: b})
	}
	return entries, nil
}
