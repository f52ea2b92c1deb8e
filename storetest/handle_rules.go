package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/luastore/store"
)

// A deadlineSpy notes which deadline Has was called with.
type deadlineSpy struct {
	store.Driver
	deadline time.Time
	has      bool
}

func (d *deadlineSpy) Has(ctx context.Context, key string) (bool, error) {
	d.deadline, d.has = ctx.Deadline()
	return d.Driver.Has(ctx, key)
}

// handleRules are about what a handle does for every driver: keys, values, limits, times and errors are the same on each.
var handleRules = []rule{
	{name: "OfAKeyThatIsNoneAnswersInvalidAndChangesNothing", test: func(s *space) {
		s.seed()
		for key, text := range badKeys {
			for what, err := range s.callEach(key) {
				s.wantError(what, err, "invalid", text)
			}
		}
		s.wantSeed()
	}},
	// The limit counts the key as it is stored.
	{name: "OfAKeyThatIsTooLongAnswersInvalidAndChangesNothing", test: func(s *space) {
		s.seed()
		key := "t:" + strings.Repeat("k", s.longestKey()-1)
		most := s.longestKey() + len(s.handle.prefix)
		text := fmt.Sprintf("invalid key: %d bytes with the prefix of the store, limit %d", most+1, most)
		for what, err := range s.callEach(key) {
			s.wantError(what, err, "invalid", text)
		}
		s.wantSeed()
	}},
	{name: "SetsATimeoutWhereCallsCrossANetworkAndNoneElsewhere", test: func(s *space) {
		spy := &deadlineSpy{Driver: keepOpen(s.connection)}
		h := s.handleOf(spy, store.Definition{})
		defer h.Close()
		before := time.Now()
		_, err := h.Has(context.Background(), "t:k")
		s.must("Has", err)
		s.want("a deadline of the call, and Info.Network", spy.has, s.info.Network)
		if spy.has && (spy.deadline.Before(before) || spy.deadline.After(time.Now().Add(store.DefaultTimeout))) {
			s.Fatalf("the deadline of a call is %v away, want at most %v", time.Until(spy.deadline), store.DefaultTimeout)
		}
	}},
	// All of a batch is checked before anything of it is sent.
	{name: "RefusesBytesThatAreNoValueAndChangesNothing", test: func(s *space) {
		s.seed()
		for _, v := range [][]byte{{}, {0xc0}, {0xc1}, []byte("plain text"), one[:2], append(one[:len(one):len(one)], 0), {0xdd, 0xff, 0xff, 0xff, 0xff}} {
			s.wantKind("Set", s.driver.Set(s.ctx, "t:k", v, 0), "invalid")
			s.wantKind("SetMany", s.handle.SetMany(s.ctx, []store.Item{{Key: "t:n", Value: one}, {Key: "t:k", Value: v}}, 0), "invalid")
			_, err := s.driver.CompareAndSwap(s.ctx, "t:k", one, v, 0)
			s.wantKind("CompareAndSwap", err, "invalid")
		}
		s.wantSeed()
	}},
	{name: "RefusesAValueOverTheLimitAndChangesNothing", test: func(s *space) {
		s.seed()
		most := s.largest(1 << 20)
		v := append(big(most, "x"), 'x')
		text := fmt.Sprintf("value too large: %d bytes, limit %d", len(v), most)
		s.wantError("Set", s.driver.Set(s.ctx, "t:k", v, 0), "too_large", text)
		s.wantKind("SetMany", s.handle.SetMany(s.ctx, []store.Item{{Key: "t:n", Value: one}, {Key: "t:k", Value: v}}, 0), "too_large")
		s.wantSeed()
	}},
	{name: "RefusesABatchOverTheLimitAndChangesNothing", test: func(s *space) {
		s.seed()
		keys, items := make([]string, batchSize+1), make([]store.Item, batchSize+1)
		for i := range keys {
			keys[i] = fmt.Sprintf("t:%d", i)
			items[i] = store.Item{Key: keys[i], Value: one}
		}
		_, err := s.handle.GetMany(s.ctx, keys)
		s.wantError("GetMany", err, "too_large", "batch too large: 1001 keys, limit 1000")
		s.wantKind("SetMany", s.handle.SetMany(s.ctx, items, 0), "too_large")
		_, err = s.handle.DeleteMany(s.ctx, keys)
		s.wantKind("DeleteMany", err, "too_large")
		s.wantSeed()
	}},
	{name: "OfAnEntryThatIsNoValueIsCorrupt", test: func(s *space) {
		for _, v := range [][]byte{{}, {0xc1}, []byte("plain text"), {0xdd, 0xff, 0xff, 0xff, 0xff}} {
			s.plant("t:k", v, 0)
			_, err := store.Load[any](s.ctx, s.handle.Handle, "t:k")
			s.wantKind("Load", err, "corrupt")
			s.want("Has", s.has("t:k"), true)
		}
	}},
	{name: "OfACorruptEntryCanDeleteAndOverwrite", test: func(s *space) {
		s.plant("t:k", []byte{0xc1}, long)
		s.set("t:k", one, 0)
		s.wantValue("t:k", one)
		s.plant("t:k", []byte{0xc1}, 0)
		s.want("Delete", s.delete("t:k"), true)
		s.wantAbsent("t:k")
	}},
	{name: "RefusesATTLOutOfRangeAndChangesNothing", test: func(s *space) {
		s.seed()
		for _, ttl := range []time.Duration{-3, -time.Second, store.MaxTTL + 1} {
			for what, err := range s.writeEach(ttl) {
				s.wantKind(what, err, "invalid")
			}
		}
		s.wantSeed()
	}},
	{name: "TakesATTLUpTo100Years", timed: true, test: func(s *space) {
		s.set("t:k", one, store.MaxTTL)
		s.wantLeft("t:k", store.MaxTTL)
	}},
	{name: "RoundsATTLBelow1msUp", timed: true, test: func(s *space) {
		for _, ttl := range []time.Duration{1, time.Microsecond, time.Millisecond - 1} {
			s.set("t:k", one, ttl)
			s.pass(s.brief())
			s.wantAbsent("t:k")
		}
	}},
	// Also where KeepTTL finds nothing to keep.
	{name: "GivesTheDefaultTTLOfTheStore", timed: true, test: func(s *space) {
		s.define(store.Definition{DefaultTTL: long})
		for _, ttl := range []time.Duration{store.DefaultTTL, store.KeepTTL} {
			for key, write := range s.creating(ttl) {
				s.must(key, write())
				s.wantLeft(key, long)
				s.delete(key)
			}
		}
		s.set("t:k", one, 0)
		s.wantLeft("t:k", 0)
		s.set("t:k", two, store.KeepTTL)
		s.wantLeft("t:k", 0)
		s.want("Touch", s.touch("t:k", store.DefaultTTL), true)
		s.wantLeft("t:k", long)
	}},
	// No way around it may make an entry that lives longer.
	{name: "KeepsTheMaximumTTLOfTheStore", timed: true, test: func(s *space) {
		s.define(store.Definition{MaxTTL: long})
		s.seedWith(long)
		for _, ttl := range []time.Duration{0, long + 1, store.MaxTTL} {
			for what, err := range s.writeEach(ttl) {
				s.wantKind(what, err, "invalid")
			}
		}
		s.wantLeft("t:k", long)
		for key, write := range s.creating(store.DefaultTTL) {
			s.must(key, write())
			s.wantLeft(key, long)
		}
	}},
	{name: "OfAReadOnlyStoreDeniesEveryWrite", test: func(s *space) {
		s.plant("t:k", one, long)
		s.plant("t:n", num(5), 0)
		s.define(store.Definition{ReadOnly: true})
		for _, o := range ops {
			err := o.call(s.ctx, s.driver)
			if o.writes {
				s.wantError(o.name, err, "denied", `permission denied: store "test": it is read-only`)
			} else {
				s.must(o.name, err)
			}
		}
		s.wantSeed()
	}},
	{name: "AfterItsUnitAnswersReleased", test: func(s *space) {
		s.seed()
		s.must("End", s.handle.unit.End())
		for _, o := range ops {
			err := o.call(s.ctx, s.driver)
			s.wantKind(o.name, err, "released")
			s.want("text", store.Message(err), "store is released: its unit of work ended; call store.get inside the handler")
		}
	}},
	{name: "SeesNoKeyOfAnotherPrefix", test: func(s *space) {
		s.setAll("a:1", "a:2")
		for _, prefix := range []string{"", "pp", "P", "p*", "q"} {
			other := s.neighbour(prefix)
			s.must("Set", other.Set(s.ctx, "a:3", two, 0))
		}
		s.wantKeys("", 10, "a:1", "a:2")
		s.wantAbsent("a:3")
		s.want("Delete", s.delete("a:3"), false)
		other := s.neighbour("pp")
		page, err := other.List(s.ctx, "", "", 10)
		s.must("List", err)
		s.want("keys of the other", page.Keys, []string{"a:3"})
	}},
	{name: "LoadsWhatItSaved", test: func(s *space) {
		type session struct {
			UserID int64    `lua:"user_id"`
			Data   []string `lua:"data"`
		}
		want := session{42, []string{"read", "write"}}
		s.must("Save", store.Save(s.ctx, s.handle.Handle, "t:k", want, 0))
		got, err := store.Load[session](s.ctx, s.handle.Handle, "t:k")
		s.must("Load", err)
		s.want("value", got, want)
	}},
	// In one place, whatever the driver says of it.
	{name: "SaysWhereAnErrorCameAbout", test: func(s *space) {
		s.seed()
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		for _, o := range ops {
			var e *store.Error
			if err := o.call(ctx, s.driver); !errors.As(err, &e) || e.Store != "test" || e.Op == "" {
				s.Fatalf("%s answers %v, which does not tell the store and the operation", o.name, err)
			}
		}
	}},
}

