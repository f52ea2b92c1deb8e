package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

const (
	// long is a ttl that does not run out while a rule runs in real time.
	long = time.Hour
	// slack is how much of a long ttl may have run out by the time it is read, in real time.
	slack = time.Minute
	// patience is how long something that must happen soon may take on a busy machine.
	patience = 5 * time.Second
	// lateness is how late a busy machine may notice, in real time, that an entry has expired.
	lateness = 2 * time.Second
)

// A space is a fresh driver, and how a rule speaks to it: a call that answers an unexpected error ends the rule.
type space struct {
	rapid.TB // *testing.T in a rule, *rapid.T in a model

	harness Harness
	view    view
	opener  store.Opener
	driver  store.Driver // what the rule is about: connection, or a handle of it
	info    store.Info
	virtual bool // time passes only while everything waits
	ctx     context.Context
	cancel  context.CancelFunc

	connection store.Driver // the driver itself
	handle     *handle      // nil: the rule is about the driver itself
}

// A view makes something of a connection that rules look at in its place.
type view func(s *space)

// direct looks at the connection itself.
func direct(*space) {}

// open opens an empty space. Failures are reported to tb; t is the test that the space belongs to.
func (h Harness) open(t *testing.T, tb rapid.TB, v view, virtual bool) *space {
	t.Helper()
	s := &space{TB: tb, harness: h, view: v, opener: h.Opener(t), virtual: virtual}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if !virtual {
		// A driver that hangs fails its rule rather than the whole test binary.
		s.ctx, s.cancel = context.WithTimeout(context.Background(), h.longer(time.Minute))
	}
	s.reopen()
	v(s)
	return s
}

// reopen opens the same space again, or for the first time.
func (s *space) reopen() {
	s.Helper()
	d, err := s.opener.Open(s.ctx)
	s.must("Open", err)
	s.driver, s.connection, s.info = d, d, d.Info()
}

// another is a second connection to the same space.
func (s *space) another() *space {
	s.Helper()
	other := *s
	other.reopen()
	return &other
}

// close closes what the rule used, which it may have closed already: Close is idempotent.
func (s *space) close() {
	s.cancel()
	if err := s.driver.Close(); err != nil {
		s.Errorf("Close: %v", err)
	}
}

// must ends the rule if what was done answered an error.
func (s *space) must(what string, err error) {
	if err != nil {
		s.Helper()
		s.Fatalf("%s: %v", what, err)
	}
}

// get is Get of a key that must exist.
func (s *space) get(key string) []byte {
	s.Helper()
	v, err := s.driver.Get(s.ctx, key)
	s.must("Get "+key, err)
	return v
}

// entry is Entry of a key that must exist.
func (s *space) entry(key string) ([]byte, time.Duration) {
	s.Helper()
	v, ttl, err := s.driver.Entry(s.ctx, key)
	s.must("Entry "+key, err)
	return v, ttl
}

// ttl is TTL of a key that must exist.
func (s *space) ttl(key string) time.Duration {
	s.Helper()
	ttl, err := s.driver.TTL(s.ctx, key)
	s.must("TTL "+key, err)
	return ttl
}

// has is Has.
func (s *space) has(key string) bool {
	s.Helper()
	ok, err := s.driver.Has(s.ctx, key)
	s.must("Has "+key, err)
	return ok
}

// set is Set.
func (s *space) set(key string, v []byte, ttl time.Duration) {
	s.Helper()
	s.must("Set "+key, s.driver.Set(s.ctx, key, v, ttl))
}

// delete is Delete.
func (s *space) delete(key string) bool {
	s.Helper()
	existed, err := s.driver.Delete(s.ctx, key)
	s.must("Delete "+key, err)
	return existed
}

// touch is Touch.
func (s *space) touch(key string, ttl time.Duration) bool {
	s.Helper()
	existed, err := s.driver.Touch(s.ctx, key, ttl)
	s.must("Touch "+key, err)
	return existed
}

// swap is CompareAndSwap.
func (s *space) swap(key string, old, new []byte, ttl time.Duration) bool {
	s.Helper()
	swapped, err := s.driver.CompareAndSwap(s.ctx, key, old, new, ttl)
	s.must("CompareAndSwap "+key, err)
	return swapped
}

// incr is Incr of a driver that is a [store.Counter].
func (s *space) incr(key string, delta, initial float64, ttl time.Duration) float64 {
	s.Helper()
	sum, err := s.driver.(store.Counter).Incr(s.ctx, key, delta, initial, ttl)
	s.must("Incr "+key, err)
	return sum
}

