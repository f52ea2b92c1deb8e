package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/script"
)

// fetchRules are about many units that miss the same entry at the same time.
var fetchRules = []rule{
	{name: "ManyUnitsThatMissAKeyComputeItOnce", test: func(s *space) {
		const units = 1000
		f := s.fetching(units, func(int64) ([]byte, error) { return one, nil })
		s.want("calls of the function", f.calls.Load(), int64(1))
		s.want("units that computed", f.misses.Load(), int64(1))
		s.want("units that got the value", f.misses.Load()+f.hits.Load(), int64(units))
		s.wantValue("t:k", one)
	}},
	{name: "ManyUnitsTakeOverFromOneThatFails", test: func(s *space) {
		const units = 100
		f := s.fetching(units, func(call int64) ([]byte, error) {
			if call <= 3 {
				return nil, errMine
			}
			return one, nil
		})
		s.want("calls of the function", f.calls.Load(), int64(4))
		s.want("units that failed", f.failures.Load(), int64(3))
		s.want("units that computed", f.misses.Load(), int64(1))
		s.want("units that got the value", f.misses.Load()+f.hits.Load(), int64(units-3))
		s.wantValue("t:k", one)
	}},
	{name: "ManyUnitsInLuaThatMissAKeyComputeItOnce", test: func(s *space) {
		const units = 100
		s.inLua(units, `
			local v, err, how = s:fetch("t:k", function()
				assert(s:incr("t:calls"))
				while s:get("t:begun") < units do end
				return {n = 5}
			end)
			expect(v, err).is({n = 5}, nil)
			assert(s:incr("t:" .. how))`)
		s.wantValue("t:calls", num(1))
		s.wantValue("t:miss", num(1))
		s.wantValue("t:hit", num(units-1))
	}},
	{name: "ManyUnitsInLuaTakeOverFromOneThatFails", test: func(s *space) {
		const units = 30
		s.inLua(units, `
			local v, err, how = s:fetch("t:k", function()
				while s:get("t:begun") < units do end
				if assert(s:incr("t:calls")) == 1 then return nil, "not yet", "mine" end
				return 5
			end)
			if v == nil then
				expect(err, how).is("not yet", "mine")
			else
				expect(v, err).is(5, nil)
			end
			assert(s:incr("t:" .. how))`)
		s.wantValue("t:calls", num(2))
		s.wantValue("t:mine", num(1))
		s.wantValue("t:miss", num(1))
		s.wantValue("t:hit", num(units-2))
	}},
	{name: "WaiterTakesOverFromAUnitThatHasEnded", test: func(s *space) {
		leader := s.stuck("t:k")
		s.must("End", leader.unit.End())
		v, hit, err := s.handle.Fetch(s.ctx, "t:k", 0, func(context.Context) ([]byte, error) { return two, nil })
		s.must("Fetch", err)
		s.want("value", v, two)
		s.want("hit", hit, false)
		s.wantKind("Fetch of the unit that has ended", leader.goOn(), "released")
		s.wantValue("t:k", two)
	}},
	{name: "WaiterObeysItsOwnDeadline", test: func(s *space) {
		leader := s.stuck("t:k")
		defer leader.unit.End()
		ctx, cancel := context.WithTimeout(s.ctx, 20*time.Millisecond)
		defer cancel()
		_, _, err := s.handle.Fetch(ctx, "t:k", 0, func(context.Context) ([]byte, error) { return two, nil })
		s.wantKind("Fetch", err, "timeout")
		s.must("Fetch of the unit that computes", leader.goOn())
		s.wantValue("t:k", one)
	}},
	// Each computes something for which it needs what the next computes, and the last needs the first.
	{name: "FetchesThatNeedEachOtherEnd", test: func(s *space) {
		for _, n := range []int{1, 2, 8} {
			s.ring(n, func(_, inner context.Context) context.Context { return inner })
		}
	}},
	{name: "FetchesThatNeedEachOtherEndThoughTheyForgetTheContext", test: func(s *space) {
		for _, n := range []int{2, 8} {
			s.ring(n, func(outer, _ context.Context) context.Context { return outer })
		}
	}},
	{name: "FetchesInLuaThatNeedEachOtherEnd", test: func(s *space) {
		s.inLua(2, `
			local mine, other = "t:a", "t:b"
			if not s:set("t:first", 1, {if_absent = true}) then mine, other = other, mine end
			expect(s:fetch(mine, function()
				assert(s:incr("t:inside"))
				while s:get("t:inside") < 2 do end
				return s:fetch(other, function() return 5 end)
			end)).is(5, nil, "miss")`)
	}},
}

