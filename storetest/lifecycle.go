package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
)

// An op is one method, called on the entries that [space.seed] writes, for rules that hold for every method.
type op struct {
	name   string
	needs  func(*space) bool
	writes bool
	call   func(ctx context.Context, d store.Driver) error
}

var ops = []op{
	{"Get", nil, false, func(ctx context.Context, d store.Driver) error {
		_, err := d.Get(ctx, "t:k")
		return err
	}},
	{"Entry", nil, false, func(ctx context.Context, d store.Driver) error {
		_, _, err := d.Entry(ctx, "t:k")
		return err
	}},
	{"TTL", nil, false, func(ctx context.Context, d store.Driver) error {
		_, err := d.TTL(ctx, "t:k")
		return err
	}},
	{"Has", nil, false, func(ctx context.Context, d store.Driver) error {
		_, err := d.Has(ctx, "t:k")
		return err
	}},
	{"Set", nil, true, func(ctx context.Context, d store.Driver) error { return d.Set(ctx, "t:k", two, 0) }},
	{"Delete", nil, true, func(ctx context.Context, d store.Driver) error {
		_, err := d.Delete(ctx, "t:k")
		return err
	}},
	{"Touch", nil, true, func(ctx context.Context, d store.Driver) error {
		_, err := d.Touch(ctx, "t:k", 0)
		return err
	}},
	{"CompareAndSwap", nil, true, func(ctx context.Context, d store.Driver) error {
		_, err := d.CompareAndSwap(ctx, "t:k", one, two, 0)
		return err
	}},
	{"List", nil, false, func(ctx context.Context, d store.Driver) error {
		_, err := d.List(ctx, "t:", "", 10)
		return err
	}},
	{"Incr", isCounter, true, func(ctx context.Context, d store.Driver) error {
		_, err := d.(store.Counter).Incr(ctx, "t:n", 1, 0, 0)
		return err
	}},
	{"GetMany", isBatcher, false, func(ctx context.Context, d store.Driver) error {
		_, err := d.(store.Batcher).GetMany(ctx, []string{"t:k", "t:n", "t:absent"})
		return err
	}},
	{"SetMany", isBatcher, true, func(ctx context.Context, d store.Driver) error {
		return d.(store.Batcher).SetMany(ctx, []store.Item{{Key: "t:k", Value: two}, {Key: "t:new", Value: two}}, 0)
	}},
	{"DeleteMany", isBatcher, true, func(ctx context.Context, d store.Driver) error {
		_, err := d.(store.Batcher).DeleteMany(ctx, []string{"t:k", "t:n", "t:absent"})
		return err
	}},
}

// seed writes what ops work on.
func (s *space) seed() {
	s.Helper()
	s.set("t:k", one, long)
	s.set("t:n", num(5), 0)
}

// wantSeed states that everything is as seed left it.
func (s *space) wantSeed() {
	s.Helper()
	s.wantKeys("", 10, "t:k", "t:n")
	s.wantValue("t:k", one)
	s.wantLeft("t:k", long)
	s.wantValue("t:n", num(5))
	s.wantLeft("t:n", 0)
}

// perOp returns a rule for each method, named for the method and what is said of it.
func perOp(says string, test func(s *space, o op)) []rule {
	var rules []rule
	for _, o := range ops {
		rules = append(rules, rule{name: o.name + says, needs: o.needs, test: func(s *space) { test(s, o) }})
	}
	return rules
}

// do calls o until it answers an error and returns that; a driver that answers none in time ends the rule.
func (s *space) do(ctx context.Context, o op) error {
	s.Helper()
	var err error
	s.eventually(o.name+" answers an error", lateness, func() bool {
		// A miss is no error here: these calls delete what others read.
		if err = o.call(ctx, s.driver); store.Kind(err) == "not_found" {
			err = nil
		}
		return err != nil
	})
	return err
}

