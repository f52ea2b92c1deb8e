package redisstore

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/redistest"
)

// listAll follows the cursors to the end and returns the keys, sorted and without repetitions, and how many pages it took.
func listAll(t testing.TB, ctx context.Context, d *Driver, prefix string, limit int) (keys []string, pages int) {
	t.Helper()
	for cursor := ""; ; {
		page, err := d.List(ctx, prefix, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, page.Keys...)
		pages++
		if cursor = page.Next; cursor == "" {
			slices.Sort(keys)
			return slices.Compact(keys), pages
		}
	}
}

// fill stores n keys, each an index behind prefix.
func fill(t testing.TB, client rueidis.Client, prefix string, n int) {
	t.Helper()
	for from := 0; from < n; from += 1000 {
		var commands []rueidis.Completed
		for i := from; i < min(n, from+1000); i++ {
			commands = append(commands, client.B().Set().Key(prefix+strconv.Itoa(i)).Value("v").Build())
		}
		for _, reply := range client.DoMulti(context.Background(), commands...) {
			if err := reply.Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestList_GlobCharacters_MatchThemselvesOnly(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	names := []string{"*", "?", "[a]", "[^a]", "]", "[", `\`, `\*`, `\\`, "a", "ab", "a*b", "a?b", "axb", "a-b", "é*", "{a}", "^"}
	for _, name := range names {
		d.Set(ctx, "k:"+name, []byte("v"), 0)
		d.Set(ctx, "j:"+name, []byte("v"), 0)
	}
	for _, prefix := range names {
		var want []string
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				want = append(want, "k:"+name)
			}
		}
		slices.Sort(want)
		if got, _ := listAll(t, ctx, d, "k:"+prefix, 3); !slices.Equal(got, want) {
			t.Errorf("prefix %q lists %q, want %q", "k:"+prefix, got, want)
		}
	}
	if got, _ := listAll(t, ctx, d, "", 1000); len(got) != 2*len(names) {
		t.Errorf("the empty prefix lists %d keys", len(got))
	}
}

func TestEscapeGlob_MatchesThePrefixItself(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		prefix := randomOf(r, `*?[]\^-a`, 6)
		other := randomOf(r, `*?[]\^-a`, 6)
		// path.Match knows the same special characters.
		for _, s := range []string{prefix, other} {
			if ok, err := path.Match(escapeGlob(prefix), s); err != nil || ok != (s == prefix) {
				t.Fatalf("%q as pattern %q on %q: %v, %v", prefix, escapeGlob(prefix), s, ok, err)
			}
		}
	}
}

func randomOf(r *rand.Rand, letters string, length int) string {
	b := make([]byte, r.IntN(length+1))
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

func TestList_SmallPrefixInALargeDatabase(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx, raw := openURL(t, server.URL()), testContext(t), server.Client(t)
	fill(t, raw, "large:", 200_000)
	fill(t, raw, "small:", 7)
	keys, pages := listAll(t, ctx, d, "small:", 100)
	if len(keys) != 7 {
		t.Errorf("%d keys, want 7", len(keys))
	}
	// Each call looks at maxLook positions and perhaps a little more; the hash table has up to twice as many as keys.
	if pages < 3 || pages > 10 {
		t.Errorf("%d calls", pages)
	}
	for _, limit := range []int{1, 100, 1000} {
		page, err := d.List(ctx, "large:", "", limit)
		if err != nil || len(page.Keys) < limit/2 || len(page.Keys) > 2*limit+2*minCount {
			t.Errorf("a page of %d has %d keys, %v", limit, len(page.Keys), err)
		}
	}
	if keys, _ := listAll(t, ctx, d, "large:", 1000); len(keys) != 200_000 {
		t.Errorf("%d keys, want 200000", len(keys))
	}
}

func TestList_KeysThatStay_AreListedWhileOthersComeAndGo(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx, raw := openURL(t, server.URL()), testContext(t), server.Client(t)
	fill(t, raw, "stays:", 500)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if i%20_000 < 10_000 { // grows until the table is rehashed, then shrinks
				raw.Do(ctx, raw.B().Set().Key(fmt.Sprint("comes:", i)).Value("v").Build())
			} else {
				raw.Do(ctx, raw.B().Del().Key(fmt.Sprint("comes:", i-10_000)).Build())
			}
		}
	}()
	for range 20 {
		if keys, _ := listAll(t, ctx, d, "stays:", 10); len(keys) != 500 {
			t.Errorf("%d keys, want 500", len(keys))
		}
	}
	close(stop)
	<-stopped
}

func TestList_ForgedCursors(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx, raw := openURL(t, server.URL()), testContext(t), server.Client(t)
	fill(t, raw, "k:", 300)
	fill(t, raw, "j:", 300)
	for _, cursor := range []string{
		"0", "-1", "1 MATCH *", "00", "01", "A", "zzzzzzzzzzzzzzzzzzz", "\x00", "+1", "1_0", " 1", "3w5e11264sgsg", "é", strings.Repeat("9", 1<<16),
	} {
		if _, err := d.List(ctx, "k:", cursor, 10); store.Kind(err) != "invalid" {
			t.Errorf("cursor %.20q: %v, want invalid", cursor, err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		page, err := d.List(ctx, "k:", strconv.FormatUint(r.Uint64()>>r.IntN(63)|1, cursorBase), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range page.Keys {
			if !strings.HasPrefix(key, "k:") {
				t.Fatalf("a forged cursor listed %q", key)
			}
		}
	}
}

// Pages of keys that are spread by chance: few are much longer than was asked for, and few round trips fill them.
func TestNextCount_FillsAPageInFewStepsAndNotFarBeyond(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, limit := range []int{1, 7, 15, 40, 100} {
		for _, share := range []float64{.02, .05, .08, .14, .3, .8} {
			const pages = 2000
			long, steps, expected := 0, 0, float64(max(limit, minCount))*share
			for range pages {
				found, looked, count := 0, 0, max(limit, minCount)
				for found < limit {
					for range count {
						if r.Float64() < share {
							found++
						}
					}
					steps++
					looked += count
					if found < limit {
						count = nextCount(limit, found, looked, count)
					}
				}
				if found > 2*limit+2*minCount {
					long++
				}
			}
			if long > pages/500 {
				t.Errorf("limit %d, %v of the keys: %d of %d pages are more than twice as long", limit, share, long, pages)
			}
			// Each step may double what was looked at, and at the end one or two are short.
			if most := 3.5 + max(0, math.Log2(float64(limit)/expected)/1.5); float64(steps)/pages > most {
				t.Errorf("limit %d, %v of the keys: %v steps a page, want %v at most", limit, share, float64(steps)/pages, most)
			}
		}
	}
}

// Nearly all that was asked for is found at once, and then nothing more.
func TestNextCount_OfKeysThatAreTogether_GoesOnInLargeSteps(t *testing.T) {
	steps := 0
	for looked, count := 1000, 1000; looked < maxLook; steps++ {
		count = nextCount(1000, 999, looked, count)
		looked += count
	}
	if steps > 60 {
		t.Errorf("%d steps", steps)
	}
}

func TestList_EndedContext_StopsBetweenRoundTrips(t *testing.T) {
	server := redistest.Shared(t)
	d := openURL(t, server.URL())
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := d.List(ctx, "k:", "", 10); store.Kind(err) != "canceled" {
		t.Errorf("got %v", err)
	}
}