// errMine is the error of a function that a rule passes.
var errMine = errors.New("mine")

// fetched counts what many fetches of one key came to.
type fetched struct{ calls, misses, hits, failures atomic.Int64 }

// fetching lets units fetch t:k at the same time, each of which expects the value one or errMine. The function is told how often
// it was called, itself included, and does not return before all have begun.
func (s *space) fetching(units int64, fn func(call int64) ([]byte, error)) *fetched {
	s.Helper()
	f := new(fetched)
	var begun atomic.Int64
	s.together(int(units), func(int) error {
		return s.asUnit(func(ctx context.Context, h *store.Handle) error {
			begun.Add(1)
			v, hit, err := h.Fetch(ctx, "t:k", 0, func(context.Context) ([]byte, error) {
				call := f.calls.Add(1)
				for begun.Load() < units && ctx.Err() == nil {
					runtime.Gosched()
				}
				return fn(call)
			})
			switch {
			case errors.Is(err, errMine):
				f.failures.Add(1)
				return nil
			case err == nil && string(v) != string(one):
				return fmt.Errorf("fetch answers %s, want %s", show(v), show(one))
			case hit:
				f.hits.Add(1)
			default:
				f.misses.Add(1)
			}
			return err
		})
	})
	return f
}

// inLua runs Lua in many units at the same time, each with a state of its own. It finds their number in units, and in t:begun
// how many have begun.
func (s *space) inLua(units int, source string) {
	s.Helper()
	program, err := script.Compile("units", luaPrelude+"local units = ...\nassert(s:incr(\"t:begun\"))\n"+source)
	s.must("Compile", err)
	runner := script.New(s.handle.registry, nil)
	s.together(units, func(int) error { return runner.Exec(s.ctx, program, units) })
}

// A leader is a unit that computes a value until it is told to go on.
type leader struct {
	unit *store.Unit
	goOn func() error // returns what its fetch returned
}

// stuck returns a leader that computes the value one of key.
func (s *space) stuck(key string) leader {
	s.Helper()
	ctx, unit := s.handle.registry.Begin(s.ctx, "leader")
	h, err := store.Get(ctx, "test")
	s.must("Get of the store", err)
	inside, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_, _, err := h.Fetch(ctx, key, 0, func(context.Context) ([]byte, error) {
			close(inside)
			select {
			case <-goOn:
			case <-s.ctx.Done(): // the rule has failed
			}
			return one, nil
		})
		done <- err
	}()
	s.returns("Fetch before it calls its function", func() { <-inside })
	return leader{unit, func() error {
		close(goOn)
		return <-done
	}}
}

// ring lets n units fetch a key each, in whose function each fetches the key of the next, when all are inside of theirs. The
// context of that is what with returns for the unit's own and the one that the function got.
func (s *space) ring(n int, with func(outer, inner context.Context) context.Context) {
	s.Helper()
	key := func(i int) string { return fmt.Sprintf("t:%d of %d", i%n, n) }
	var inside atomic.Int64
	s.together(n, func(i int) error {
		return s.asUnit(func(outer context.Context, h *store.Handle) error {
			_, _, err := h.Fetch(outer, key(i), 0, func(inner context.Context) ([]byte, error) {
				for inside.Add(1); inside.Load() < int64(n) && outer.Err() == nil; {
					runtime.Gosched()
				}
				v, _, err := h.Fetch(with(outer, inner), key(i+1), 0, func(context.Context) ([]byte, error) { return one, nil })
				return v, err
			})
			return err
		})
	})
	for i := range n {
		s.wantValue(key(i), one)
	}
}
