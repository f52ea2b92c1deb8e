package crashtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// verify opens the folder and holds what is in it against the model, which then knows it.
func (l *lane) verify(ctx context.Context) error {
	start := time.Now()
	d, err := l.target.Open(ctx, l.dir)
	if err != nil {
		return fmt.Errorf("open after a crash: %w", err)
	}
	if _, err := d.Has(ctx, counterKey(0)); err != nil { // some drivers begin to work at the first call
		return errors.Join(fmt.Errorf("has after a crash: %w", err), d.Close())
	}
	l.opened = append(l.opened, time.Since(start))
	return errors.Join(l.model.verify(ctx, d), d.Close())
}

func (m *model) verify(ctx context.Context, d store.Driver) error {
	listed, err := list(ctx, d)
	if err != nil {
		return err
	}
	keys := ownKeys()
	for _, key := range keys {
		if err := m.verifyKey(ctx, d, key, slices.Contains(listed, key)); err != nil {
			return fmt.Errorf("%q: at %s %w; before:\n%s", key, clock(time.Now().UnixNano()), err, strings.Join(m.history[key], "\n"))
		}
	}
	for i := range counters {
		key := counterKey(i)
		keys = append(keys, key)
		if err := m.verifyCounter(ctx, d, key, slices.Contains(listed, key)); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	for _, key := range listed {
		if !slices.Contains(keys, key) {
			return fmt.Errorf("%q: listed, but nobody ever meant to write it", key)
		}
	}
	return nil
}

// ownKeys returns the keys of all writers.
func ownKeys() []string {
	var keys []string
	for i := range writers {
		w := writer{number: i}
		for j := range keysPerWriter {
			keys = append(keys, w.key(j))
		}
	}
	return keys
}

// endless is more keys than there ever are.
const endless = 10 * writers * keysPerWriter

// list returns all keys of the store.
func list(ctx context.Context, d store.Driver) ([]string, error) {
	var keys []string
	for cursor := ""; ; {
		page, err := d.List(ctx, "", cursor, 50)
		if err != nil {
			return nil, fmt.Errorf("list after a crash: %w", err)
		}
		keys = append(keys, page.Keys...)
		switch cursor = page.Next; {
		case cursor == "":
			return keys, nil
		case len(keys) > endless:
			return nil, errors.New("the listing has no end")
		}
	}
}

// A finding is what was read under one key.
type finding struct {
	value id // the zero id: nothing
	ttl   time.Duration
	at    span // when it was read
}

// read reads key by Entry and Get, which must agree unless the entry expires in between.
func read(ctx context.Context, d store.Driver, key string) (f finding, err error) {
	f.at.from = time.Now().UnixNano()
	b, ttl, err := d.Entry(ctx, key)
	f.at.to = time.Now().UnixNano()
	if errors.Is(err, store.ErrNotFound) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("entry after a crash: %w", err)
	}
	f.ttl = ttl
	if f.value, err = identify(key, b); err != nil {
		return f, err
	}
	again, err := d.Get(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound) && ttl > 0 && time.Now().UnixNano() >= f.at.from+int64(ttl)-resolution:
		return f, nil
	case err != nil:
		return f, fmt.Errorf("get of what entry finds: %w", err)
	case !slices.Equal(again, b):
		return f, fmt.Errorf("get answers %d other bytes than entry", len(again))
	}
	return f, nil
}

// verifyKey holds one key of a writer against the states that it may be in, of which those stay that fit.
func (m *model) verifyKey(ctx context.Context, d store.Driver, key string, listed bool) error {
	f, err := read(ctx, d, key)
	if err != nil {
		return err
	}
	states := m.states(key)
	fit := slices.DeleteFunc(slices.Clone(states), func(s state) bool { return !f.fits(s) })
	if len(fit) == 0 {
		return f.fault(states)
	}
	if f.value != (id{}) && !listed {
		return fmt.Errorf("%v is there, and the listing before had no such key", f.value)
	}
	if listed && !slices.ContainsFunc(fit, func(s state) bool { return s.value != (id{}) }) {
		return errors.New("listed, though nothing is there")
	}
	m.keys[key] = fit
	return nil
}

// fits reports whether the finding is what a key in state s shows.
func (f finding) fits(s state) bool {
	if f.value == (id{}) {
		return s.mayBeGone(f.at)
	}
	return f.value == s.value && s.mayLive(f.at) && f.ttlFits(s)
}

func (f finding) ttlFits(s state) bool {
	if f.ttl == 0 || s.expires == (span{}) {
		return f.ttl == 0 && s.expires == span{}
	}
	expires := span{f.at.from + int64(f.ttl) - resolution, f.at.to + int64(f.ttl) + resolution}
	return expires.to >= s.expires.from && expires.from <= s.expires.to
}

// fault says how the finding fits none of states.
func (f finding) fault(states []state) error {
	want := describe(states)
	same := slices.DeleteFunc(slices.Clone(states), func(s state) bool { return s.value != f.value })
	switch {
	case f.value == id{}:
		return fmt.Errorf("an acknowledged write is lost: nothing is there, %s", want)
	case slices.ContainsFunc(same, func(s state) bool { return !s.mayLive(f.at) }):
		return fmt.Errorf("an expired entry came back: %v with ttl %v, %s", f.value, f.ttl, want)
	case len(same) > 0:
		return fmt.Errorf("a wrong ttl: %v has %v, %s", f.value, f.ttl, want)
	case !slices.ContainsFunc(states, func(s state) bool { return s.value != id{} }):
		return fmt.Errorf("a deleted entry came back: %v", f.value)
	}
	return fmt.Errorf("an acknowledged write is lost: %v is there, %s", f.value, want)
}

// verifyCounter holds one shared counter against its bounds, which then are what it is.
func (m *model) verifyCounter(ctx context.Context, d store.Driver, key string, listed bool) error {
	sum := 0.0
	b, err := d.Get(ctx, key)
	switch {
	case err == nil:
		var ok bool
		if sum, ok = value.ParseNumber(b); !ok {
			return fmt.Errorf("torn value: %q is no number", b)
		}
	case !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("get after a crash: %w", err)
	}
	if listed != (err == nil) {
		return fmt.Errorf("listed: %v, there: %v", listed, err == nil)
	}
	c := m.counter(key)
	if sum < c.low || sum > c.high {
		return fmt.Errorf("a wrong count: it is %v, %v were acknowledged and %v begun", sum, c.low, c.high)
	}
	c.low, c.high = sum, sum
	return nil
}
