package memstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opened(tb testing.TB, o *Options) *Driver {
	tb.Helper()
	d, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.Close() })
	return d
}

func set(tb testing.TB, d *Driver, key, value string, ttl time.Duration) {
	tb.Helper()
	if err := d.Set(ctx, key, []byte(value), ttl); err != nil {
		tb.Fatal(err)
	}
}

// has reports whether key is live.
func has(tb testing.TB, d *Driver, key string) bool {
	tb.Helper()
	ok, err := d.Has(ctx, key)
	if err != nil {
		tb.Fatal(err)
	}
	return ok
}

// size returns how many entries take memory, live or not, and their bytes.
func (d *Driver) size() (entries int, bytes int64) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.RLock()
		entries += len(s.items) + len(s.others)
		for it := range s.all() {
			bytes += it.bytes()
		}
		s.mu.RUnlock()
	}
	return entries, bytes
}

func (s *shard) all() func(func(item) bool) {
	return func(yield func(item) bool) {
		for _, m := range [](func(func(item) bool)){maps.Values(s.items), maps.Values(s.others)} {
			for it := range m {
				if !yield(it) {
					return
				}
			}
		}
	}
}

// verify fails unless maps, indexes, trackers and room agree, at a moment when no shard is locked.
func verify(tb testing.TB, d *Driver) {
	tb.Helper()
	var mapped, indexed []string
	var bytes int64
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.RLock()
		defer s.mu.RUnlock()
	}
	for i := range d.shards {
		keys, n := verifyShard(tb, &d.shards[i])
		mapped, bytes = append(mapped, keys...), bytes+n
	}
	for i := range d.indexes {
		d.indexes[i].ascend("", func(key []byte) bool { indexed = append(indexed, string(key)); return true })
	}
	slices.Sort(mapped)
	slices.Sort(indexed)
	if !slices.Equal(mapped, indexed) {
		tb.Errorf("maps hold %d keys, indexes %d others", len(mapped), len(indexed))
	}
	if d.room != nil && (d.room.entries != int64(len(mapped)) || d.room.bytes != bytes) {
		tb.Errorf("room counts %d entries and %d bytes, there are %d and %d", d.room.entries, d.room.bytes, len(mapped), bytes)
	}
}

// verifyShard returns the keys of a shard and the bytes of its entries.
func verifyShard(tb testing.TB, s *shard) (keys []string, bytes int64) {
	tb.Helper()
	tracked := 0
	for it := range s.all() {
		keys, bytes = append(keys, it.key), bytes+it.bytes()
		if it.track == 0 {
			continue
		}
		tracked++
		if got := s.tracked(s.tracks.at(it.track-1).hash, it.track).key; got != it.key {
			tb.Errorf("the track of %q is that of %q", it.key, got)
		}
	}
	if tracked != s.tracks.len() {
		tb.Errorf("%d items have a track, there are %d tracks", tracked, s.tracks.len())
	}
	if s.expires.Load() != (s.tracks.earliest() != never) {
		tb.Error("expires does not tell whether entries of the shard expire")
	}
	verifySchedule(tb, &s.tracks)
	return keys, bytes
}

func verifySchedule(tb testing.TB, t *tracker) {
	tb.Helper()
	for pos := range t.heap.len() {
		d := *t.heap.at(pos)
		tr := t.at(d.track)
		if int(tr.pos) != pos+1 || d.at > tr.deadline || t.heap.at(max(pos-1, 0)/2).at > d.at {
			tb.Errorf("place %d of the schedule is wrong", pos)
		}
	}
	for i := range t.len() {
		if tr := t.at(uint32(i)); (tr.deadline == 0) != (tr.pos == 0) {
			tb.Errorf("track %d with deadline %d has place %d", i, tr.deadline, tr.pos)
		}
	}
}

func TestOpener_SharesByValue(t *testing.T) {
	o := &Options{MaxEntries: 1}
	a, b := Opener(o), Opener(o)
	if same := a; same.Connection != a.Connection || a.Connection == b.Connection {
		t.Error("an Opener must equal itself and no other")
	}
	o.MaxEntries = 5
	d, err := a.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := d.Info().MaxEntries; got != 1 {
		t.Errorf("MaxEntries = %d: Opener must copy its options", got)
	}
	if _, err := Opener(&Options{MaxBytes: -1}).Open(ctx); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("bad options: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if d, err := b.Open(ended); d != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v, %v", d, err)
	}
}

