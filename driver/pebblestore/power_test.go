package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// A state is what one operation on a key left there.
type state struct {
	value    []byte        // nil: no entry
	ttl      time.Duration // 0: it never expires
	earliest time.Time     // when it expires, if it does
	latest   time.Time     // zero as long as the operation is not acknowledged
}

// brief is a ttl that ends while a test runs.
func (s *state) brief() bool { return s.ttl > 0 && s.ttl < time.Minute }

// shows reports whether a read that began and ended at these times may have answered e, nil for no entry.
func (s *state) shows(e []byte, ttl time.Duration, began, ended time.Time) bool {
	if e == nil {
		return s.value == nil || s.brief() && !ended.Before(s.earliest)
	}
	return s.value != nil && bytes.Equal(e, s.value) && (ttl == 0) == (s.ttl == 0) && !(s.brief() && !s.latest.IsZero() && began.After(s.latest))
}

// A record is what happened to a key, which has one writer.
type record struct {
	key string

	mu     sync.Mutex
	states []state // those that it may be in, in order: the first one is acknowledged, or that no entry is there
}

// begin notes that an operation begins.
func (r *record) begin(s state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.earliest = time.Now().Add(s.ttl)
	r.states = append(r.states, s)
}

// acknowledged notes that the last operation was acknowledged.
func (r *record) acknowledged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.states[len(r.states)-1]
	s.latest = time.Now().Add(s.ttl)
}

// forget forgets what came before the last acknowledged state.
func (r *record) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.states) - 1
	if last > 0 && r.states[last].latest.IsZero() {
		last--
	}
	r.states = append([]state(nil), r.states[last:]...)
}

func (r *record) possible() []state {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]state(nil), r.states...)
}

// present is the state that the writer of the key sees.
func (r *record) present() state {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[len(r.states)-1]
}

// A scribbler writes to keys of its own, and notes what it does.
type scribbler struct {
	d       *Driver
	rng     *rand.Rand
	records []*record
	counter *record
	serial  int
	large   bool // of the values one in four is of several blocks of the log, instead of one in twenty
}

func newScribbler(d *Driver, name, keys int, seed uint64) *scribbler {
	s := &scribbler{d: d, rng: rand.New(rand.NewPCG(seed, uint64(name))), counter: &record{key: fmt.Sprintf("p:%d:n", name), states: make([]state, 1)}}
	for i := range keys {
		s.records = append(s.records, &record{key: fmt.Sprintf("p:%d:%d", name, i), states: make([]state, 1)})
	}
	return s
}

func (s *scribbler) all() []*record { return append([]*record{s.counter}, s.records...) }

// fresh returns a value that was not there before: often short, sometimes of several blocks of the log.
func (s *scribbler) fresh() []byte {
	s.serial++
	n := s.rng.IntN(100)
	seldom := 20
	if s.large {
		seldom = 4
	}
	if s.rng.IntN(seldom) == 0 {
		n = s.rng.IntN(6000)
	}
	return value.AppendString(nil, fmt.Sprintf("%d %d %s", s.serial, n, strings.Repeat("x", n)))
}

func (s *scribbler) ttl() time.Duration {
	return []time.Duration{0, 0, time.Hour, time.Duration(1+s.rng.IntN(20)) * time.Millisecond}[s.rng.IntN(4)]
}

// step does one operation and returns its error, after which the scribbler does not know what is there.
func (s *scribbler) step(ctx context.Context) error {
	r := s.records[s.rng.IntN(len(s.records))]
	now := r.present()
	switch s.rng.IntN(8) {
	case 0:
		return s.do(r, state{}, func(state) error { _, err := s.d.Delete(ctx, r.key); return err })
	case 1:
		n, _ := value.ParseNumber(s.counter.present().value)
		return s.do(s.counter, state{value: value.AppendNumber(nil, n+1)}, func(state) error {
			_, err := s.d.Incr(ctx, s.counter.key, 1, 0, 0)
			return err
		})
	case 2, 3:
		if now.brief() {
			return nil // nobody knows whether it is still there
		}
		return s.do(r, state{value: s.fresh(), ttl: s.ttl()}, func(next state) error {
			swapped, err := s.d.CompareAndSwap(ctx, r.key, now.value, next.value, next.ttl)
			if err == nil && !swapped {
				err = fmt.Errorf("%s is not what it must be", r.key)
			}
			return err
		})
	case 4:
		if now.value == nil || now.brief() {
			return nil
		}
		return s.do(r, state{value: now.value, ttl: s.ttl()}, func(next state) error { _, err := s.d.Touch(ctx, r.key, next.ttl); return err })
	case 5:
		return s.many(ctx)
	}
	return s.do(r, state{value: s.fresh(), ttl: s.ttl()}, func(next state) error { return s.d.Set(ctx, r.key, next.value, next.ttl) })
}

