package near

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// keep reads key from a source and finds value there.
func keep(c *Cache, from *Source, key, value string, left time.Duration) bool {
	return c.Begin(key, from).Keep([]byte(value), left)
}

func want(t *testing.T, c *Cache, key, value string) {
	t.Helper()
	if v, ok := c.Get(key); string(v) != value || !ok {
		t.Errorf("get %s: %q, %v, want %q", key, v, ok, value)
	}
}

func wantNone(t *testing.T, c *Cache, key string) {
	t.Helper()
	if v, ok := c.Get(key); ok {
		t.Errorf("get %s: %q, want nothing", key, v)
	}
}

func wantEmpty(t *testing.T, c *Cache) {
	t.Helper()
	if entries, bytes := c.holds(); entries != 0 || bytes != 0 {
		t.Errorf("%d entries of %d bytes, want none", entries, bytes)
	}
}

// holds returns how many entries there are, and what they count as.
func (c *Cache) holds() (entries int, bytes int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		entries += len(s.ring)
		bytes += s.bytes
		s.mu.RUnlock()
	}
	return entries, bytes
}

func TestCache_AnswersWhatWasReadUntilItIsEvicted(t *testing.T) {
	c, from := New(MinBytes), &Source{}
	wantNone(t, c, "k:1")
	if !keep(c, from, "k:1", "a", 0) || !keep(c, from, "k:2", "", 0) {
		t.Fatal("not kept")
	}
	want(t, c, "k:1", "a")
	want(t, c, "k:2", "")
	keep(c, from, "k:1", "b", 0)
	want(t, c, "k:1", "b")
	c.Evict("k:1")
	wantNone(t, c, "k:1")
	want(t, c, "k:2", "")
	c.Evict("k:2")
	wantEmpty(t, c)
}

func TestCache_AppendToAnAnswer_ChangesNoOther(t *testing.T) {
	c, from := New(MinBytes), &Source{}
	c.Begin("k:1", from).Keep([]byte("abc")[:1], 0)
	v, _ := c.Get("k:1")
	_ = append(v, 'x')
	w, _ := c.Get("k:1")
	if got := string(w[:cap(w)]); got != "a" {
		t.Errorf("%q after an append, want a", got)
	}
}

// What a cache without tickets gets wrong: the news that a value is old come before the value.
func TestTicket_KeyEvictedSinceItsReadBegan_IsNotKept(t *testing.T) {
	for name, change := range map[string]func(c *Cache, from *Source){
		"evicted": func(c *Cache, _ *Source) { c.Evict("k:1") },
		"lost":    func(_ *Cache, from *Source) { from.Lose() },
		"evicted and read again": func(c *Cache, from *Source) {
			c.Evict("k:1")
			keep(c, from, "k:1", "new", 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, from := New(MinBytes), &Source{}
			ticket := c.Begin("k:1", from)
			change(c, from)
			if ticket.Keep([]byte("old"), 0) {
				t.Error("what was read before the change was kept after it")
			}
			if v, _ := c.Get("k:1"); string(v) == "old" {
				t.Error("what was read before the change is answered after it")
			}
			if fresh := (&Source{}); !keep(c, fresh, "k:1", "newer", 0) {
				t.Error("a read that began after the change was not kept")
			}
			want(t, c, "k:1", "newer")
		})
	}
}

func TestCache_SourceLost_AnswersNothingOfItAndAllOfOthers(t *testing.T) {
	c, lost, other := New(64<<20), &Source{}, &Source{}
	const keys = 50_000
	for i := range keys {
		from := lost
		if i%3 == 0 {
			from = other
		}
		keep(c, from, fmt.Sprint("k:", i), "v", 0)
	}
	lost.Lose()
	for i := range keys {
		if _, ok := c.Get(fmt.Sprint("k:", i)); ok != (i%3 == 0) {
			t.Fatalf("k:%d: %v", i, ok)
		}
	}
	c.Sweep(lost)
	if got, _ := c.holds(); got != (keys+2)/3 {
		t.Errorf("%d entries are left, want %d", got, (keys+2)/3)
	}
	other.Lose()
	c.Sweep(other)
	wantEmpty(t, c)
}

