package storelua

import (
	"context"
	"errors"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
)

// maxRetries bounds what a script may ask for: an update pauses a quarter of a second between tries in the end.
const maxRetries = 10_000

// update is s:update(key, fn [, options]).
func (m *module) update(L *lua.LState) int {
	h := self(L)
	key, fn, err := keyAndFunction(L)
	if err != nil {
		return failed(L, h, store.OpUpdate, key, err)
	}
	expiry, o, err := updateOf(L)
	if err != nil {
		return failed(L, h, store.OpUpdate, key, err)
	}
	limits := h.Limits().Value()
	var got computed
	b, err := h.Update(contextOf(L), key, expiry, o, func(old []byte) ([]byte, error) {
		current := lua.LValue(lua.LNil)
		if old != nil {
			var err error
			if current, err = Decode(L, old, limits); err != nil {
				return nil, err
			}
		}
		got = call(L, fn, current)
		if got.value == m.remove {
			return nil, store.ErrRemove
		}
		return got.encode(h)
	})
	switch {
	case err != nil:
		return got.fail(L, err)
	case b == nil: // removed
		return done(L, lua.LNil)
	}
	v, err := Decode(L, b, limits)
	if err != nil {
		return failed(L, h, store.OpUpdate, key, err)
	}
	return done(L, v)
}

// updateOf returns the options of update.
func updateOf(L *lua.LState) (expiry time.Duration, _ *store.UpdateOptions, err error) {
	o, err := optionsOf(L, 4, updateOptionNames)
	if err != nil {
		return 0, nil, err
	}
	if expiry, err = o.ttl(store.KeepTTL); err != nil {
		return 0, nil, err
	}
	retries, err := o.count("retries", store.DefaultRetries, 0, maxRetries)
	if retries == 0 {
		retries = -1
	}
	return expiry, &store.UpdateOptions{Retries: retries}, err
}

// The third results of fetch.
var (
	hit  lua.LValue = lua.LString("hit")
	miss lua.LValue = lua.LString("miss")
)

// fetch is s:fetch(key, fn [, ttl]).
func (m *module) fetch(L *lua.LState) int {
	h := self(L)
	key, fn, err := keyAndFunction(L)
	if err != nil {
		return failed(L, h, store.OpFetch, key, err)
	}
	expiry, err := ttlOf(L, 4, store.DefaultTTL)
	if err != nil {
		return failed(L, h, store.OpFetch, key, err)
	}
	var got computed
	b, found, err := h.Fetch(m.context(L), key, expiry, func(ctx context.Context) ([]byte, error) {
		defer m.enter(L, ctx)()
		got = call(L, fn, lua.LString(key))
		return got.encode(h)
	})
	if err != nil {
		return got.fail(L, err)
	}
	v, err := Decode(L, b, h.Limits().Value())
	if err != nil {
		return failed(L, h, store.OpFetch, key, err)
	}
	how := miss
	if found {
		how = hit
	}
	return done(L, v) + push(L, how)
}

// enter notes that the function of a fetch runs, until leave is called. The state has its context meanwhile, for what the host
// does when that function calls it.
func (m *module) enter(L *lua.LState, ctx context.Context) (leave func()) {
	outer := L.Context()
	L.SetContext(ctx)
	m.fetching++
	return func() {
		m.fetching--
		if outer == nil {
			L.RemoveContext()
		} else {
			L.SetContext(outer)
		}
	}
}

// push pushes one more result.
func push(L *lua.LState, v lua.LValue) int {
	L.Push(v)
	return 1
}

// keyAndFunction returns arguments 2 and 3 of a method.
func keyAndFunction(L *lua.LState) (string, *lua.LFunction, error) {
	key, err := keyOf(L)
	if err != nil {
		return "", nil, err
	}
	fn, ok := L.Get(3).(*lua.LFunction)
	if !ok {
		return key, nil, wrongType("fn", "a function", L.Get(3))
	}
	return key, fn, nil
}

// computed is what a function of a script returned: a value, or none with what it says about that.
type computed struct {
	value, message, kind lua.LValue
	said                 error // the error that stands for the latter
}

// call calls a function of a script. What it raises passes through. It cannot yield: gopher-lua would go on in the coroutine's
// caller with the Go frames between still there, and crash. To a coroutine without a parent it says so.
func call(L *lua.LState, fn *lua.LFunction, arg lua.LValue) computed {
	parent := L.Parent
	L.Parent = nil
	defer func() { L.Parent = parent }()
	L.Push(fn)
	L.Push(arg)
	L.Call(1, 3)
	c := computed{value: L.Get(-3), message: L.Get(-2), kind: L.Get(-1)}
	L.Pop(3)
	return c
}

// encode returns the stored form of a computed value, or an [store.ErrAborted] where there is none.
func (c *computed) encode(h *store.Handle) ([]byte, error) {
	if c.value != lua.LNil {
		return Encode(c.value, h.Limits().Value())
	}
	c.said = store.Errorf(store.ErrAborted, "aborted: the function returned no value")
	if text, ok := c.message.(lua.LString); ok {
		c.said = store.Errorf(store.ErrAborted, "aborted: %s", short(string(text)))
	}
	return nil, c.said
}

// fail is the [fail] of a method whose function may have aborted it: then it returns what the function said, of which an observer
// sees no more than the beginning.
func (c *computed) fail(L *lua.LState, err error) int {
	if c.said == nil || !errors.Is(err, c.said) {
		return fail(L, err)
	}
	message, kind := c.message, c.kind
	if lua.LVIsFalse(message) {
		message = lua.LString("aborted: the function returned no value")
	}
	if _, ok := kind.(lua.LString); !ok {
		kind = lua.LString(store.Kind(err))
	}
	L.Push(lua.LNil)
	L.Push(message)
	L.Push(kind)
	return 3
}
