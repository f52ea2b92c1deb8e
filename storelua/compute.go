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
	b, err := h.Update(contextOf(L), key, expiry, o, func(old []byte) ([]byte, error) {
		current := lua.LValue(lua.LNil)
		if old != nil {
			var err error
			if current, err = Decode(L, old, limits); err != nil {
				return nil, err
			}
		}
		got := call(L, fn, current)
		if got.value == m.remove {
			return nil, store.ErrRemove
		}
		return got.encode(h)
	})
	switch {
	case err != nil:
		return notComputed(L, err)
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
	ctx := m.fetching
	if ctx == nil {
		ctx = contextOf(L)
	}
	b, found, err := h.Fetch(ctx, key, expiry, func(ctx context.Context) ([]byte, error) {
		outer := m.fetching
		m.fetching = ctx
		defer func() { m.fetching = outer }()
		return call(L, fn, lua.LString(key)).encode(h)
	})
	if err != nil {
		return notComputed(L, err)
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
type computed struct{ value, message, kind lua.LValue }

// call calls a function of a script. What it raises passes through. It cannot yield: gopher-lua would go on in the coroutine's
// caller with the Go frames between still there, and crash. To a coroutine without a parent it says so.
func call(L *lua.LState, fn *lua.LFunction, arg lua.LValue) computed {
	parent := L.Parent
	L.Parent = nil
	defer func() { L.Parent = parent }()
	L.Push(fn)
	L.Push(arg)
	L.Call(1, 3)
	c := computed{L.Get(-3), L.Get(-2), L.Get(-1)}
	L.Pop(3)
	return c
}

// encode returns the stored form of a computed value, or an [aborted] where there is none.
func (c computed) encode(h *store.Handle) ([]byte, error) {
	if c.value == lua.LNil {
		return nil, aborted(c)
	}
	return Encode(c.value, h.Limits().Value())
}

// An aborted is the error of a function of a script that returned no value: a [store.ErrAborted] with the message and the kind
// that it returned instead.
type aborted computed

// Error returns the message as a text.
func (a aborted) Error() string {
	if a.message == lua.LNil {
		return "aborted: the function returned no value"
	}
	return a.message.String()
}

// Unwrap returns the sentinel.
func (a aborted) Unwrap() error { return store.ErrAborted }

// notComputed is fail for calls that may return what a function of the script says.
func notComputed(L *lua.LState, err error) int {
	var a aborted
	if !errors.As(err, &a) {
		return fail(L, err)
	}
	L.Push(lua.LNil)
	if a.message == lua.LNil {
		L.Push(lua.LString(a.Error()))
	} else {
		L.Push(a.message)
	}
	if a.kind == lua.LNil {
		L.Push(lua.LString(store.Kind(a)))
	} else {
		L.Push(a.kind)
	}
	return 3
}