func TestCache_ValueWithATime_IsNeverAnsweredAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, from := New(MinBytes), &Source{}
		ticket := c.Begin("k:1", from)
		time.Sleep(300 * time.Millisecond) // the answer takes so long
		if !ticket.Keep([]byte("v"), time.Second) {
			t.Fatal("not kept")
		}
		keep(c, from, "k:forever", "v", 0)
		time.Sleep(699*time.Millisecond - time.Nanosecond)
		want(t, c, "k:1", "v") // a millisecond less than the server said, from before it was asked
		time.Sleep(time.Nanosecond)
		wantNone(t, c, "k:1")
		time.Sleep(100 * 365 * 24 * time.Hour)
		want(t, c, "k:forever", "v")

		late := c.Begin("k:late", from)
		time.Sleep(100 * time.Millisecond)
		for _, left := range []time.Duration{time.Nanosecond, time.Millisecond, 101 * time.Millisecond} {
			if late.Keep([]byte("v"), left) {
				t.Errorf("kept with %v left 100 ms ago", left)
			}
		}
	})
}

func TestCache_BytesStayWithinTheBoundWhateverComes(t *testing.T) {
	const most = 8 << 20
	c, from := New(most), &Source{}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range 20_000 {
				key := fmt.Sprint("k:", r.IntN(30_000))
				switch r.IntN(8) {
				case 0:
					c.Evict(key)
				case 1, 2:
					c.Get(key)
				default:
					keep(c, from, key, strings.Repeat("x", r.IntN(1<<r.IntN(15))), 0)
				}
				if _, bytes := c.holds(); bytes > most {
					t.Errorf("%d bytes, the bound is %d", bytes, most)
					return
				}
			}
		})
	}
	writers.Wait()
	if entries, bytes := c.holds(); entries > 20_000 || bytes < most/2 {
		t.Errorf("%d entries of %d bytes: nothing was thrown out, or too much", entries, bytes)
	}
	for i := range 30_000 {
		c.Evict(fmt.Sprint("k:", i))
	}
	wantEmpty(t, c)
}

func TestCache_Full_KeepsWhatIsUsed(t *testing.T) {
	c, from := New(MinBytes), &Source{}
	value := strings.Repeat("x", 1000)
	for i := range 100 {
		keep(c, from, fmt.Sprint("used:", i), value, 0)
	}
	for i := range 5_000 {
		keep(c, from, fmt.Sprint("once:", i), value, 0)
		if i%100 == 0 {
			for i := range 100 {
				c.Get(fmt.Sprint("used:", i))
			}
		}
	}
	kept := 0
	for i := range 100 {
		if _, ok := c.Get(fmt.Sprint("used:", i)); ok {
			kept++
		}
	}
	if kept != 100 {
		t.Errorf("%d of 100 entries that are in use were kept", kept)
	}
}

// Readers wait while room is made.
func TestCache_FullOfWhatIsUsed_LooksAtFewEntriesForOneThatGoes(t *testing.T) {
	const n = 10 * passedAtOnce
	s := &shard{}
	s.init(n * (overhead + 8))
	from := &Source{}
	add := func(i int) { s.put(uint64(i), &entry{key: fmt.Sprintf("%08d", i), from: from}) }
	for i := range n {
		add(i)
	}
	for _, e := range s.ring {
		e.used.Store(true)
	}
	add(n)
	passed := 0
	for _, e := range s.ring {
		if !e.used.Load() {
			passed++
		}
	}
	if passed--; passed > passedAtOnce { // less the new one
		t.Errorf("%d entries in use were passed by for one, want at most %d", passed, passedAtOnce)
	}
	if len(s.ring) != n {
		t.Errorf("%d entries, want %d", len(s.ring), n)
	}
}

