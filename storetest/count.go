package storetest

import (
	"context"
	"runtime"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/script"
)

// incrCountRules are exact counts of what many units add to one number.
var incrCountRules = []rule{
	{name: "IncrOfManyUnitsIsExact", test: func(s *space) {
		s.count(func(ctx context.Context, h *store.Handle, n int) error {
			for range n {
				if _, err := h.Incr(ctx, "t:k", 1, 0, 0); err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{name: "IncrInLuaOfManyUnitsIsExact", test: func(s *space) {
		s.countInLua(`for _ = 1, n do assert(s:incr("t:k")) end`)
	}},
}

// updateCountRules are exact counts of what many units add by reading and writing.
var updateCountRules = []rule{
	{name: "UpdateOfManyUnitsIsExact", test: func(s *space) {
		s.count(func(ctx context.Context, h *store.Handle, n int) error {
			for range n {
				_, err := h.Update(ctx, "t:k", store.KeepTTL, nil, func(old []byte) ([]byte, error) {
					runtime.Gosched() // others come between, also where a call takes no time
					if old == nil {
						return num(1), nil
					}
					return num(number(old) + 1), nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{name: "UpdateInLuaOfManyUnitsIsExact", test: func(s *space) {
		s.countInLua(`for _ = 1, n do assert(s:update("t:k", function(n) return (n or 0) + 1 end)) end`)
	}},
}

// countUnits returns how many units count. A database in this process is slow under the race detector.
func (h Harness) countUnits() int {
	switch {
	case h.CountUnits > 0:
		return h.CountUnits
	case boundtest.Race && h.InProcess && h.Persistent:
		return 16
	}
	return 64
}

// count lets many units add to t:k, each n times, and states the sum.
func (s *space) count(add func(ctx context.Context, h *store.Handle, n int) error) {
	s.Helper()
	n, units := s.harness.increments(), s.harness.countUnits()
	s.together(units, func(int) error {
		return s.asUnit(func(ctx context.Context, h *store.Handle) error { return add(ctx, h, n) })
	})
	s.wantValue("t:k", num(float64(units*n)))
}

// countInLua is count in Lua, where n is how often to add.
func (s *space) countInLua(source string) {
	s.Helper()
	n, units := s.harness.increments(), s.harness.countUnits()
	program, err := script.Compile("count", luaPrelude+"local n = ...\n"+source)
	s.must("Compile", err)
	runner := script.New(s.handle.registry, &script.Options{Timeout: -1})
	s.together(units, func(int) error { return runner.Exec(s.ctx, program, n) })
	s.wantValue("t:k", num(float64(units*n)))
}

// increments returns how often each unit adds: 1000 times, but less where it would take most of the time of all rules, over a
// network or in a database under the race detector, and where rules repeat much less than in everyday tests.
func (h Harness) increments() int {
	n, least := 5000*h.scale(), 100.0
	if h.CountScale > 0 {
		n *= h.CountScale
	}
	if boundtest.Race && (!h.InProcess || h.Persistent) {
		n, least = n/25, 50
	}
	return int(min(1000, max(least, n)))
}
