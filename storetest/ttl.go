package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/luastore/store"
)

// ttlRules are about expiry: what sets, keeps and clears it, and when an entry ends.
var ttlRules = slices.Concat([]rule{
	{name: "OfNeverExpiringIsZero", test: func(s *space) {
		s.set("t:k", one, 0)
		s.wantLeft("t:k", 0)
	}},
	{name: "OfAbsentIsNotFound", test: func(s *space) {
		_, err := s.driver.TTL(s.ctx, "t:k")
		s.wantKind("TTL", err, "not_found")
	}},
	{name: "OfExpiredIsNotFound", timed: true, test: func(s *space) {
		s.expired("t:k", one)
		_, err := s.driver.TTL(s.ctx, "t:k")
		s.wantKind("TTL", err, "not_found")
	}},
	// A hundred years in nanoseconds overflow in more ways than one.
	{name: "IsWhatWasSet", timed: true, test: func(s *space) {
		for _, ttl := range []time.Duration{time.Minute * 10, long, 1000 * long, store.MaxTTL} {
			s.set("t:k", one, ttl)
			s.wantLeft("t:k", ttl)
			s.want("Touch", s.touch("t:k", ttl), true)
			s.wantLeft("t:k", ttl)
			s.want("CompareAndSwap", s.swap("t:k", one, one, ttl), true)
			s.wantLeft("t:k", ttl)
		}
	}},
	{name: "GoesDown", timed: true, test: func(s *space) {
		s.set("t:k", one, long)
		before := s.ttl("t:k")
		s.pass(s.brief())
		if after := s.ttl("t:k"); after > before-s.brief()+s.info.TTLResolution {
			s.Fatalf("%v left, and %v after %v", before, after, s.brief())
		}
	}},
	// Idle timeouts are what some backends offer under the name of expiry.
	{name: "IsNotExtendedByReads", timed: true, test: func(s *space) {
		s.set("t:k", one, s.brief())
		s.eventually("the entry expires while it is read", s.brief()+lateness, func() bool {
			_, err := s.driver.Get(s.ctx, "t:k")
			return err != nil
		})
	}},
	// As Redis SET does; a session that was made permanent must not end with its first expiry.
	{name: "SetWithoutTTLClearsTheOldOne", timed: true, test: func(s *space) {
		s.set("t:k", one, s.brief())
		s.set("t:k", two, 0)
		s.wantLeft("t:k", 0)
		s.pass(s.brief())
		s.wantValue("t:k", two)
	}},
	{name: "SetWithALongerTTLReplacesTheOldOne", timed: true, test: func(s *space) {
		s.set("t:k", one, s.brief())
		s.set("t:k", two, long)
		s.wantLeft("t:k", long)
		s.pass(s.brief())
		s.wantValue("t:k", two)
	}},
	{name: "SetWithAShorterTTLReplacesTheOldOne", timed: true, test: func(s *space) {
		s.set("t:k", one, long)
		s.expired("t:k", two)
		s.wantAbsent("t:k")
	}},
	{name: "SetWithKeepTTLKeepsTheOldOne", timed: true, test: func(s *space) {
		s.set("t:k", one, long)
		s.set("t:k", two, store.KeepTTL)
		s.wantValue("t:k", two)
		s.wantLeft("t:k", long)
		s.pass(s.before(func(ttl time.Duration) {
			s.set("t:brief", one, ttl)
			s.set("t:brief", two, store.KeepTTL)
		}))
		s.wantAbsent("t:brief")
	}},
	{name: "SetWithKeepTTLOfNeverExpiringStaysNever", test: func(s *space) {
		s.set("t:k", one, 0)
		s.set("t:k", two, store.KeepTTL)
		s.wantLeft("t:k", 0)
	}},
	{name: "SetWithKeepTTLOfAbsentIsNever", test: func(s *space) {
		s.set("t:k", one, store.KeepTTL)
		s.wantValue("t:k", one)
		s.wantLeft("t:k", 0)
	}},
	// The expiry of an entry that has ended is nobody's.
	{name: "SetWithKeepTTLOfExpiredIsNever", timed: true, test: func(s *space) {
		s.expired("t:k", one)
		s.set("t:k", two, store.KeepTTL)
		s.wantValue("t:k", two)
		s.wantLeft("t:k", 0)
	}},
	// 0 would mean that it never expires.
	{name: "EntryThatExpiresAnswersAtLeast1ms", timed: true, test: entryThatExpiresAnswersAtLeast1ms},
	{name: "ThatWasClearedDoesNotEndTheEntryLater", timed: true, test: func(s *space) {
		// What sweeps expired entries must not act on an expiry that is no longer the entry's.
		s.idle(s.before(func(ttl time.Duration) {
			s.set("t:set", one, ttl)
			s.set("t:set", one, 0)
			s.set("t:touched", one, ttl)
			s.touch("t:touched", 0)
			s.set("t:created", one, ttl)
			s.delete("t:created")
			s.swap("t:created", nil, one, 0)
		}))
		for _, key := range []string{"t:set", "t:touched", "t:created"} {
			s.wantValue(key, one)
			s.wantLeft(key, 0)
		}
	}},
	// Sweeping must stop where what has expired ends.
	{name: "OfOneEntryEndsNoOther", timed: true, test: func(s *space) {
		s.set("t:never", one, 0)
		s.set("t:long", one, 1000*long)
		for i := range 100 {
			s.set("t:brief"+string(rune('a'+i%26)), one, s.brief())
		}
		s.idle(s.brief())
		s.wantKeys("", 10, "t:never", "t:long")
		s.wantValue("t:never", one)
		s.wantValue("t:long", one)
	}},
}, neverEarlyRules())

