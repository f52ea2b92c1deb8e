package storelua

import (
	"context"
	"errors"
	"math"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/encoded"
)

// Preload makes require("store") work in L. It registers [Loader] and nothing else.
func Preload(L *lua.LState) { L.PreloadModule("store", Loader) }

// Loader is the loader of the module: it pushes a fresh one, which shares with others of the same state only what must be one.
func Loader(L *lua.LState) int {
	m := moduleOf(L)
	handles := sealed(L, "store", m.methods())
	L.SetField(handles, "__tostring", L.NewFunction(handleString))
	ud := L.NewUserData()
	mt := sealed(L, "store module", map[string]lua.LGFunction{
		"get": func(L *lua.LState) int { return open(L, handles) },
	})
	L.SetField(L.GetField(mt, "__index"), "REMOVE", m.remove)
	ud.Metatable = mt
	L.Push(ud)
	return 1
}

// A module is what the stores of one Lua state share, however often it is loaded there.
type module struct {
	never  lua.LNumber    // stands for a ttl that never ends
	remove *lua.LUserData // store.REMOVE
	// fetching counts the functions of fetches that are running. Whatever coroutine a fetch is called in meanwhile, it is called
	// by one of them, as a state does one thing at a time.
	fetching int
	encoder  encoder // of what set is given: a state does one thing at a time, and encoding runs no script
}

// registered is where the registry of a state, which scripts cannot reach, has its module.
const registered = "github.com/luastore/store/storelua"

// moduleOf returns the module of a state.
func moduleOf(L *lua.LState) *module {
	if ud, ok := L.G.Registry.RawGetString(registered).(*lua.LUserData); ok {
		if m, ok := ud.Value.(*module); ok {
			return m
		}
	}
	m := &module{never: huge(L), remove: L.NewUserData()}
	m.remove.Value = remover{}
	m.remove.Metatable = sealed(L, "store.REMOVE", nil)
	ud := L.NewUserData()
	ud.Value = m
	L.G.Registry.RawSetString(registered, ud)
	return m
}

// A remover is what store.REMOVE holds.
type remover struct{}

// methods are what a store can do.
func (m *module) methods() map[string]lua.LGFunction {
	return map[string]lua.LGFunction{
		"get": get, "set": m.set, "delete": remove, "has": has, "ttl": m.ttl, "touch": touch, "entry": m.entry,
		"incr": incr, "update": m.update, "fetch": m.fetch,
		"get_many": getMany, "set_many": setMany, "delete_many": deleteMany,
		"list": listPage, "each": each,
		"info": m.info, "release": release,
	}
}

// sealed returns a metatable through which a userdata has functions that no script can change or look behind.
func sealed(L *lua.LState, name string, funcs map[string]lua.LGFunction) *lua.LTable {
	mt := L.CreateTable(0, 4)
	L.SetField(mt, "__index", L.SetFuncs(L.CreateTable(0, len(funcs)), funcs))
	L.SetField(mt, "__metatable", lua.LString(name))
	L.SetField(mt, "__newindex", L.NewFunction(func(L *lua.LState) int {
		L.RaiseError("cannot change %s: it is read-only", name)
		return 0
	}))
	L.SetField(mt, "__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString(name))
		return 1
	}))
	return mt
}

// open is store.get(id).
func open(L *lua.LState, handles *lua.LTable) int {
	id, ok := L.Get(1).(lua.LString)
	if !ok {
		hint := ""
		if L.Get(1).Type() == lua.LTUserData {
			hint = `; call it with a dot, as in store.get("cache_store")`
		}
		return fail(L, store.Errorf(store.ErrInvalid, "invalid store id: want a string, got %s%s", typeName(L.Get(1)), hint))
	}
	h, err := store.Get(L.Context(), string(id))
	if err != nil {
		return fail(L, err)
	}
	ud := L.NewUserData()
	ud.Value = h
	ud.Metatable = handles
	return done(L, ud)
}

// self returns the store that a method was called on. A wrong one raises, as the mistake is in the script's syntax.
func self(L *lua.LState) *store.Handle {
	if ud, ok := L.Get(1).(*lua.LUserData); ok {
		if h, ok := ud.Value.(*store.Handle); ok {
			return h
		}
	}
	L.RaiseError("bad self: want a store, got %s; call methods with a colon, as in s:get(key)", typeName(L.Get(1)))
	return nil
}

