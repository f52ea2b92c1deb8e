package memstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
)

// walkGrowth is how much more memory may be in use in the middle of a walk than before it: for pages, and for tables that those
// who come and go make grow. The list of all keys would take 3.4 MB in the shortest walk.
const walkGrowth = 2 << 20

// survivors returns how many keys a walk is to show.
func survivors() int {
	if f, err := strconv.ParseFloat(os.Getenv("STORETEST_SCALE"), 64); err == nil && f >= 20 {
		return 1_000_000
	}
	return 200_000
}

// survivor returns the name of a key that stays. The nine after it, in byte order, come and go.
func survivor(i int) string { return fmt.Sprintf("walk:%07d0", i) }

// handleOf returns a handle of a store over d.
func handleOf(t *testing.T, d *Driver) *store.Handle {
	t.Helper()
	reg := store.New(nil)
	open := func(context.Context) (store.Driver, error) { return d, nil }
	if err := reg.Define("walk", store.Definition{Open: store.Opener{Open: open}}); err != nil {
		t.Fatal(err)
	}
	unitCtx, unit := reg.Begin(ctx, "walk")
	t.Cleanup(func() {
		_ = unit.End()
		_ = reg.Close(ctx)
	})
	h, err := unit.Get(unitCtx, "walk")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A comeAndGo adds keys between n survivors and deletes them again, so that there are about as many at any time.
type comeAndGo struct {
	pause sync.RWMutex // held to look at the memory in peace
	stop  chan struct{}
	wg    sync.WaitGroup
}

func startComeAndGo(t *testing.T, h *store.Handle, n int) *comeAndGo {
	c := &comeAndGo{stop: make(chan struct{})}
	for seed := range uint64(2) {
		c.wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 0))
			recent := make([]string, 1000)
			for i := range recent {
				recent[i] = between(r, n)
			}
			for i := 0; ; i++ {
				select {
				case <-c.stop:
					return
				default:
				}
				c.step(t, h, r, n, &recent[i%len(recent)])
			}
		})
	}
	return c
}

// step deletes a key and adds another, which soon expires in some cases.
func (c *comeAndGo) step(t *testing.T, h *store.Handle, r *rand.Rand, n int, key *string) {
	c.pause.RLock()
	defer c.pause.RUnlock()
	if _, err := h.Delete(ctx, *key); err != nil {
		t.Error(err)
	}
	*key = between(r, n)
	ttl := time.Duration(0)
	if r.IntN(4) == 0 {
		ttl = store.MinTTL
	}
	if err := h.Set(ctx, *key, []byte("v"), ttl); err != nil {
		t.Error(err)
	}
}

// between returns a key that is no survivor.
func between(r *rand.Rand, n int) string {
	key := survivor(r.IntN(n))
	return key[:len(key)-1] + strconv.Itoa(1+r.IntN(9))
}

// heap returns what is in use while nobody comes or goes.
func (c *comeAndGo) heap() int64 {
	c.pause.Lock()
	defer c.pause.Unlock()
	return heap()
}

func (c *comeAndGo) end() {
	close(c.stop)
	c.wg.Wait()
}

// A sight checks one walk as it goes, and remembers nothing but the last key.
type sight struct {
	last      string
	survivors int
}

func (s *sight) see(t *testing.T, key string) {
	if key <= s.last {
		t.Fatalf("%q comes after %q", key, s.last)
	}
	s.last = key
	if !strings.HasSuffix(key, "0") {
		return
	}
	if want := survivor(s.survivors); key != want {
		t.Fatalf("the walk shows %q, want %q", key, want)
	}
	s.survivors++
}

func TestWalk_WhileOthersComeAndGo_ShowsEachSurvivorOnceInOrder_WithinBoundedMemory(t *testing.T) {
	d := opened(t, nil)
	h, n := handleOf(t, d), survivors()
	for _, i := range rand.Perm(n) {
		set(t, d, survivor(i), "v", 0)
	}
	set(t, d, "walk", "v", 0)
	set(t, d, "walk;", "v", 0) // beside the prefix on either side
	c := startComeAndGo(t, h, n)
	defer c.end()

	walk := func(name string, all func(visit func(key string))) {
		var s sight
		before, most := c.heap(), int64(0)
		all(func(key string) {
			seen := s.survivors
			s.see(t, key)
			if s.survivors == seen {
				_, _ = h.Delete(ctx, key) // the cursor may stand on it
			}
			if s.survivors != seen && s.survivors%(n/4) == 0 {
				most = max(most, c.heap()-before)
			}
		})
		if s.survivors != n {
			t.Errorf("%s: %d survivors, want %d", name, s.survivors, n)
		}
		if most > walkGrowth {
			t.Errorf("%s: %d bytes more in use than before, want at most %d", name, most, walkGrowth)
		}
	}
	for range 3 {
		walk("keys", func(visit func(string)) {
			for key, err := range h.Keys(ctx, "walk:") {
				if err != nil {
					t.Fatal(err)
				}
				visit(key)
			}
		})
		walk("items", func(visit func(string)) {
			for item, err := range h.Items(ctx, "walk:") {
				if err != nil || string(item.Value) != "v" {
					t.Fatalf("%q is %q, %v", item.Key, item.Value, err)
				}
				visit(item.Key)
			}
		})
	}
}