// everyCall calls each method once and returns the errors by name.
func everyCall(ctx context.Context, d *Driver) map[string]error {
	errs := map[string]error{}
	note := func(name string, err error) { errs[name] = err }
	_, err := d.Get(ctx, "k:1")
	note("Get", err)
	_, _, err = d.Entry(ctx, "k:1")
	note("Entry", err)
	_, err = d.TTL(ctx, "k:1")
	note("TTL", err)
	_, err = d.Has(ctx, "k:1")
	note("Has", err)
	note("Set", d.Set(ctx, "k:1", []byte("changed"), 0))
	_, err = d.Delete(ctx, "k:1")
	note("Delete", err)
	_, err = d.Touch(ctx, "k:1", time.Hour)
	note("Touch", err)
	_, err = d.CompareAndSwap(ctx, "k:1", []byte("v"), []byte("changed"), 0)
	note("CompareAndSwap", err)
	_, err = d.List(ctx, "", "", 10)
	note("List", err)
	_, err = d.GetMany(ctx, nil)
	note("GetMany", err)
	note("SetMany", d.SetMany(ctx, []store.Item{{Key: "k:2", Value: []byte("v")}}, 0))
	_, err = d.DeleteMany(ctx, []string{"k:1"})
	note("DeleteMany", err)
	_, err = d.Incr(ctx, "k:3", 1, 0, 0)
	note("Incr", err)
	return errs
}

func TestDriver_EndedContext_ChangesNothing(t *testing.T) {
	d := opened(t, nil)
	set(t, d, "k:1", "v", 0)
	ended, cancel := context.WithTimeout(ctx, 0)
	defer cancel()
	for name, err := range everyCall(ended, d) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, ttl, err := d.Entry(ctx, "k:1"); string(v) != "v" || ttl != 0 || err != nil {
		t.Errorf("the entry changed: %q %v %v", v, ttl, err)
	}
	if n, _ := d.size(); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func TestDriver_Closed_AnswersUnavailable(t *testing.T) {
	d := opened(t, nil)
	set(t, d, "k:1", "v", time.Hour)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range everyCall(ctx, d) {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, _ := d.size(); n != 0 {
		t.Errorf("%d entries are kept", n)
	}
}

func TestDriver_CloseBesideCalls_NeverAnswersWrongly(t *testing.T) {
	for range 20 {
		d := opened(t, nil)
		set(t, d, "k:1", "v", 0)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					_, err := d.Get(ctx, "k:1")
					if errors.Is(err, store.ErrUnavailable) {
						return
					}
					if err != nil {
						t.Errorf("get of an existing key: %v", err)
						return
					}
					if err := d.Set(ctx, "k:2", nil, time.Hour); err != nil && !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("set: %v", err)
					}
				}
			})
		}
		_ = d.Close()
		wg.Wait()
		verify(t, d)
	}
}

func TestDriver_KeepsValuesAndCopiesKeys(t *testing.T) {
	d := opened(t, nil)
	in := []byte("value")[:3:5]
	key := []byte("k:1")
	if err := d.Set(ctx, string(key), in, 0); err != nil {
		t.Fatal(err)
	}
	out, err := d.Get(ctx, "k:1")
	if err != nil || &out[0] != &in[0] {
		t.Errorf("the value was copied, or lost: %v", err)
	}
	if cap(out) != len(out) {
		t.Error("a reader's append would write into the stored value's array")
	}
	for _, empty := range [][]byte{nil, {}} {
		if err := d.Set(ctx, "k:1", empty, 0); err != nil {
			t.Fatal(err)
		}
		if out, err := d.GetMany(ctx, []string{"k:1", "k:2"}); err != nil || out[0] == nil || out[1] != nil {
			t.Errorf("nil must mean absent and nothing else: %v %v", out, err)
		}
	}
}