func (s *scribbler) do(r *record, next state, op func(state) error) error {
	r.begin(next)
	err := op(next)
	if err == nil {
		r.acknowledged()
	}
	return err
}

// many writes two keys in one batch.
func (s *scribbler) many(ctx context.Context) error {
	ttl := s.ttl()
	pair := s.records[:2]
	var items []store.Item
	for _, r := range pair {
		items = append(items, store.Item{Key: r.key, Value: s.fresh()})
		r.begin(state{value: items[len(items)-1].Value, ttl: ttl})
	}
	err := s.d.SetMany(ctx, items, ttl)
	for _, r := range pair {
		if err == nil {
			r.acknowledged()
		}
	}
	return err
}

// verify returns what is wrong with a store in which key may be in one of these states, or "".
func verify(d *Driver, key string, possible []state) string {
	began := time.Now()
	v, ttl, err := d.Entry(context.Background(), key)
	ended := time.Now()
	if err != nil && store.Kind(err) != "not_found" {
		return fmt.Sprintf("%s: %v", key, err)
	}
	for i := range possible {
		if possible[i].shows(v, ttl, began, ended) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %.40q with ttl %v, which is none of the %d states that it may be in, the first being %.40q with ttl %v",
		key, v, ttl, len(possible), possible[0].value, possible[0].ttl)
}

// A blackout is a copy of the disk at the moment of a loss of power, and what may be there.
type blackout struct {
	disk     memory
	possible map[string][]state
}

// verify opens the store and returns what is wrong with it.
func (b *blackout) verify(to target) string {
	d, err := open(context.Background(), to, b.disk)
	if err != nil {
		return err.Error()
	}
	defer d.Close()
	for key, possible := range b.possible {
		if what := verify(d, key, possible); what != "" {
			return what
		}
	}
	return inconsistent(d)
}

// blackouts cuts the power of a store that many write to so many times and returns what was wrong afterwards, each time that
// something was.
func blackouts(t *testing.T, to target, times int) []string {
	const writers = 6
	disk := newMemory()
	d := openOn(t, to, disk)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var records []*record
	var running, verifying sync.WaitGroup
	var stop atomic.Bool
	for i := range writers {
		s := newScribbler(d, i, 4, seed)
		records = append(records, s.all()...)
		running.Go(func() {
			for !stop.Load() {
				if err := s.step(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	found := make(chan string, times)
	queue := make(chan *blackout)
	for range runtime.GOMAXPROCS(0) {
		verifying.Go(func() {
			for b := range queue {
				if what := b.verify(to); what != "" {
					found <- what
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(seed, 99))
	for range times {
		queue <- cut(disk, records, rng)
	}
	close(queue)
	verifying.Wait()
	stop.Store(true)
	running.Wait()
	close(found)
	wantConsistent(t, d)
	var all []string
	for what := range found {
		all = append(all, what)
	}
	return all
}

// cut copies what a loss of power now may leave: all that was synced, and of the rest nothing, some or all.
func cut(disk memory, records []*record, rng *rand.Rand) *blackout {
	for _, r := range records {
		r.forget()
	}
	b := &blackout{possible: map[string][]state{}}
	b.disk = disk.crash(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 30, 70, 100}[rng.IntN(5)], RNG: rng})
	for _, r := range records {
		b.possible[r.key] = r.possible()
	}
	return b
}

func TestPowerLoss_LosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	const each = 250 // of one store
	for left := scaled(5000); left > 0; left -= each {
		if lost := blackouts(t, small, min(left, each)); len(lost) > 0 {
			t.Fatalf("wrong after %d losses of power, such as: %s", len(lost), lost[0])
		}
	}
}

// Without sync writes are lost: the test above can tell.
func TestPowerLoss_WithoutSync_IsCaughtLosing(t *testing.T) {
	to := small
	to.noSync = true
	if lost := blackouts(t, to, 50); len(lost) == 0 {
		t.Error("nothing was lost without sync: this test would not notice a loss")
	}
}