// badKeys are keys that no store takes, and how it says so.
var badKeys = map[string]string{
	"":          `invalid key "": want "namespace:name"`,
	"foo":       `invalid key "foo": want "namespace:name"`,
	":":         `invalid key ":": want "namespace:name"`,
	":x":        `invalid key ":x": want "namespace:name"`,
	"a:":        `invalid key "a:": want "namespace:name"`,
	"a:\x00":    `invalid key "a:\x00": control character at byte 2`,
	"a:b\n":     `invalid key "a:b\n": control character at byte 3`,
	"a:\x7f":    `invalid key "a:\x7f": control character at byte 2`,
	"a:\u0085":  `invalid key "a:\u0085": control character`,
	"a:\xff":    `invalid key "a:\xff": not valid UTF-8`,
	"a:é\xc3":   `invalid key "a:é\xc3": not valid UTF-8`,
	"\xed\xa0:": `invalid key "\xed\xa0:": want "namespace:name"`,
}

// callEach calls every method that takes a key and returns their errors.
func (s *space) callEach(key string) map[string]error {
	errs := s.writeEachTo(key, 0)
	_, errs["Get"] = s.handle.Handle.Get(s.ctx, key)
	_, errs["Entry"] = s.handle.Handle.Entry(s.ctx, key)
	_, errs["TTL"] = s.handle.Handle.TTL(s.ctx, key)
	_, errs["Has"] = s.handle.Has(s.ctx, key)
	_, errs["Delete"] = s.handle.Delete(s.ctx, key)
	_, errs["GetMany"] = s.handle.Handle.GetMany(s.ctx, []string{"t:k", key})
	_, errs["DeleteMany"] = s.handle.DeleteMany(s.ctx, []string{"t:k", key})
	_, errs["DeleteIfVersion"] = s.handle.DeleteIfVersion(s.ctx, key, store.Version(one))
	return errs
}