// keyOf returns argument 2 of a method, which must be a string: numbers are not coerced.
func keyOf(L *lua.LState) (string, error) {
	if key, ok := L.Get(2).(lua.LString); ok {
		return string(key), nil
	}
	return "", store.Errorf(store.ErrInvalid, `invalid key: want a string "namespace:name", got %s`, typeName(L.Get(2)))
}

// ttlOf returns the ttl in argument n, or none if that is absent.
func ttlOf(L *lua.LState, n int, none time.Duration) (time.Duration, error) {
	return secondsOf(L.Get(n), none)
}

// secondsOf returns the ttl that a value stands for, or none if it is nil.
func secondsOf(v lua.LValue, none time.Duration) (time.Duration, error) {
	switch v := v.(type) {
	case *lua.LNilType:
		return none, nil
	case lua.LNumber:
		return store.Seconds(float64(v))
	default:
		return 0, store.Errorf(store.ErrInvalid, "invalid ttl: want a number of seconds, got %s", typeName(v))
	}
}

// typeName names the type of an argument in a message.
func typeName(v lua.LValue) string {
	if v == nil || v == lua.LNil {
		return "nil"
	}
	return v.Type().String()
}

// contextOf returns the context of an operation.
func contextOf(L *lua.LState) context.Context {
	if ctx := L.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

// Context returns the context for what a host function, called with L, does with stores: that of L, and while a script computes a
// value for fetch one in which no fetch waits for another (see [store.Computing]), whatever coroutine calls the function. A state
// without a context has [context.Background].
func Context(L *lua.LState) context.Context {
	if ud, ok := L.G.Registry.RawGetString(registered).(*lua.LUserData); ok {
		if m, ok := ud.Value.(*module); ok {
			return m.context(L)
		}
	}
	return contextOf(L)
}

// context returns the context of a fetch.
func (m *module) context(L *lua.LState) context.Context {
	ctx := contextOf(L)
	if m.fetching > 0 {
		ctx = store.Computing(ctx)
	}
	return ctx
}

// The results of a miss, boxed once so that a miss allocates nothing.
var (
	missMessage lua.LValue = lua.LString(store.ErrNotFound.Error())
	missKind    lua.LValue = lua.LString(store.Kind(store.ErrNotFound))
)

// fail returns nil, message, kind; of a batch that failed in part, the keys that failed too.
func fail(L *lua.LState, err error) int {
	L.Push(lua.LNil)
	if errors.Is(err, store.ErrNotFound) {
		L.Push(missMessage)
		L.Push(missKind)
		return 3
	}
	L.Push(lua.LString(store.Message(err)))
	L.Push(lua.LString(store.Kind(err)))
	var batch *store.BatchError
	if errors.As(err, &batch) {
		L.Push(array(L, batch.Keys()))
		return 4
	}
	return 3
}

// array returns an array of strings.
func array(L *lua.LState, all []string) *lua.LTable {
	t := L.CreateTable(len(all), 0)
	for _, s := range all {
		t.Append(lua.LString(s))
	}
	return t
}

// failed is fail for what a handle does not see, arguments that never reach it and values that turn out to be corrupt: it is told.
func failed(L *lua.LState, h *store.Handle, op store.Op, key string, err error) int {
	return fail(L, h.Fail(contextOf(L), op, key, err))
}

// done returns v, nil.
func done(L *lua.LState, v lua.LValue) int {
	L.Push(v)
	L.Push(lua.LNil)
	return 2
}

// answer returns what a boolean operation answered.
func answer(L *lua.LState, v bool, err error) int {
	if err != nil {
		return fail(L, err)
	}
	return done(L, lua.LBool(v))
}

// get is s:get(key [, default]).
func get(L *lua.LState) int {
	h := self(L)
	key, err := keyOf(L)
	if err != nil {
		return failed(L, h, store.OpGet, key, err)
	}
	b, err := h.Get(contextOf(L), key)
	if err != nil {
		if L.GetTop() > 2 && errors.Is(err, store.ErrNotFound) {
			return done(L, L.Get(3))
		}
		return fail(L, err)
	}
	v, err := Decode(L, b, h.Limits().Value())
	if err != nil {
		return failed(L, h, store.OpGet, key, err)
	}
	return done(L, v)
}

// set is s:set(key, value [, ttl or options]).
func (m *module) set(L *lua.LState) int {
	h := self(L)
	key, err := keyOf(L)
	if err != nil {
		return failed(L, h, store.OpSet, key, err)
	}
	if _, ok := L.Get(4).(*lua.LTable); ok {
		return m.setWith(L, h, key)
	}
	expiry, err := ttlOf(L, 4, store.DefaultTTL)
	if err != nil {
		return failed(L, h, store.OpSet, key, err)
	}
	b, err := m.encode(L.Get(3), h.Limits().Value())
	if err != nil {
		return failed(L, h, store.OpSet, key, err)
	}
	if err := h.SetEncoded(contextOf(L), key, encoded.Of(b), expiry); err != nil {
		return fail(L, err)
	}
	return done(L, lua.LTrue)
}

// setWith is set with options.
func (m *module) setWith(L *lua.LState, h *store.Handle, key string) int {
	w, err := writeOf(L, 4)
	if err != nil {
		return failed(L, h, store.OpSet, key, err)
	}
	b, err := m.encode(L.Get(3), h.Limits().Value())
	if err != nil {
		return failed(L, h, store.OpSet, key, err)
	}
	written := true
	switch ctx := contextOf(L); {
	case w.absent:
		written, err = h.SetIfAbsent(ctx, key, b, w.ttl)
	case w.version != "":
		written, err = h.SetIfVersion(ctx, key, b, w.version, w.ttl)
	default:
		err = h.SetEncoded(ctx, key, encoded.Of(b), w.ttl)
	}
	return answer(L, written, err)
}

// remove is s:delete(key [, options]).
func remove(L *lua.LState) int {
	h := self(L)
	key, err := keyOf(L)
	if err != nil {
		return failed(L, h, store.OpDelete, key, err)
	}
	if L.Get(3) != lua.LNil {
		return removeIf(L, h, key)
	}
	existed, err := h.Delete(contextOf(L), key)
	return answer(L, existed, err)
}

// removeIf is remove with options.
func removeIf(L *lua.LState, h *store.Handle, key string) int {
	o, err := optionsOf(L, 3, deleteOptionNames)
	if err != nil {
		return failed(L, h, store.OpDelete, key, err)
	}
	version, versioned, err := o.version()
	if err != nil {
		return failed(L, h, store.OpDelete, key, err)
	}
	var existed bool
	if versioned {
		existed, err = h.DeleteIfVersion(contextOf(L), key, version)
	} else {
		existed, err = h.Delete(contextOf(L), key)
	}
	return answer(L, existed, err)
}

// has is s:has(key).
func has(L *lua.LState) int {
	h := self(L)
	key, err := keyOf(L)
	if err != nil {
		return failed(L, h, store.OpHas, key, err)
	}
	found, err := h.Has(contextOf(L), key)
	return answer(L, found, err)
}

// release is s:release().
func release(L *lua.LState) int {
	self(L).Release()
	L.Push(lua.LTrue)
	return 1
}

// ttl is s:ttl(key): the seconds left, math.huge for never.
func (m *module) ttl(L *lua.LState) int {
	h := self(L)
	key, err := keyOf(L)
	if err != nil {
		return failed(L, h, store.OpTTL, key, err)
	}
	left, err := h.TTL(contextOf(L), key)
	if err != nil {
		return fail(L, err)
	}
	return done(L, seconds(left, m.never))
}

// entry is s:entry(key): the value with its version and the time it has left.
func (m *module) entry(L *lua.LState) int {
	h := self(L)
	key, err := keyOf(L)
	if err != nil {
		return failed(L, h, store.OpEntry, key, err)
	}
	e, err := h.Entry(contextOf(L), key)
	if err != nil {
		return fail(L, err)
	}
	v, err := Decode(L, e.Value, h.Limits().Value())
	if err != nil {
		return failed(L, h, store.OpEntry, key, err)
	}
	t := L.CreateTable(0, 4)
	t.RawSetString("key", lua.LString(key))
	t.RawSetString("value", v)
	t.RawSetString("version", lua.LString(e.Version()))
	t.RawSetString("ttl", seconds(e.TTL, m.never))
	return done(L, t)
}

// incr is s:incr(key [, delta [, options]]).
func incr(L *lua.LState) int {
	h := self(L)
	key, err := keyOf(L)
	if err != nil {
		return failed(L, h, store.OpIncr, key, err)
	}
	delta, initial, expiry, err := incrOf(L)
	if err != nil {
		return failed(L, h, store.OpIncr, key, err)
	}
	sum, err := h.Incr(contextOf(L), key, delta, initial, expiry)
	if err != nil {
		return fail(L, err)
	}
	return done(L, number(sum))
}

// incrOf returns the arguments of incr behind the key.
func incrOf(L *lua.LState) (delta, initial float64, expiry time.Duration, err error) {
	if delta, err = numberOf("delta", L.Get(3), 1); err != nil {
		return 0, 0, 0, err
	}
	o, err := optionsOf(L, 4, incrOptionNames)
	if err != nil {
		return 0, 0, 0, err
	}
	if initial, err = o.number("initial", 0); err != nil {
		return 0, 0, 0, err
	}
	expiry, err = o.ttl(store.DefaultTTL)
	return delta, initial, expiry, err
}

// huge returns the math.huge of a state, which stands for never: gopher-lua's is the largest float, not infinity. It is looked
// up when the module is loaded, as scripts can change it.
func huge(L *lua.LState) lua.LNumber {
	if m, ok := L.G.Global.RawGetString("math").(*lua.LTable); ok {
		if huge, ok := m.RawGetString("huge").(lua.LNumber); ok {
			return huge
		}
	}
	return lua.LNumber(math.Inf(1))
}

// seconds returns a ttl as scripts see it.
func seconds(ttl time.Duration, never lua.LNumber) lua.LNumber {
	if ttl == 0 {
		return never
	}
	return lua.LNumber(ttl.Seconds())
}

// touch is s:touch(key [, ttl]); without a ttl the entry never expires.
func touch(L *lua.LState) int {
	h := self(L)
	key, err := keyOf(L)
	if err != nil {
		return failed(L, h, store.OpTouch, key, err)
	}
	expiry, err := ttlOf(L, 3, 0)
	if err != nil {
		return failed(L, h, store.OpTouch, key, err)
	}
	existed, err := h.Touch(contextOf(L), key, expiry)
	return answer(L, existed, err)
}

// info is s:info(): what the store guarantees.
func (m *module) info(L *lua.LState) int {
	h := self(L)
	if err := h.Err(); err != nil {
		return fail(L, err)
	}
	i, l := h.Info(), h.Limits()
	def, most := h.TTLs()
	t := L.CreateTable(0, 8)
	t.RawSetString("driver", lua.LString(i.Driver))
	t.RawSetString("durability", lua.LString(i.Durability))
	t.RawSetString("consistency", lua.LString(i.Consistency))
	t.RawSetString("clock", lua.LString(i.Clock))
	t.RawSetString("shared", lua.LBool(i.Shared))
	t.RawSetString("ordered", lua.LBool(i.Ordered))
	t.RawSetString("ttl_resolution", lua.LNumber(i.TTLResolution.Seconds()))
	limits := L.CreateTable(0, 8)
	for _, f := range []struct {
		name string
		n    int64
	}{
		{"key_bytes", int64(l.KeyBytes)}, {"value_bytes", int64(l.ValueBytes)}, {"depth", int64(l.Depth)},
		{"nodes", int64(l.Nodes)}, {"batch", int64(l.Batch)}, {"batch_bytes", int64(l.BatchBytes)}, {"entries", i.MaxEntries}, {"bytes", i.MaxBytes},
	} {
		if f.n > 0 { // otherwise there is no limit
			limits.RawSetString(f.name, lua.LNumber(f.n))
		}
	}
	limits.RawSetString("default_ttl", seconds(def, m.never))
	limits.RawSetString("max_ttl", seconds(most, m.never))
	t.RawSetString("limits", limits)
	return done(L, t)
}

// handleString is tostring(s).
func handleString(L *lua.LState) int {
	L.Push(lua.LString(self(L).String()))
	return 1
}
