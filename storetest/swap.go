package storetest

import (
	"bytes"
	"errors"
	"sync/atomic"

	"github.com/luastore/store"
)

// swapRules are about CompareAndSwap.
var swapRules = []rule{
	{name: "WritesWhenTheBytesAreEqual", test: func(s *space) {
		s.set("t:k", one, 0)
		s.want("CompareAndSwap", s.swap("t:k", one, two, 0), true)
		s.wantValue("t:k", two)
	}},
	{name: "LeavesAnotherValueUntouched", timed: true, test: func(s *space) {
		s.set("t:k", one, long)
		s.want("CompareAndSwap", s.swap("t:k", two, str("three"), 0), false)
		s.want("CompareAndSwap that deletes", s.swap("t:k", two, nil, 0), false)
		s.wantValue("t:k", one)
		s.wantLeft("t:k", long)
	}},
	// Backends that compare numbers, text or prefixes take some of these for equal.
	{name: "ComparesEveryByte", test: func(s *space) {
		v := everyByte()
		s.set("t:k", v, 0)
		for _, old := range notQuite(v) {
			s.want("CompareAndSwap of something similar", s.swap("t:k", old, one, 0), false)
		}
		s.want("CompareAndSwap", s.swap("t:k", v, one, 0), true)
	}},
	{name: "ComparesOneMebibyte", test: func(s *space) {
		v := big(s.largest(1<<20), "x")
		s.set("t:k", v, 0)
		other := bytes.Clone(v)
		other[len(other)-1]++
		s.want("CompareAndSwap of another", s.swap("t:k", other, one, 0), false)
		s.want("CompareAndSwap", s.swap("t:k", v, other, 0), true)
		s.wantValue("t:k", other)
	}},
	{name: "NilOldOnlyIfAbsent", test: func(s *space) {
		s.want("CompareAndSwap of absent", s.swap("t:k", nil, one, 0), true)
		s.wantValue("t:k", one)
		s.want("CompareAndSwap of present", s.swap("t:k", nil, two, 0), false)
		s.wantValue("t:k", one)
	}},
	{name: "NilNewDeletes", test: func(s *space) {
		s.set("t:k", one, long)
		s.want("CompareAndSwap", s.swap("t:k", one, nil, 0), true)
		s.wantAbsent("t:k")
		s.wantKeys("", 10)
		s.set("t:k", one, store.KeepTTL)
		s.wantLeft("t:k", 0)
	}},
	// It falls out of the two rules before, and some backends need a case of its own for it.
	{name: "BothNilReportsAbsence", test: func(s *space) {
		s.want("CompareAndSwap of absent", s.swap("t:k", nil, nil, 0), true)
		s.wantAbsent("t:k")
		s.set("t:k", one, long)
		s.want("CompareAndSwap of present", s.swap("t:k", nil, nil, 0), false)
		s.wantValue("t:k", one)
		s.wantLeft("t:k", long)
	}},
	{name: "OfAbsentWithOldIsFalseAndCreatesNothing", test: func(s *space) {
		s.want("CompareAndSwap", s.swap("t:k", one, two, 0), false)
		s.want("CompareAndSwap that deletes", s.swap("t:k", one, nil, 0), false)
		s.wantAbsent("t:k")
	}},
	// Each call is the first to meet the expired entry, so that none relies on another to have reclaimed it.
	{name: "OnExpiredCountsAsAbsent", timed: true, test: func(s *space) {
		s.expired("t:k", one)
		s.want("CompareAndSwap with what expired", s.swap("t:k", one, two, 0), false)
		s.wantAbsent("t:k")
		s.expired("t:k", one)
		s.want("CompareAndSwap that deletes what expired", s.swap("t:k", one, nil, 0), false)
		s.expired("t:k", one)
		s.want("CompareAndSwap that reports absence", s.swap("t:k", nil, nil, 0), true)
		s.expired("t:k", one)
		s.want("CompareAndSwap that creates", s.swap("t:k", nil, two, store.KeepTTL), true)
		s.wantValue("t:k", two)
		s.wantLeft("t:k", 0)
	}},
	{name: "SetsTTL", timed: true, test: func(s *space) {
		s.set("t:k", one, 0)
		s.want("CompareAndSwap", s.swap("t:k", one, two, long), true)
		s.wantLeft("t:k", long)
		s.want("CompareAndSwap that creates", s.swap("t:new", nil, two, long), true)
		s.wantLeft("t:new", long)
	}},
	{name: "WithoutTTLClearsTheOldOne", test: func(s *space) {
		s.set("t:k", one, long)
		s.want("CompareAndSwap", s.swap("t:k", one, two, 0), true)
		s.wantLeft("t:k", 0)
	}},
	{name: "KeepTTLKeepsExpiry", timed: true, test: func(s *space) {
		s.set("t:k", one, long)
		s.want("CompareAndSwap", s.swap("t:k", one, two, store.KeepTTL), true)
		s.wantValue("t:k", two)
		s.wantLeft("t:k", long)
		s.set("t:never", one, 0)
		s.want("CompareAndSwap of one that never expires", s.swap("t:never", one, two, store.KeepTTL), true)
		s.wantLeft("t:never", 0)
	}},
	{name: "KeepTTLOfAbsentIsNever", test: func(s *space) {
		s.want("CompareAndSwap", s.swap("t:k", nil, one, store.KeepTTL), true)
		s.wantValue("t:k", one)
		s.wantLeft("t:k", 0)
	}},
	// Databases that count changed rows rather than matching ones answer false here.
	{name: "SameValueStillSetsTTL", timed: true, test: func(s *space) {
		s.set("t:k", one, 0)
		s.want("CompareAndSwap", s.swap("t:k", one, one, long), true)
		s.wantLeft("t:k", long)
	}},
	// The foundation of update, of conditions on versions and of counters.
	{name: "OneWinnerOfManyConcurrent", test: func(s *space) {
		for range s.harness.times(100) {
			s.set("t:k", one, 0)
			oneWinner(s, one)
		}
	}},
	{name: "OneCreatorOfManyConcurrent", test: func(s *space) {
		for range s.harness.times(100) {
			s.delete("t:k")
			oneWinner(s, nil)
		}
	}},
	{name: "OneDeleterOfManyConcurrent", test: func(s *space) {
		for range s.harness.times(100) {
			s.set("t:k", one, 0)
			var won atomic.Int64
			s.together(8, func(int) error {
				swapped, err := s.driver.CompareAndSwap(s.ctx, "t:k", one, nil, 0)
				if swapped {
					won.Add(1)
				}
				return err
			})
			s.want("callers who deleted it", won.Load(), int64(1))
		}
	}},
	{name: "CountsExactlyFromManyConcurrent", test: func(s *space) {
		s.set("t:k", num(0), 0)
		rounds := s.harness.times(50)
		s.together(8, func(int) error {
			for range rounds {
				if err := addBySwapping(s); err != nil {
					return err
				}
			}
			return nil
		})
		s.wantValue("t:k", num(float64(8*rounds)))
	}},
	{name: "KeepTTLBesideTouchLosesNeither", test: func(s *space) {
		for range s.harness.times(100) {
			s.set("t:k", one, 0)
			s.both(func() error {
				swapped, err := s.driver.CompareAndSwap(s.ctx, "t:k", one, two, store.KeepTTL)
				if err == nil && !swapped {
					err = errors.New("not swapped, though the value was equal all the time")
				}
				return err
			}, func() error {
				_, err := s.driver.Touch(s.ctx, "t:k", long)
				return err
			})
			s.wantValue("t:k", two)
			s.wantLeft("t:k", long)
		}
	}},
}