// contextRules are about a context that ends.
var contextRules = slices.Concat(
	perOp("AfterCancelAnswersCanceledAndChangesNothing", func(s *space, o op) {
		s.seed()
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		s.wantKind(o.name, o.call(ctx, s.driver), "canceled")
		s.wantSeed()
	}),
	perOp("AfterDeadlineAnswersTimeoutAndChangesNothing", func(s *space, o op) {
		s.seed()
		ctx, cancel := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
		defer cancel()
		s.wantKind(o.name, o.call(ctx, s.driver), "timeout")
		s.wantSeed()
	}),
	perOp("BesideCancelAnswersCanceled", func(s *space, o op) {
		s.seed()
		ctx, cancel := context.WithCancel(s.ctx)
		stop := time.AfterFunc(5*time.Millisecond, cancel)
		defer stop.Stop()
		s.wantKind(o.name, s.do(ctx, o), o.interrupted("canceled")...)
	}),
	perOp("WhileItsDeadlinePassesAnswersTimeout", func(s *space, o op) {
		s.seed()
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Millisecond)
		defer cancel()
		s.wantKind(o.name, s.do(ctx, o), o.interrupted("timeout")...)
	}),
	[]rule{
		// A unit ends with its context, and what it wrote stays.
		{name: "ThatEndsAfterACallUndoesNothing", test: func(s *space) {
			ctx, cancel := context.WithCancel(s.ctx)
			s.must("Set", s.driver.Set(ctx, "t:k", one, 0))
			v, err := s.driver.Get(ctx, "t:k")
			s.must("Get", err)
			cancel()
			s.want("value read before", v, one)
			s.wantValue("t:k", one)
		}},
	},
)

// interrupted returns the kinds of error that o may answer when it is cut off: a write may not know what became of it.
func (o op) interrupted(kind string) []string {
	if o.writes {
		return []string{kind, "unknown_outcome"}
	}
	return []string{kind}
}

// openRules are about opening.
var openRules = []rule{
	{name: "GivesAnEmptySpace", test: func(s *space) {
		s.wantKeys("", 10)
	}},
	// The first unit of work that needs a store opens it for all the others.
	{name: "OutlivesTheContextItWasOpenedWith", test: func(s *space) {
		s.must("Close", s.driver.Close())
		ctx, cancel := context.WithCancel(s.ctx)
		d, err := s.opener.Open(ctx)
		s.must("Open", err)
		s.driver = d
		s.set("t:before", one, 0)
		cancel()
		s.set("t:k", one, 0)
		s.wantValue("t:k", one)
		s.wantKeys("", 10, "t:before", "t:k")
	}},
	// With a driver, if it dials later, or an error that tells why.
	{name: "WithAnEndedContextReturns", test: func(s *space) {
		s.must("Close", s.driver.Close())
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		s.returns("Open", func() {
			d, err := s.opener.Open(ctx)
			if err == nil {
				s.driver = d
			} else if kind := store.Kind(err); kind != "canceled" && kind != "unavailable" {
				s.Errorf("Open with a cancelled context: error %v of kind %q", err, kind)
			}
		})
	}},
	{name: "ByManyAtOnceIsSafe", needs: isShared, test: func(s *space) {
		s.together(8, func(i int) error {
			d, err := s.opener.Open(s.ctx)
			if err != nil {
				return err
			}
			key := fmt.Sprintf("t:%d", i)
			if err := d.Set(s.ctx, key, one, 0); err != nil {
				return err
			}
			return d.Close()
		})
		s.want("keys", len(s.list("t:", 10)), 8)
	}},
}

func isShared(s *space) bool { return s.info.Shared }

func isAlone(s *space) bool { return !s.info.Shared }

func isPersistent(s *space) bool { return s.harness.Persistent }

func isForgetful(s *space) bool { return isAlone(s) && !isPersistent(s) }