// getMany is GetMany of a driver that is a [store.Batcher]: a value for each key, whatever is found.
func (s *space) getMany(keys ...string) [][]byte {
	s.Helper()
	values, err := s.driver.(store.Batcher).GetMany(s.ctx, keys)
	s.must("GetMany", err)
	if len(values) != len(keys) {
		s.Fatalf("GetMany of %d keys answers %d values", len(keys), len(values))
	}
	return values
}

// setMany is SetMany of a driver that is a [store.Batcher].
func (s *space) setMany(items []store.Item, ttl time.Duration) {
	s.Helper()
	s.must("SetMany", s.driver.(store.Batcher).SetMany(s.ctx, items, ttl))
}

// deleteMany is DeleteMany of a driver that is a [store.Batcher].
func (s *space) deleteMany(keys ...string) int {
	s.Helper()
	n, err := s.driver.(store.Batcher).DeleteMany(s.ctx, keys)
	s.must("DeleteMany", err)
	return n
}

// plant stores bytes that need not be a Lua value, as others can who write into the backend.
func (s *space) plant(key string, v []byte, ttl time.Duration) {
	s.Helper()
	if s.handle != nil {
		key = s.handle.prefix + key
	}
	s.must("Set "+key, s.connection.Set(s.ctx, key, v, ttl))
}

// list returns all that the pages of a listing hold, in the order in which they came.
func (s *space) list(prefix string, limit int) []string {
	s.Helper()
	var keys []string
	s.pages(prefix, limit, func(page store.Page) { keys = append(keys, page.Keys...) })
	return keys
}

// pages calls fn with each page of a listing. A listing that never ends ends the rule.
func (s *space) pages(prefix string, limit int, fn func(store.Page)) {
	s.Helper()
	const endless = 100_000
	cursor := ""
	for range endless {
		page, err := s.driver.List(s.ctx, prefix, cursor, limit)
		s.must(fmt.Sprintf("List %q after cursor %q", prefix, cursor), err)
		fn(page)
		if cursor = page.Next; cursor == "" {
			return
		}
	}
	s.Fatalf("List %q has no end: %d pages with limit %d", prefix, endless, limit)
}

// want compares two results of the same type.
func (s *space) want(what string, got, want any) {
	if !reflect.DeepEqual(got, want) {
		s.Helper() // only now: it is slow, and most comparisons hold
		s.Fatalf("%s: got %v, want %v", what, show(got), show(want))
	}
}

// show prints stored bytes and keys so that every byte can be told.
func show(x any) string {
	if b, ok := x.([]byte); ok && len(b) > 40 {
		return fmt.Sprintf("%d bytes %q…", len(b), b[:40])
	} else if ok {
		return fmt.Sprintf("%q", b)
	}
	if keys, ok := x.([]string); ok {
		return fmt.Sprintf("%q", keys)
	}
	return fmt.Sprint(x)
}

// wantValue states what key holds, by each method that tells.
func (s *space) wantValue(key string, want []byte) {
	s.Helper()
	got := s.get(key)
	entry, _ := s.entry(key)
	if !bytes.Equal(got, want) || !bytes.Equal(entry, want) {
		s.Fatalf("%s holds %s by Get and %s by Entry, want %s", key, show(got), show(entry), show(want))
	}
	s.want("Has "+key, s.has(key), true)
}

// wantLeft states how much time key has left, 0 for one that never expires, by each method that tells.
func (s *space) wantLeft(key string, want time.Duration) {
	s.Helper()
	_, byEntry := s.entry(key)
	for _, got := range []time.Duration{s.ttl(key), byEntry} {
		if !s.near(got, want) {
			s.Fatalf("%s has %v left, want %v", key, got, want)
		}
	}
}

// near reports whether got is a true answer for an entry that had want left not long ago.
func (s *space) near(got, want time.Duration) bool {
	if want == 0 {
		return got == 0
	}
	least, most := want, want+s.info.TTLResolution
	if !s.virtual {
		least, most = max(least-slack, store.MinTTL), most+slack
	}
	return got >= least && got <= most
}

// wantAbsent states that there is no entry under key, by each method that only reads.
func (s *space) wantAbsent(key string) {
	s.Helper()
	_, err := s.driver.Get(s.ctx, key)
	s.wantKind("Get "+key, err, "not_found")
	_, _, err = s.driver.Entry(s.ctx, key)
	s.wantKind("Entry "+key, err, "not_found")
	_, err = s.driver.TTL(s.ctx, key)
	s.wantKind("TTL "+key, err, "not_found")
	s.want("Has "+key, s.has(key), false)
}

// wantKind states which [store.Kind] err has.
func (s *space) wantKind(what string, err error, kinds ...string) {
	s.Helper()
	if kind := store.Kind(err); !slices.Contains(kinds, kind) {
		s.Fatalf("%s: error %v of kind %q, want one of %q", what, err, kind, kinds)
	}
}

