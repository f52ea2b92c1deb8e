package memstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

func wantFull(t *testing.T, err error, text string) {
	t.Helper()
	if !errors.Is(err, store.ErrFull) || err.Error() != text || store.Kind(err) != "full" {
		t.Errorf("got %v, want %s", err, text)
	}
}

func TestRefuse_SaysWhichLimit(t *testing.T) {
	d := opened(t, &Options{MaxEntries: 2, MaxBytes: 20})
	set(t, d, "k:1", "v", time.Hour)
	set(t, d, "k:2", "v", 0)
	wantFull(t, d.Set(ctx, "k:3", nil, 0), "store full: 2 entries, the limit is max_entries=2")
	wantFull(t, d.Set(ctx, "k:1", make([]byte, 14), 0), "store full: 8 bytes and 13 more to write, the limit is max_bytes=20")
	wantFull(t, d.Set(ctx, "k:1", make([]byte, 18), 0), "store full: the entry has 21 bytes, the limit is max_bytes=20")
	_, err := d.CompareAndSwap(ctx, "k:3", nil, []byte("v"), 0)
	wantFull(t, err, "store full: 2 entries, the limit is max_entries=2")
	n, err := d.Incr(ctx, "k:3", 1, 0, 0)
	wantFull(t, err, "store full: 2 entries, the limit is max_entries=2")
	if v, ttl, _ := d.Entry(ctx, "k:1"); string(v) != "v" || ttl < time.Minute || n != 0 {
		t.Errorf("a refused write changed the entry: %q %v %v", v, ttl, n)
	}
	set(t, d, "k:1", strings.Repeat("v", 13), store.KeepTTL) // overwriting fits exactly
	verify(t, d)
}

func TestRefuse_ReclaimsExpiredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := opened(t, &Options{MaxEntries: 10_000})
		for i := range 10_000 {
			set(t, d, fmt.Sprintf("k:%d", i), "v", time.Hour)
		}
		for i := range 10_000 {
			if ok, err := d.Touch(ctx, fmt.Sprintf("k:%d", i), 2*time.Hour); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		set(t, d, "k:77", "v", 50*time.Millisecond)
		time.Sleep(49 * time.Millisecond)
		if err := d.Set(ctx, "new:1", nil, 0); !errors.Is(err, store.ErrFull) {
			t.Errorf("nothing has expired: %v", err)
		}
		time.Sleep(time.Millisecond)
		set(t, d, "new:1", "v", 0)
		if err := d.Set(ctx, "new:2", nil, 0); !errors.Is(err, store.ErrFull) {
			t.Errorf("one had expired: %v", err)
		}
		verify(t, d)
	})
}

