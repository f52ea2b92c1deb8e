package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/redisstore"
	"github.com/luastore/store/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// units is how many units of work use Redis at the same time.
const units = 64

// manyUnits is how many use it where there are many.
const manyUnits = 256

// redisOpener returns the opener of an empty database of a private server.
func redisOpener(b *testing.B) (store.Opener, string) {
	b.Helper()
	url := redistest.Shared(b).URL()
	o, err := redisstore.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	return redisstore.Opener(o), url
}

// bareClient returns rueidis as one would use it without luastore.
func bareClient(b testing.TB, url string) rueidis.Client {
	b.Helper()
	o, err := rueidis.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	o.DisableCache = true
	c, err := rueidis.NewClient(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// BenchmarkLuaRedis prints the table of one unit over Redis.
func BenchmarkLuaRedis(b *testing.B) {
	open, _ := redisOpener(b)
	show(b, luaTable(b, "From a Lua loop, over Redis, one unit", open))
}

// BenchmarkRedisUnits prints the table of many units over Redis beside what one would write by hand.
func BenchmarkRedisUnits(b *testing.B) {
	open, url := redisOpener(b)
	client := bareClient(b, url)
	reg := store.New(nil)
	b.Cleanup(func() { reg.Close(context.Background()) })
	if err := reg.Define("bench", store.Definition{Open: open}); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 16, units, manyUnits} {
		t := &table{title: "Redis, " + count(n, "concurrent unit or goroutine")}
		// With few units a call is a round trip, and no more than that shows.
		addLua(b, t, reg, client, n, atUnits(n, 0.95))
		h := addGo(b, t, reg, client, n)
		if n == 1 {
			addBatch(b, t, h)
		}
		show(b, t)
		if n == manyUnits {
			besideRedisBenchmark(b, h, url)
		}
	}
}

// atUnits returns the target where it holds: from the usual number of units on. 0 is none.
func atUnits(n int, target float64) float64 {
	if n < units {
		return 0
	}
	return target
}

// BenchmarkRedisCluster prints the table of many units over a cluster of three primaries with a replica each, all on this machine.
func BenchmarkRedisCluster(b *testing.B) {
	url := redistest.SharedCluster(b).URL()
	o, err := redisstore.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: strings.Split(o.Address, ","), DisableCache: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	reg := store.New(nil)
	b.Cleanup(func() { reg.Close(context.Background()) })
	if err := reg.Define("bench", store.Definition{Open: redisstore.Opener(o)}); err != nil {
		b.Fatal(err)
	}
	t := &table{title: fmt.Sprintf("Redis Cluster, %d concurrent units or goroutines", units)}
	addLua(b, t, reg, client, units, 0.9)
	addGo(b, t, reg, client, units)
	show(b, t)
}

// addLua sets the module beside a minimal binding. Both run the same commands under the same contexts; each unit has a key of its
// own, so that in a cluster all primaries have a part.
func addLua(b *testing.B, t *table, reg *store.Registry, client rueidis.Client, units int, target float64) {
	hosts := make([]*host, units)
	for i := range hosts {
		hosts[i] = unitHost(b, reg)
		hosts[i].L.SetGlobal("r", minimalBinding(hosts[i].L, client))
		hosts[i].L.SetGlobal("key", lua.LString(fmt.Sprint("bench:", i)))
	}
	for _, op := range []struct{ name, module, minimal string }{
		{"set", `if not s:set(k, "0123456789abcdef") then error("not set") end`, `e:set(k, "0123456789abcdef")`},
		{"get", `if not s:get(k) then error("not got") end`, `e:get(k)`}, // the other raises its errors
	} {
		t.add("minimal binding "+op.name, spread(hosts, func(h *host) func(n int) { return h.loop(b, `e = r; local k = key .. "raw"`, op.minimal) }))
		t.add("module "+op.name, spread(hosts, func(h *host) func(n int) { return h.loop(b, `local k = key`, op.module) }))
		t.atLeast(target, "module "+op.name, "minimal binding "+op.name)
	}
}

// spread returns a bench whose calls are spread over hosts.
func spread(hosts []*host, prepare func(h *host) func(n int)) func(n int) {
	loops := make([]func(n int), len(hosts))
	for i, h := range hosts {
		loops[i] = prepare(h)
	}
	return func(n int) {
		var wg sync.WaitGroup
		for _, loop := range loops {
			wg.Go(func() { loop(max(1, n/len(loops))) })
		}
		wg.Wait()
	}
}

// minimalBinding is what one would write by hand: two methods, strings only, errors raised.
func minimalBinding(L *lua.LState, client rueidis.Client) *lua.LUserData {
	mt := L.NewTable()
	L.SetField(mt, "__index", L.SetFuncs(L.NewTable(), map[string]lua.LGFunction{
		"get": func(L *lua.LState) int {
			c := L.CheckUserData(1).Value.(rueidis.Client)
			ctx, cancel := context.WithTimeout(L.Context(), 5*time.Second)
			defer cancel()
			v, err := c.Do(ctx, c.B().Get().Key(L.CheckString(2)).Build()).ToString()
			if err != nil {
				L.RaiseError("%v", err)
			}
			L.Push(lua.LString(v))
			return 1
		},
		"set": func(L *lua.LState) int {
			c := L.CheckUserData(1).Value.(rueidis.Client)
			ctx, cancel := context.WithTimeout(L.Context(), 5*time.Second)
			defer cancel()
			if err := c.Do(ctx, c.B().Set().Key(L.CheckString(2)).Value(L.CheckString(3)).Build()).Error(); err != nil {
				L.RaiseError("%v", err)
			}
			return 0
		},
	}))
	ud := L.NewUserData()
	ud.Value, ud.Metatable = client, mt
	return ud
}

// addGo sets a handle, which it returns, beside the bare client. Both run the same commands under the same contexts.
func addGo(b *testing.B, t *table, reg *store.Registry, client rueidis.Client, units int) *store.Handle {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	ctx, unit := reg.Begin(ctx, "bench")
	b.Cleanup(func() { unit.End(); cancel() })
	h, err := unit.Get(ctx, "bench")
	if err != nil {
		b.Fatal(err)
	}
	v := append([]byte{0xb0}, "0123456789abcdef"...)
	t.add("rueidis set", goroutines(units, func(key string) error {
		return bare(ctx, client, client.B().Set().Key(key+"raw").Value(string(v)).Build())
	}))
	t.add("handle set", goroutines(units, func(key string) error { return h.Set(ctx, key, v, 0) }))
	t.atLeast(atUnits(units, 0.95), "handle set", "rueidis set")
	t.add("rueidis get", goroutines(units, func(key string) error {
		return bare(ctx, client, client.B().Get().Key(key+"raw").Build())
	}))
	t.add("handle get", goroutines(units, func(key string) error { _, err := h.Get(ctx, key); return err }))
	t.atLeast(atUnits(units, 0.95), "handle get", "rueidis get")
	return h
}

// addBatch sets a batch of keys beside as many gets, with one caller.
func addBatch(b *testing.B, t *table, h *store.Handle) {
	b.Helper()
	keys, items := make([]string, batch), make([]store.Item, batch)
	for i := range keys {
		keys[i] = fmt.Sprintf("batch:%03d", i)
		items[i] = store.Item{Key: keys[i], Value: stored}
	}
	if err := h.SetMany(context.Background(), items, 0); err != nil {
		b.Fatal(err)
	}
	t.addEach("handle get_many of 100, a key", batch, func(n int) {
		for range n {
			if found, err := h.GetMany(context.Background(), keys); err != nil || len(found) != batch {
				b.Fatalf("%d keys, %v", len(found), err)
			}
		}
	})
	t.atLeast(30, "handle get_many of 100, a key", "handle get")
}

// besideRedisBenchmark sets gets and sets by as many goroutines as there are units beside the program of that name with as many
// clients, each of which waits for the answer before it sends again. It prints the throughputs, medians of rounds in turn.
func besideRedisBenchmark(b *testing.B, h *store.Handle, url string) {
	b.Helper()
	const calls = 50_000
	ctx := context.Background()
	ops := map[string]func(key string) error{
		"get": func(key string) error { _, err := h.Get(ctx, key); return err },
		"set": func(key string) error { return h.Set(ctx, key, stored, 0) },
	}
	for _, op := range []string{"set", "get"} {
		var ours, theirs, ratios []float64
		for range *rounds {
			start := time.Now()
			goroutines(manyUnits, ops[op])(calls)
			ours = append(ours, calls/time.Since(start).Seconds())
			theirs = append(theirs, redisBenchmark(b, url, op, calls))
			ratios = append(ratios, ours[len(ours)-1]/theirs[len(theirs)-1])
		}
		fmt.Printf("  %s by %d: handle %.0f a second, redis-benchmark unpipelined %.0f\n", op, manyUnits, median(ours), median(theirs))
		met := "met"
		if median(ratios) < 2 {
			met = "MISSED"
		}
		fmt.Printf("  %s× (to reach: ≥ 2×, %s)  handle %s / redis-benchmark %s\n", figure(median(ratios)), met, op, op)
	}
}

// redisBenchmark returns the calls a second that the program measures.
func redisBenchmark(b *testing.B, url, op string, calls int) float64 {
	b.Helper()
	o, err := rueidis.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	host, port, err := net.SplitHostPort(o.InitAddress[0])
	if err != nil {
		b.Fatal(err)
	}
	output, err := exec.Command("redis-benchmark", "-h", host, "-p", port, "--dbnum", strconv.Itoa(o.SelectDB), "-t", op, "-d", "17",
		"-c", strconv.Itoa(manyUnits), "-n", strconv.Itoa(calls), "--csv").CombinedOutput()
	if err != nil {
		b.Fatalf("redis-benchmark, of the package redis-tools: %v\n%s", err, output)
	}
	rows, err := csv.NewReader(bytes.NewReader(output)).ReadAll()
	if err != nil || len(rows) < 2 || len(rows[1]) < 2 {
		b.Fatalf("redis-benchmark printed %q, %v", output, err)
	}
	rate, err := strconv.ParseFloat(rows[1][1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

// bare runs one command as one would by hand, with the timeout that a handle sets too.
func bare(ctx context.Context, client rueidis.Client, cmd rueidis.Completed) error {
	ctx, cancel := context.WithTimeout(ctx, store.DefaultTimeout)
	defer cancel()
	return client.Do(ctx, cmd).Error()
}

// goroutines returns a bench whose calls are spread over as many goroutines as there are units, each with a key of its own.
func goroutines(units int, do func(key string) error) func(n int) {
	return func(n int) {
		var wg sync.WaitGroup
		for i := range units {
			key := fmt.Sprint("bench:", i)
			wg.Go(func() {
				for range max(1, n/units) {
					if err := do(key); err != nil {
						panic(err)
					}
				}
			})
		}
		wg.Wait()
	}
}