// closeRules are about Close.
var closeRules = slices.Concat(
	perOp("AfterCloseAnswersUnavailable", func(s *space, o op) {
		s.seed()
		s.must("Close", s.driver.Close())
		s.returns(o.name, func() {
			if err := o.call(s.ctx, s.driver); store.Kind(err) != "unavailable" {
				s.Errorf("%s after Close: error %v of kind %q, want unavailable", o.name, err, store.Kind(err))
			}
		})
	}),
	[]rule{
		// A host may close what a registry closes too.
		{name: "IsIdempotent", test: func(s *space) {
			s.set("t:k", one, 0)
			for range 3 {
				s.returns("Close", func() {
					if err := s.driver.Close(); err != nil {
						s.Errorf("Close: %v", err)
					}
				})
			}
		}},
		{name: "OfADriverNeverUsedReturns", test: func(s *space) {
			s.returns("Close", func() { s.driver.Close() })
		}},
		{name: "ByManyAtOnceIsSafe", test: func(s *space) {
			s.seed()
			s.together(8, func(int) error { return s.driver.Close() })
		}},
		// As a host shuts down that does not wait for its scripts.
		{name: "MakesCallsInFlightReturn", test: makesCallsInFlightReturn},
		{name: "LeavesNoGoroutineBehind", test: leavesNoGoroutineBehind},
		{name: "ThenOpenFindsWhatWasThere", needs: isPersistent, test: func(s *space) {
			s.seed()
			s.delete("t:k")
			s.set("t:k", one, long)
			s.set("t:gone", one, 0)
			s.delete("t:gone")
			s.must("Close", s.driver.Close())
			s.reopen()
			s.wantSeed()
		}},
		{name: "ThenOpenFindsNothingUnlessPersistent", needs: isForgetful, test: func(s *space) {
			s.seed()
			s.must("Close", s.driver.Close())
			s.reopen()
			s.wantKeys("", 10)
			s.wantAbsent("t:k")
		}},
		{name: "OfOneConnectionLeavesOthersOpen", needs: isShared, test: func(s *space) {
			other := s.another()
			other.seed()
			s.must("Close", other.driver.Close())
			s.wantSeed()
		}},
	},
)

// makesCallsInFlightReturn closes a driver while every method is being called, over and over.
func makesCallsInFlightReturn(s *space) {
	s.seed()
	var running sync.WaitGroup
	var calls atomic.Int64
	errs := make(chan string, len(ops))
	for _, o := range ops {
		if o.needs != nil && !o.needs(s) {
			continue
		}
		running.Go(func() {
			var err error
			for kind := ""; kind == "" || kind == "not_found"; kind = store.Kind(err) {
				err = o.call(s.ctx, s.driver)
				calls.Add(1)
			}
			if !slices.Contains(o.interrupted("unavailable"), store.Kind(err)) {
				errs <- fmt.Sprintf("%s beside Close: error %v of kind %q", o.name, err, store.Kind(err))
			}
		})
	}
	s.eventually("calls run", patience, func() bool { return calls.Load() > 500 })
	s.returns("Close beside calls in flight", func() { s.driver.Close() })
	s.returns("a call beside Close", running.Wait)
	close(errs)
	for err := range errs {
		s.Errorf("%s", err)
	}
}

// leavesNoGoroutineBehind uses and closes a driver and looks at what still runs.
func leavesNoGoroutineBehind(s *space) {
	s.must("Close", s.driver.Close())
	before := goleak.IgnoreCurrent()
	s.reopen()
	for _, o := range ops {
		if o.needs == nil || o.needs(s) {
			_ = o.call(s.ctx, s.driver)
		}
	}
	s.together(8, func(int) error { return s.driver.Set(s.ctx, "t:k", one, long) })
	s.must("Close", s.driver.Close())
	if err := goleak.Find(before, goleak.IgnoreTopFunction("testing.(*T).Run")); err != nil {
		s.Fatalf("after Close: %v", err)
	}
}