func TestBounds_HoldAtEveryMoment(t *testing.T) {
	for _, full := range []OnFull{Refuse, Evict} {
		t.Run(string(full), func(t *testing.T) {
			d := opened(t, &Options{MaxEntries: 5000, MaxBytes: 1 << 17, OnFull: full})
			stop := make(chan struct{})
			var watch, work sync.WaitGroup
			watch.Go(func() {
				for {
					d.room.mu.Lock()
					entries, bytes := d.room.entries, d.room.bytes
					d.room.mu.Unlock()
					if entries > 5000 || bytes > 1<<17 || entries < 0 || bytes < 0 {
						t.Errorf("%d entries, %d bytes", entries, bytes)
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
			for seed := range uint64(4) {
				work.Go(func() {
					r := rand.New(rand.NewPCG(seed, 0))
					for range 10_000 {
						key := fmt.Sprintf("k:%d", r.IntN(10_000))
						if r.IntN(4) == 0 {
							_, _ = d.Delete(ctx, key)
						} else if err := d.Set(ctx, key, make([]byte, r.IntN(100)), 0); err != nil && full == Evict {
							t.Error(err)
						}
					}
				})
			}
			work.Wait()
			close(stop)
			watch.Wait()
			verify(t, d)
		})
	}
}

func TestEvict_KeepsWhatIsUsed(t *testing.T) {
	for _, limit := range []int64{10, 1000, 20_000} {
		d := opened(t, &Options{MaxEntries: limit, OnFull: Evict})
		hot := int(limit / 5)
		for i := range hot {
			set(t, d, fmt.Sprintf("hot:%d", i), "v", 0)
		}
		lost := 0
		for i := range int(limit) * 5 {
			set(t, d, fmt.Sprintf("cold:%d", i), "v", 0)
			if _, err := d.Get(ctx, fmt.Sprintf("hot:%d", i%hot)); err != nil {
				lost++
				set(t, d, fmt.Sprintf("hot:%d", i%hot), "v", 0)
			}
		}
		if lost*100 > int(limit)*5 {
			t.Errorf("limit %d: %d of %d reads missed an entry that is read all the time", limit, lost, limit*5)
		}
		if n, _ := d.size(); int64(n) != limit {
			t.Errorf("%d entries, want %d", n, limit)
		}
		verify(t, d)
	}
}

func TestEvict_WhenAllAreUsed_EvictsAll(t *testing.T) {
	d := opened(t, &Options{MaxEntries: 5000, OnFull: Evict})
	for i := range 10_000 {
		key := fmt.Sprintf("k:%d", i)
		set(t, d, key, "v", 0)
		if _, err := d.Get(ctx, key); err != nil {
			t.Fatalf("what was just written is gone: %v", err)
		}
	}
	verify(t, d)
}

func TestEvict_MakesRoomForLargeValues(t *testing.T) {
	d := opened(t, &Options{MaxBytes: 100_000, OnFull: Evict})
	for i := range 5000 {
		set(t, d, fmt.Sprintf("k:%04d", i), strings.Repeat("v", 20), 0)
	}
	set(t, d, "k:large", strings.Repeat("v", 90_000), 0)
	if !has(t, d, "k:large") {
		t.Error("the large value is gone")
	}
	wantFull(t, d.Set(ctx, "k:larger", make([]byte, 100_000), 0), "store full: the entry has 100008 bytes, the limit is max_bytes=100000")
	if !has(t, d, "k:large") {
		t.Error("a hopeless write evicted something")
	}
	verify(t, d)
}

func TestEvict_PrefersExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := opened(t, &Options{MaxEntries: 1000, OnFull: Evict})
		for i := range 1000 {
			set(t, d, fmt.Sprintf("k:%d", i), "v", time.Duration(i%2)*50*time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		for i := range 500 {
			set(t, d, fmt.Sprintf("new:%d", i), "v", 0)
		}
		for i := 0; i < 1000; i += 2 {
			if !has(t, d, fmt.Sprintf("k:%d", i)) {
				t.Fatal("a live entry was evicted though others had expired")
			}
		}
		verify(t, d)
	})
}

func TestSetMany_Full_NamesTheKeys(t *testing.T) {
	d := opened(t, &Options{MaxEntries: 2})
	err := d.SetMany(ctx, []store.Item{{Key: "k:1"}, {Key: "k:2"}, {Key: "k:3"}, {Key: "k:4"}}, time.Hour)
	batch, ok := errors.AsType[*store.BatchError](err)
	if !ok || !errors.Is(err, store.ErrFull) || fmt.Sprint(batch.Keys()) != "[k:3 k:4]" {
		t.Fatalf("got %v", err)
	}
	if !has(t, d, "k:1") || !has(t, d, "k:2") || has(t, d, "k:3") {
		t.Error("the rest must be done")
	}
	if n, err := d.DeleteMany(ctx, []string{"k:1", "k:3", "k:2"}); n != 2 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	verify(t, d)
}

// A write that keeps an expiry or builds on a value must find the entry that it is about, however much room it needs.
func TestEvict_SparesTheEntryBeingWritten(t *testing.T) {
	const limit = 200
	full := func(t *testing.T, key string, value []byte) *Driver {
		d := opened(t, &Options{MaxBytes: limit, OnFull: Evict})
		if err := d.Set(ctx, key, value, time.Minute); err != nil {
			t.Fatal(err)
		}
		set(t, d, "f:1", strings.Repeat("v", limit-len(key)-len(value)-len("f:1")), 0)
		return d
	}
	for range 20 { // the shards of the keys differ from one store to the next
		d := full(t, "s:1", []byte("0123456789"))
		set(t, d, "s:1", "0123456789x", store.KeepTTL)
		if ttl, err := d.TTL(ctx, "s:1"); ttl == 0 || err != nil {
			t.Fatalf("Set that keeps the expiry: %v, %v", ttl, err)
		}
		d = full(t, "n:1", value.AppendNumber(nil, 127))
		if sum, err := d.Incr(ctx, "n:1", 1, 0, 0); sum != 128 || err != nil {
			t.Fatalf("Incr of 127: %v, %v", sum, err)
		}
		d = full(t, "c:1", []byte("abc"))
		if ok, err := d.CompareAndSwap(ctx, "c:1", []byte("abc"), []byte("abcd"), 0); !ok || err != nil {
			t.Fatalf("CompareAndSwap: %v, %v", ok, err)
		}
	}
}