// wantKeys states what a listing holds: exactly that and in byte order where the driver says so.
func (s *space) wantKeys(prefix string, limit int, want ...string) {
	s.Helper()
	got := s.list(prefix, limit)
	want = slices.Sorted(slices.Values(want))
	if !s.info.Ordered {
		slices.Sort(got)
		got = slices.Compact(got)
	}
	if !slices.Equal(got, want) {
		s.Fatalf("List %q with limit %d: got %q, want %q", prefix, limit, got, want)
	}
}

// brief is a ttl that a rule can wait for.
func (s *space) brief() time.Duration { return max(40*time.Millisecond, s.info.TTLResolution) }

// pass returns when every entry that was written before, with a ttl of at most d, has expired. In real time it asks for an
// entry of its own instead of one of those, because expiry must not depend on who looks first.
func (s *space) pass(d time.Duration) {
	s.Helper()
	if s.virtual {
		time.Sleep(d + s.info.TTLResolution)
		return
	}
	const witness = "storetest:witness"
	s.set(witness, one, d)
	s.eventually("an entry expires", d+patience, func() bool { return !s.has(witness) })
}

// before lets do write entries with a ttl that a rule can wait for and then change them, and returns the ttl. The entries live until the
// last change: where the calls took so long that they may have expired between, do runs again, with a ttl that is longer.
func (s *space) before(do func(ttl time.Duration)) time.Duration {
	s.Helper()
	ttl := s.brief()
	for range 5 {
		start := time.Now()
		if do(ttl); time.Since(start) < ttl {
			return ttl
		}
		ttl *= 4
	}
	s.Fatalf("a few calls took longer than %v, the ttl of what they write, and than each shorter one before", ttl/4)
	return 0
}

// expired writes an entry under key, whose value is v, and waits until it has expired.
func (s *space) expired(key string, v []byte) {
	s.Helper()
	s.set(key, v, s.brief())
	s.pass(s.brief())
}

// eventually polls until a state is reached.
func (s *space) eventually(what string, within time.Duration, reached func() bool) {
	s.Helper()
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	for start := time.Now(); !reached(); <-pause.C {
		if time.Since(start) > within {
			s.Fatalf("still waiting after %v: %s", within, what)
		}
	}
}

// returns ends the rule if fn does not return soon.
func (s *space) returns(what string, fn func()) {
	s.Helper()
	s.returnsWithin(patience, what, fn)
}

func (s *space) returnsWithin(d time.Duration, what string, fn func()) {
	s.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		s.Fatalf("%s has not returned after %v", what, d)
	}
}

// together runs fn(0) to fn(n-1) at the same time and ends the rule if any of them answers an error. The functions themselves
// may not.
func (s *space) together(n int, fn func(i int) error) {
	s.Helper()
	errs := make([]error, n)
	var ready atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			// A channel would wake them one after the other.
			for ready.Add(1); ready.Load() < int64(n); {
				runtime.Gosched()
			}
			errs[i] = fn(i)
		})
	}
	s.returnsWithin(s.harness.longer(6*patience), "one of several concurrent callers", wg.Wait)
	s.must("at the same time", errors.Join(errs...))
}

// beside runs fn n times while the others run over and over. Only times before which one of the others has come between count:
// a goroutine that is not scheduled for a while must not spare a driver the test.
func (s *space) beside(n int, fn func() error, others ...func() error) {
	s.Helper()
	var between, stop atomic.Bool
	again := func(run func() error) error {
		err := run()
		runtime.Gosched()
		if err != nil {
			stop.Store(true)
		}
		return err
	}
	s.together(1+len(others), func(i int) (err error) {
		if i > 0 {
			for err == nil && !stop.Load() {
				err = again(others[i-1])
				between.Store(true)
			}
			return err
		}
		for left := n; err == nil && left > 0 && !stop.Load(); {
			err = again(fn)
			if between.Swap(false) {
				left--
			}
		}
		stop.Store(true)
		return err
	})
}

// both runs two functions at the same time, either of them first.
func (s *space) both(a, b func() error) {
	s.Helper()
	if rand.IntN(2) == 0 {
		a, b = b, a
	}
	s.together(2, func(i int) error { return []func() error{a, b}[i]() })
}

// isBatcher narrows a rule to the drivers that are one.
func isBatcher(s *space) bool {
	_, ok := s.driver.(store.Batcher)
	return ok
}

// isCounter narrows a rule to the drivers that are one.
func isCounter(s *space) bool {
	_, ok := s.driver.(store.Counter)
	return ok
}

// Stored values that rules use where any will do.
var (
	one = str("one")
	two = str("two")
)

// str returns a stored string.
func str(s string) []byte { return value.AppendString(nil, s) }

// num returns a stored number.
func num(f float64) []byte { return value.AppendNumber(nil, f) }