// idle lets pass what a driver needs to sweep what was written with a ttl: in virtual time all that it could want.
func (s *space) idle(ttl time.Duration) {
	s.Helper()
	d := 3 * ttl
	if s.virtual {
		d = time.Hour
	}
	s.pass(d)
}

// entryThatExpiresAnswersAtLeast1ms asks an entry for its ttl until it has expired: in virtual time in small steps, else as
// often as it can.
func entryThatExpiresAnswersAtLeast1ms(s *space) {
	s.set("t:k", one, s.brief())
	if s.virtual {
		time.Sleep(s.brief() - 2*time.Millisecond)
	}
	for start := time.Now(); time.Since(start) < s.brief()+lateness; {
		_, byEntry, err := s.driver.Entry(s.ctx, "t:k")
		if err == nil && byEntry < time.Millisecond {
			s.Fatalf("Entry says %v left of an entry that expires", byEntry)
		}
		byTTL, err := s.driver.TTL(s.ctx, "t:k")
		if err == nil && byTTL < time.Millisecond {
			s.Fatalf("TTL says %v left of an entry that expires", byTTL)
		}
		if err != nil {
			s.wantKind("TTL", err, "not_found")
			return
		}
		if s.virtual {
			time.Sleep(100 * time.Microsecond)
		}
	}
	s.Fatalf("the entry has not expired")
}

// neverEarlyRules state, for each way to give a ttl, that it is rounded up to the resolution of the driver and no further.
func neverEarlyRules() []rule {
	var rules []rule
	for _, w := range ttlWriters {
		rules = append(rules, rule{name: "Of" + w.name + "IsNeverEarlyAndAtMostOneResolutionLate", needs: w.needs, timed: true, test: func(s *space) {
			if s.virtual {
				exactLives(s, w.write)
			} else {
				polledLives(s, w.write)
			}
		}})
	}
	return rules
}

// ttlWriters are the ways to give an entry a ttl.
var ttlWriters = []struct {
	name  string
	needs func(*space) bool
	write func(s *space, key string, ttl time.Duration)
}{
	{"Set", nil, func(s *space, key string, ttl time.Duration) { s.set(key, one, ttl) }},
	{"Touch", nil, func(s *space, key string, ttl time.Duration) {
		s.set(key, one, long)
		s.want("Touch", s.touch(key, ttl), true)
	}},
	{"CompareAndSwapThatCreates", nil, func(s *space, key string, ttl time.Duration) {
		s.want("CompareAndSwap", s.swap(key, nil, one, ttl), true)
	}},
	{"CompareAndSwapThatReplaces", nil, func(s *space, key string, ttl time.Duration) {
		s.set(key, two, long)
		s.want("CompareAndSwap", s.swap(key, two, one, ttl), true)
	}},
	{"Incr", isCounter, func(s *space, key string, ttl time.Duration) { s.incr(key, 1, 0, ttl) }},
	{"SetMany", isBatcher, func(s *space, key string, ttl time.Duration) {
		s.setMany([]store.Item{{Key: key, Value: one}, {Key: key + "+", Value: one}}, ttl)
	}},
}

// lives returns times to live, whole and fractional, that a rule can wait for.
func (s *space) lives() map[string]time.Duration {
	const ms = time.Millisecond
	lives := map[string]time.Duration{
		"t:a": store.MinTTL, "t:b": ms + 1, "t:c": ms + ms/2, "t:d": 2*ms - 1, "t:e": 10*ms + 1, "t:f": 33*ms + ms/3, "t:g": 49*ms + 999*time.Microsecond,
	}
	if s.virtual {
		lives["t:h"], lives["t:i"] = time.Second+1, 25*time.Hour-1
	}
	return lives
}

// exactLives looks at each entry on both sides of the moment at which it must end.
func exactLives(s *space, write func(*space, string, time.Duration)) {
	for key, ttl := range s.lives() {
		write(s, key, ttl)
		time.Sleep(ttl - 1)
		if !s.has(key) || s.ttl(key) < store.MinTTL {
			s.Fatalf("an entry set for %v has ended, 1ns early or more", ttl)
		}
		time.Sleep(1 + s.info.TTLResolution)
		if s.has(key) {
			s.Fatalf("an entry set for %v is there after %v", ttl, ttl+s.info.TTLResolution)
		}
	}
}