func TestCache_ValueOfMoreThanAQuarterOrAMebibyte_IsNotKept(t *testing.T) {
	for most, fits := range map[int64]int{MinBytes: MinBytes / 4, 64 << 20: 1 << 20} {
		c, from := New(most), &Source{}
		fits -= overhead + len("k:1")
		if !keep(c, from, "k:1", strings.Repeat("x", fits), 0) {
			t.Errorf("of %d bytes: %d are not kept", most, fits)
		}
		if keep(c, from, "k:2", strings.Repeat("x", fits+1), 0) {
			t.Errorf("of %d bytes: %d are kept", most, fits+1)
		}
	}
}

// A reader must see at least what was written when its call began, whoever wrote, and however reads and writes meet.
func TestCache_ReadersAndWritersAtOnce_NobodySeesWhatWasOldWhenItAsked(t *testing.T) {
	stale := race(func(c *Cache, from *Source, key string, read func() []byte) {
		ticket := c.Begin(key, from)
		ticket.Keep(read(), 0)
	})
	if stale > 0 {
		t.Errorf("%d reads were older than a write that had returned", stale)
	}
}

// The trial of the test above finds the fault that tickets are against.
func TestCache_TicketTakenAfterTheRead_IsStale(t *testing.T) {
	stale := race(func(c *Cache, from *Source, key string, read func() []byte) {
		v := read()
		runtime.Gosched()
		c.Begin(key, from).Keep(v, 0)
	})
	if stale == 0 {
		t.Error("no read was stale: the trial shows nothing")
	}
}

// race lets a writer and readers meet on one key of a server, and counts the answers that were old when their reader asked.
func race(fill func(c *Cache, from *Source, key string, read func() []byte)) (stale int) {
	c, from := New(MinBytes), &Source{}
	server := &register{}
	done := make(chan struct{})
	var readers sync.WaitGroup
	var mu sync.Mutex
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				written := server.returned()
				v, ok := c.Get("k:1")
				if !ok {
					fill(c, from, "k:1", server.read)
					continue
				}
				if decode(v) < written {
					mu.Lock()
					stale++
					mu.Unlock()
				}
				runtime.Gosched()
			}
		})
	}
	for i := range 20_000 {
		c.Evict("k:1")
		server.write(i + 1)
		c.Evict("k:1")
		server.return1(i + 1)
		runtime.Gosched()
	}
	close(done)
	readers.Wait()
	return stale
}

// A register is one key of a server.
type register struct {
	mu      sync.Mutex
	value   int
	settled int // the last write that has returned to its caller
}

func (r *register) read() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Append(nil, r.value)
}

func (r *register) write(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.value = n
}

func (r *register) return1(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled = n
}

func (r *register) returned() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settled
}

func decode(v []byte) (n int) {
	fmt.Sscan(string(v), &n)
	return n
}

func TestCache_TakesNoMoreMemoryThanItCounts(t *testing.T) {
	for _, size := range []int{9, 100, 1000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			c, from := New(256<<20), &Source{}
			for i := range 50_000 {
				key := fmt.Sprintf("session:%08d", i)
				c.Begin(key, from).Keep(make([]byte, size), 0)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			_, counted := c.holds()
			took := int64(after.HeapAlloc - before.HeapAlloc)
			t.Logf("took %d, counted %d (%.2f), %d beyond keys and values each", took, counted, float64(took)/float64(counted), took/50_000-int64(size)-16)
			if took > counted*105/100 {
				t.Errorf("%d bytes are taken, %d counted", took, counted)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	c, from := New(64<<20), &Source{}
	for i := range 1000 {
		keep(c, from, fmt.Sprint("k:", i), "v", time.Duration(i%2)*time.Hour)
	}
	for name, key := range map[string]string{"hit": "k:2", "hit that expires": "k:3", "miss": "k:none"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					c.Get(key)
				}
			})
		})
	}
}
