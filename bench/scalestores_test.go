package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
)

const (
	fewStores  = 10
	manyStores = 10_000
)

// A storesRow is what so many stores on one connection cost: nanoseconds, bytes and counts of one store or call.
type storesRow struct {
	kind                 string
	stores               int
	define, open, again  float64 // the definition, the first unit with each store, and one more with any
	all                  float64 // a store, for a unit that gets all
	get, set             float64 // medians of rounds, over handles of all stores in no order
	bytes                float64 // of heap, with what a handle of each takes
	goroutines, connects int     // more than without any store; on the server
	closing              time.Duration
}

// BenchmarkScaleStores prints what 10,000 stores on one connection cost, beside 10.
func BenchmarkScaleStores(b *testing.B) {
	redis, url := redisOpener(b)
	client := bareClient(b, url)
	clients := func() int { return redisClients(client) }
	var rows []storesRow
	for _, n := range []int{fewStores, manyStores} {
		rows = append(rows, measureStores(b, "memory", memstore.Opener(nil), n, func() int { return 0 }), measureStores(b, "redis", redis, n, clients))
	}
	printStores(rows)
}

// measureStores defines n stores, uses each, and closes them.
func measureStores(b *testing.B, kind string, open store.Opener, n int, clients func() int) storesRow {
	b.Helper()
	ctx := context.Background()
	row := storesRow{kind: kind, stores: n}
	goroutines, connects, base := runtime.NumGoroutine(), clients(), heapBytes()
	reg := store.New(nil)
	each := func(what func(id string) error) float64 {
		start := time.Now()
		for i := range n {
			if err := what(fmt.Sprintf("store%05d", i)); err != nil {
				b.Fatal(err)
			}
		}
		return perEntry(time.Since(start).Nanoseconds(), n)
	}
	row.define = each(func(id string) error { return reg.Define(id, store.Definition{Open: open, Prefix: id}) })
	unitCtx, unit := reg.Begin(ctx, "bench")
	handles := make([]*store.Handle, 0, n)
	lease := func(id string) error {
		h, err := unit.Get(unitCtx, id)
		handles = append(handles, h)
		return err
	}
	if err := lease("store00000"); err != nil { // connects
		b.Fatal(err)
	}
	handles = handles[:0]
	row.open = each(func(id string) error {
		ctx, unit := reg.Begin(ctx, "bench")
		defer unit.End()
		_, err := unit.Get(ctx, id)
		return err
	})
	row.all = each(lease)
	row.set = overAll(b, handles, func(h *store.Handle, key string) error { return h.Set(unitCtx, key, stored, 0) })
	row.get = overAll(b, handles, func(h *store.Handle, key string) error { _, err := h.Get(unitCtx, key); return err })
	row.bytes = perEntry(heapBytes()-base, n)
	row.goroutines, row.connects = settled(runtime.NumGoroutine)-goroutines, clients()-connects
	if err := unit.End(); err != nil {
		b.Fatal(err)
	}
	row.again = leaseOne(b, reg, n)
	start := time.Now()
	if err := reg.Close(ctx); err != nil {
		b.Fatal(err)
	}
	row.closing = time.Since(start)
	return row
}

// overAll returns the time of one call where handles of all stores are called in no order, on as many entries in all, however many
// stores there are: more entries would be slower for being far from the processor. Each entry is called for once before.
func overAll(b *testing.B, handles []*store.Handle, call func(h *store.Handle, key string) error) float64 {
	b.Helper()
	const calls = 10_000
	keys := make([]string, max(1, manyStores/len(handles)))
	for i := range keys {
		keys[i] = fmt.Sprintf("ns:%05d", i)
		for _, h := range handles {
			if err := call(h, keys[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	var each []float64
	for range *rounds {
		start := time.Now()
		for range calls {
			if err := call(handles[r.IntN(len(handles))], keys[r.IntN(len(keys))]); err != nil {
				b.Fatal(err)
			}
		}
		each = append(each, perEntry(time.Since(start).Nanoseconds(), calls))
	}
	return median(each)
}

// leaseOne returns the time of a unit that gets one of the stores, which is open, and ends.
func leaseOne(b *testing.B, reg *store.Registry, n int) float64 {
	b.Helper()
	const calls = 10_000
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("store%05d", i)
	}
	r := rand.New(rand.NewPCG(1, 1))
	var each []float64
	for range *rounds {
		start := time.Now()
		for range calls {
			ctx, unit := reg.Begin(context.Background(), "bench")
			if _, err := unit.Get(ctx, ids[r.IntN(n)]); err != nil {
				b.Fatal(err)
			}
			_ = unit.End()
		}
		each = append(each, perEntry(time.Since(start).Nanoseconds(), calls))
	}
	return median(each)
}

func printStores(rows []storesRow) {
	fmt.Printf("\nStores on one connection\n%s\n", describeMachine())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "stores\tdefine ns\tfirst unit ns\tlater unit ns\tone of all ns\tset ns\tget ns\tbytes a store\tgoroutines\tconnections\tclose ms\t \t")
	byKind := map[string][]storesRow{}
	for _, r := range rows {
		byKind[r.kind] = append(byKind[r.kind], r)
		fmt.Fprintf(w, "%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%d\t%d\t%.1f\t %s\t\n", r.stores, r.define, r.open, r.again, r.all, r.set, r.get, r.bytes,
			r.goroutines, r.connects, r.closing.Seconds()*1e3, r.kind)
	}
	w.Flush()
	for _, kind := range []string{"memory", "redis"} {
		few, many := byKind[kind][0], byKind[kind][1]
		name := func(what string) string {
			return strings.Join([]string{kind, what, "with 10,000 stores / with 10"}, ", ")
		}
		fmt.Println(bound(0, many.get/few.get, name("get")))
		fmt.Println(bound(0, many.set/few.set, name("set")))
		fmt.Println(bound(0, many.again/few.again, name("unit that gets a store")))
		fmt.Println(bound(0, many.all/few.all, name("a store, for a unit that gets all")))
		fmt.Println(bound(1, float64(max(1, 1+many.goroutines))/float64(max(1, 1+few.goroutines)), name("goroutines")))
	}
	few, many := byKind["redis"][0], byKind["redis"][1]
	fmt.Println(bound(1, float64(max(few.connects, many.connects)), "connections to Redis, beside that of the bench"))
}