// writeEach calls every method that takes a ttl, on entries that there are and on new ones.
func (s *space) writeEach(ttl time.Duration) map[string]error {
	errs := s.writeEachTo("t:k", ttl)
	for what, err := range s.writeEachTo("t:new", ttl) {
		errs[what+" of a new key"] = err
	}
	return errs
}

func (s *space) writeEachTo(key string, ttl time.Duration) map[string]error {
	errs := map[string]error{"Set": s.handle.Set(s.ctx, key, two, ttl)}
	_, errs["Touch"] = s.handle.Touch(s.ctx, key, ttl)
	_, errs["CompareAndSwap"] = s.handle.CompareAndSwap(s.ctx, key, one, two, ttl)
	_, errs["Incr"] = s.handle.Incr(s.ctx, key, 1, 0, ttl)
	errs["SetMany"] = s.handle.SetMany(s.ctx, []store.Item{{Key: "t:n", Value: two}, {Key: key, Value: two}}, ttl)
	_, errs["SetIfAbsent"] = s.handle.SetIfAbsent(s.ctx, key, two, ttl)
	_, errs["SetIfVersion"] = s.handle.SetIfVersion(s.ctx, key, two, store.Version(one), ttl)
	_, errs["Update"] = s.handle.Update(s.ctx, key, ttl, nil, func([]byte) ([]byte, error) { return two, nil })
	_, _, errs["Fetch"] = s.handle.Fetch(s.ctx, key, ttl, func(context.Context) ([]byte, error) { return two, nil })
	return errs
}