// notQuite returns values that differ from v a little.
func notQuite(v []byte) [][]byte {
	first, last := bytes.Clone(v), bytes.Clone(v)
	first[0]++
	last[len(v)-1]++
	return [][]byte{first, last, v[:len(v)-1], append(bytes.Clone(v), 0), v[1:], {}}
}

// oneWinner lets callers with values of their own swap old at the same time: one of them wins, and its value stays.
func oneWinner(s *space, old []byte) {
	s.Helper()
	const callers = 8
	var swapped [callers]bool
	s.together(callers, func(i int) (err error) {
		swapped[i], err = s.driver.CompareAndSwap(s.ctx, "t:k", old, num(float64(i)), 0)
		return err
	})
	winner := -1
	for i, won := range swapped {
		if won && winner >= 0 {
			s.Fatalf("callers %d and %d have both swapped the same value", winner, i)
		}
		if won {
			winner = i
		}
	}
	if winner < 0 {
		s.Fatalf("none of %d callers has swapped the value", callers)
	}
	s.wantValue("t:k", num(float64(winner)))
}

// addBySwapping adds one to a counter, again until no other writer comes between.
func addBySwapping(s *space) error {
	for {
		old, err := s.driver.Get(s.ctx, "t:k")
		if err != nil {
			return err
		}
		swapped, err := s.driver.CompareAndSwap(s.ctx, "t:k", old, num(number(old)+1), 0)
		if swapped || err != nil {
			return err
		}
	}
}