func TestDriver_GetAndMiss_AllocateNothing(t *testing.T) {
	for name, o := range map[string]*Options{"unbounded": nil, "evict": {MaxEntries: 10, OnFull: Evict}} {
		d := opened(t, o)
		set(t, d, "k:1", "v", 0)
		set(t, d, "k:2", "v", time.Hour)
		value := []byte("w")
		if n := testing.AllocsPerRun(100, func() {
			_, _ = d.Get(ctx, "k:1")
			_, _ = d.Get(ctx, "k:2")
			_, _ = d.Get(ctx, "k:absent")
			_, _ = d.Has(ctx, "k:1")
			_ = d.Set(ctx, "k:1", value, 0)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Hashes of 64 bits do not collide in tests: here a shard is told that they do.
func TestShard_KeysOfOneHash_StayApart(t *testing.T) {
	d := opened(t, &Options{MaxEntries: 100, MaxBytes: 1 << 20, OnFull: Evict}) // one shard, all tracked
	s := &d.shards[0]
	model := map[string]string{}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		key := fmt.Sprintf("k:%d", r.IntN(6))
		if it, ok := s.find(7, key); ok && r.IntN(3) == 0 {
			s.drop(7, it)
			delete(model, key)
		} else {
			model[key] = fmt.Sprint(i)
			if err := s.put(7, key, []byte(model[key]), int64(r.IntN(2))*never); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 6 {
			key := fmt.Sprintf("k:%d", n)
			it, ok := s.find(7, key)
			if want, exists := model[key]; ok != exists || ok && string(it.value()) != want {
				t.Fatalf("%s is %q, %v, want %q, %v", key, it.value(), ok, want, exists)
			}
		}
	}
	verify(t, d)
}

func TestDriver_Incr(t *testing.T) {
	d := opened(t, nil)
	number := func(f float64) string { return string(value.AppendNumber(nil, f)) }
	for _, c := range []struct {
		stored         string // "" for absent
		delta, initial float64
		want           float64
		err            error
	}{
		{"", 1, 10, 11, nil},
		{"", 0, math.Copysign(0, -1), 0, nil},
		{number(math.Copysign(0, -1)), math.Copysign(0, -1), 5, 0, nil},
		{number(1.5), 0.25, 5, 1.75, nil},
		{number(1<<53 - 1), 1, 0, 1 << 53, nil},
		{number(1 << 53), 2, 0, 0, store.ErrOutOfRange},
		{number(-1 << 53), -2, 0, 0, store.ErrOutOfRange},
		{number(math.Inf(1)), 1, 0, 0, store.ErrOutOfRange},
		{number(math.NaN()), 1, 0, 0, store.ErrOutOfRange},
		{"\xa1x", 1, 0, 0, store.ErrNotNumber},
		{"", math.MaxFloat64, math.MaxFloat64, 0, store.ErrOutOfRange},
	} {
		_, _ = d.Delete(ctx, "n:1")
		if c.stored != "" {
			set(t, d, "n:1", c.stored, time.Hour)
		}
		got, err := d.Incr(ctx, "n:1", c.delta, c.initial, time.Minute)
		if got != c.want || math.Signbit(got) != math.Signbit(c.want) || !errors.Is(err, c.err) {
			t.Errorf("%+v: got %v, %v", c, got, err)
		}
		after, ttl, _ := d.Entry(ctx, "n:1")
		want := c.stored
		if c.err == nil {
			want = number(c.want)
		}
		if string(after) != want {
			t.Errorf("%+v: stored %x, want %x", c, after, want)
		}
		if c.stored != "" && ttl <= time.Minute || c.stored == "" && ttl > time.Minute {
			t.Errorf("%+v: ttl %v", c, ttl)
		}
	}
}

func TestDriver_Concurrent_CountsExactly(t *testing.T) {
	const workers, each = 8, 2000
	for name, o := range map[string]*Options{"unbounded": nil, "refuse": {MaxEntries: 10_000}} {
		d := opened(t, o)
		var wg sync.WaitGroup
		var added atomic.Int64
		for w := range workers {
			wg.Go(func() {
				for i := range each {
					if _, err := d.Incr(ctx, "n:1", 1, 0, 0); err != nil {
						t.Error(err)
					}
					key := fmt.Sprintf("once:%d", i)
					if ok, _ := d.CompareAndSwap(ctx, key, nil, []byte("v"), time.Hour); ok {
						added.Add(1)
					}
					_, _ = d.List(ctx, "once:", "", w+1)
				}
			})
		}
		wg.Wait()
		got, _ := d.Get(ctx, "n:1")
		if n, _ := value.ParseNumber(got); n != workers*each || added.Load() != each {
			t.Errorf("%s: counted %v and added %d, want %d and %d", name, n, added.Load(), workers*each, each)
		}
		verify(t, d)
	}
}

// All methods on few keys from many goroutines, with expiry and bounds: the race detector and verify look on.
func TestDriver_Concurrent_StaysConsistent(t *testing.T) {
	for name, o := range map[string]*Options{
		"unbounded": nil,
		"refuse":    {MaxEntries: 300, MaxBytes: 4000},
		"evict":     {MaxEntries: 300, MaxBytes: 1 << 22, OnFull: Evict},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := opened(t, o)
				var wg sync.WaitGroup
				for seed := range uint64(6) {
					wg.Go(func() { churn(d, rand.New(rand.NewPCG(seed, 1)), 3000) })
				}
				wg.Wait()
				verify(t, d)
				time.Sleep(time.Minute)
				verify(t, d)
			})
		})
	}
}

func churn(d *Driver, r *rand.Rand, n int) {
	for range n {
		key := fmt.Sprintf("k%d:%d", r.IntN(3), r.IntN(200))
		ttl := []time.Duration{0, store.KeepTTL, time.Millisecond, time.Duration(1+r.IntN(1000)) * time.Millisecond}[r.IntN(4)]
		switch r.IntN(8) {
		case 0, 1:
			_ = d.Set(ctx, key, make([]byte, r.IntN(20)), ttl)
		case 2:
			_, _ = d.Delete(ctx, key)
		case 3:
			_, _ = d.Touch(ctx, key, ttl)
		case 4:
			_, _ = d.Incr(ctx, "n"+key, 1, 0, ttl)
		case 5:
			old, _, _ := d.Entry(ctx, key)
			_, _ = d.CompareAndSwap(ctx, key, old, []byte("swapped"), ttl)
		case 6:
			_, _ = d.List(ctx, "k1:", "", 1+r.IntN(100))
			_, _ = d.GetMany(ctx, []string{key, "k1:1"})
		default:
			time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
		}
	}
}