// creating returns the ways to create an entry, by the key that each creates.
func (s *space) creating(ttl time.Duration) map[string]func() error {
	ways := map[string]func() error{
		"t:set": func() error { return s.handle.Set(s.ctx, "t:set", one, ttl) },
		"t:swapped": func() error {
			_, err := s.handle.CompareAndSwap(s.ctx, "t:swapped", nil, one, ttl)
			return err
		},
		"t:counted": func() error {
			_, err := s.handle.Incr(s.ctx, "t:counted", 1, 0, ttl)
			return err
		},
		"t:absent": func() error {
			_, err := s.handle.SetIfAbsent(s.ctx, "t:absent", one, ttl)
			return err
		},
		"t:updated": func() error {
			_, err := s.handle.Update(s.ctx, "t:updated", ttl, nil, func([]byte) ([]byte, error) { return one, nil })
			return err
		},
	}
	if ttl != store.KeepTTL {
		ways["t:many"] = func() error { return s.handle.SetMany(s.ctx, []store.Item{{Key: "t:many", Value: one}}, ttl) }
		ways["t:fetched"] = func() error {
			_, _, err := s.handle.Fetch(s.ctx, "t:fetched", ttl, func(context.Context) ([]byte, error) { return one, nil })
			return err
		}
	}
	return ways
}

// seedWith is seed in a store that keeps no entry for ever.
func (s *space) seedWith(ttl time.Duration) {
	s.Helper()
	s.set("t:k", one, ttl)
	s.set("t:n", num(5), ttl)
}

// define looks at the connection through a store of another definition.
func (s *space) define(def store.Definition) {
	s.Helper()
	s.must("End", s.handle.unit.End())
	def.Prefix = handlePrefix
	h := s.handleOf(s.connection, def)
	s.driver, s.handle = h, h
}

// neighbour returns a store with another prefix on the same connection.
func (s *space) neighbour(prefix string) *store.Handle {
	s.Helper()
	id := "beside " + prefix
	err := s.handle.registry.Define(id, store.Definition{Open: opening(s.connection), Prefix: prefix})
	if store.Kind(err) != "invalid" { // it is defined already
		s.must("Define", err)
	}
	h, err := s.handle.unit.Get(s.ctx, id)
	s.must("Get of the store", err)
	return h
}

// wantError states the kind of an error and its text, as the caller of the one operation sees it.
func (s *space) wantError(what string, err error, kind, text string) {
	s.Helper()
	s.wantKind(what, err, kind)
	s.want("text of "+what, store.Message(err), text)
}