// polledLives watches entries until they end.
func polledLives(s *space, write func(*space, string, time.Duration)) {
	lives := s.lives()
	written := map[string]time.Time{}
	for key, ttl := range lives {
		written[key] = time.Now()
		write(s, key, ttl)
	}
	s.eventually("all entries expire", 60*time.Millisecond+s.info.TTLResolution+lateness, func() bool {
		for key := range written {
			if s.has(key) {
				continue
			}
			if lived := time.Since(written[key]); lived < lives[key] {
				s.Fatalf("an entry set for %v ended after %v", lives[key], lived)
			}
			delete(written, key)
		}
		return len(written) == 0
	})
}

// entryRules are about Entry.
var entryRules = []rule{
	{name: "OfAbsentIsNotFound", test: func(s *space) {
		_, _, err := s.driver.Entry(s.ctx, "t:k")
		s.wantKind("Entry", err, "not_found")
	}},
	{name: "OfExpiredIsNotFound", timed: true, test: func(s *space) {
		s.expired("t:k", one)
		_, _, err := s.driver.Entry(s.ctx, "t:k")
		s.wantKind("Entry", err, "not_found")
	}},
	{name: "IsValueAndTimeLeft", timed: true, test: func(s *space) {
		s.set("t:k", one, long)
		v, ttl := s.entry("t:k")
		s.want("value", v, one)
		s.want("about an hour left", s.near(ttl, long), true)
	}},
	// Two reads, one for the value and one for the time, would tell of an entry that never was.
	{name: "IsOneConsistentRead", test: func(s *space) {
		s.set("t:k", one, long)
		flips := 0
		s.beside(s.harness.times(500), func() error {
			v, ttl, err := s.driver.Entry(s.ctx, "t:k")
			if err == nil && bytes.Equal(v, two) != (ttl == 0) {
				err = fmt.Errorf("Entry answers %q with a ttl of %v, which were never together", v, ttl)
			}
			return err
		}, func() error {
			if flips++; flips%2 == 1 {
				return s.driver.Set(s.ctx, "t:k", two, 0)
			}
			return s.driver.Set(s.ctx, "t:k", one, long)
		})
	}},
}

// touchRules are about Touch.
var touchRules = []rule{
	{name: "SetsExpiryAndKeepsTheValue", timed: true, test: func(s *space) {
		s.set("t:k", one, 0)
		s.want("Touch", s.touch("t:k", long), true)
		s.wantValue("t:k", one)
		s.wantLeft("t:k", long)
	}},
	{name: "ReplacesALongerTTL", timed: true, test: func(s *space) {
		s.set("t:k", one, long)
		s.want("Touch", s.touch("t:k", s.brief()), true)
		s.pass(s.brief())
		s.wantAbsent("t:k")
	}},
	{name: "ReplacesAShorterTTL", timed: true, test: func(s *space) {
		touched := false
		s.before(func(ttl time.Duration) {
			s.set("t:k", one, ttl)
			touched = s.touch("t:k", long)
		})
		s.want("Touch", touched, true)
		s.wantLeft("t:k", long)
	}},
	{name: "WithZeroMeansNever", test: func(s *space) {
		s.set("t:k", one, long)
		s.want("Touch", s.touch("t:k", 0), true)
		s.wantLeft("t:k", 0)
		s.want("Touch of one that never expires", s.touch("t:k", 0), true)
		s.wantLeft("t:k", 0)
	}},
	{name: "WithKeepTTLChangesNothing", timed: true, test: func(s *space) {
		s.set("t:k", one, long)
		s.want("Touch", s.touch("t:k", store.KeepTTL), true)
		s.wantLeft("t:k", long)
		s.set("t:k", one, 0)
		s.want("Touch of one that never expires", s.touch("t:k", store.KeepTTL), true)
		s.wantLeft("t:k", 0)
	}},
	{name: "OfAbsentIsFalseAndCreatesNothing", test: func(s *space) {
		for _, ttl := range []time.Duration{0, long, store.KeepTTL} {
			s.want("Touch", s.touch("t:k", ttl), false)
			s.wantAbsent("t:k")
		}
	}},
	{name: "OfExpiredIsFalseAndRevivesNothing", timed: true, test: func(s *space) {
		for _, ttl := range []time.Duration{0, long, store.KeepTTL} {
			s.expired("t:k", one)
			s.want("Touch", s.touch("t:k", ttl), false)
			s.wantAbsent("t:k")
		}
	}},
	// A touch that writes back what it read brings a deleted session to life.
	{name: "BesideDeleteRevivesNothing", test: func(s *space) {
		for range s.harness.times(100) {
			s.set("t:k", one, 0)
			s.both(func() error {
				_, err := s.driver.Delete(s.ctx, "t:k")
				return err
			}, func() error {
				_, err := s.driver.Touch(s.ctx, "t:k", long)
				return err
			})
			s.wantAbsent("t:k")
		}
	}},
	// The same, for a value that was written in between.
	{name: "BesideSetLosesNoValue", test: func(s *space) {
		for range s.harness.times(100) {
			s.set("t:k", one, 0)
			s.both(func() error { return s.driver.Set(s.ctx, "t:k", two, 0) }, func() error {
				_, err := s.driver.Touch(s.ctx, "t:k", long)
				return err
			})
			s.wantValue("t:k", two)
		}
	}},
}
