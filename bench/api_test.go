package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
)

// stored is a string of 16 bytes as it is stored.
var stored = append([]byte{0xb0}, "0123456789abcdef"...)

// batch is how many keys the batches and pages of the tables have.
const batch = 100

// addAPI adds what the rest of the module costs, beside get and set of a small number. What takes a function makes it anew for
// each call, as scripts do.
func addAPI(b *testing.B, t *table, h *host) {
	t.add("empty Go method", h.loop(b, ``, `e:call("bench:key")`))
	t.add("get", h.loop(b, `assert(s:set("bench:num", 1))`, `s:get("bench:num")`))
	t.add("set", h.loop(b, ``, `s:set("bench:num", i)`))
	t.add("entry", h.loop(b, `assert(s:set("bench:num", 1))`, `s:entry("bench:num")`))
	t.add("incr", h.loop(b, ``, `s:incr("bench:cnt")`))
	t.add("update", h.loop(b, `s:set("bench:upd", 0)`, `s:update("bench:upd", function(v) return v + 1 end)`))
	t.add("literal function", h.loop(b, ``, `local f = function() return 1 end`))
	t.add("fetch hit", h.loop(b, `assert(s:set("bench:num", 1))`, `s:fetch("bench:num", function() return 1 end)`))
	t.add("delete, fetch miss", h.loop(b, ``, `s:delete("bench:fch") s:fetch("bench:fch", function() return 1 end)`))
	keys := fmt.Sprintf(`local keys, entries = {}, {} for i = 1, %d do keys[i] = ("batch:%%03d"):format(i) entries[keys[i]] = i end
		assert(s:set_many(entries))`, batch)
	t.addEach("get_many", batch, h.loop(b, keys, `s:get_many(keys)`))
	t.addEach("set_many", batch, h.loop(b, keys, `s:set_many(entries)`))
	t.addEach("list", batch, h.loop(b, keys, `s:list{prefix="batch:"}`))
	t.addEach("list with values", batch, h.loop(b, keys, `s:list{prefix="batch:", values=true}`))
	t.show("entry", "get")
	t.show("incr", "set")
	t.show("update", "get", "set")
	t.show("set_many", "set")
	t.show("list", "get")
	t.show("list with values", "get")
}

// BenchmarkAPIMemory prints the table of the rest of the module over memory.
func BenchmarkAPIMemory(b *testing.B) {
	t := &table{title: fmt.Sprintf("From a Lua loop, over memory; batches and pages of %d, per key", batch)}
	addAPI(b, t, newHost(b, memstore.Opener(nil)))
	t.atMost(1.6, "fetch hit", "get", "literal function")
	t.show("fetch hit", "get")
	t.show("get_many", "get")
	show(b, t)
}

// BenchmarkAPIRedis prints the table of the rest of the module over Redis.
func BenchmarkAPIRedis(b *testing.B) {
	open, _ := redisOpener(b)
	t := &table{title: fmt.Sprintf("From a Lua loop, over Redis, one unit; batches and pages of %d, per key", batch)}
	addAPI(b, t, newHost(b, open))
	t.show("get_many", "get") // without a target: filling the table of results takes a script long, and is no round trip
	addHandle(b, t, open)
	t.atMost(1.0/20, "handle GetMany", "handle Get")
	show(b, t)
}

// addHandle adds what a Go program pays for single reads and for a batch, with one caller.
func addHandle(b *testing.B, t *table, open store.Opener) {
	reg := store.New(nil)
	b.Cleanup(func() { reg.Close(context.Background()) })
	if err := reg.Define("bench", store.Definition{Open: open}); err != nil {
		b.Fatal(err)
	}
	ctx, unit := reg.Begin(context.Background(), "bench")
	b.Cleanup(func() { unit.End() })
	h, err := unit.Get(ctx, "bench")
	if err != nil {
		b.Fatal(err)
	}
	keys, entries := make([]string, batch), make([]store.Item, batch)
	for i := range keys {
		keys[i] = fmt.Sprintf("handle:%03d", i)
		entries[i] = store.Item{Key: keys[i], Value: stored}
	}
	if err := h.SetMany(ctx, entries, 0); err != nil {
		b.Fatal(err)
	}
	t.add("handle Get", func(n int) {
		for i := range n {
			if _, err := h.Get(ctx, keys[i%batch]); err != nil {
				b.Fatal(err)
			}
		}
	})
	t.addEach("handle GetMany", batch, func(n int) {
		for range n {
			if found, err := h.GetMany(ctx, keys); err != nil || len(found) != batch {
				b.Fatalf("%d keys, %v", len(found), err)
			}
		}
	})
}

// BenchmarkEach prints the table of walks over small and large stores in memory.
func BenchmarkEach(b *testing.B) {
	t := &table{title: "Walks by each from a Lua loop, over memory, per key"}
	for _, n := range []int{10_000, 1_000_000} {
		h, expiring := walkedHost(b, n, 0), walkedHost(b, n, time.Hour)
		size := fmt.Sprintf(", %d keys", n)
		walk := `local n = 0 for _ in s:each{values=%v} do n = n + 1 end assert(n == ` + fmt.Sprint(n) + `)`
		t.addEach("keys only"+size, n, h.loop(b, ``, fmt.Sprintf(walk, false)))
		t.addEach("keys only"+size+" with a ttl", n, expiring.loop(b, ``, fmt.Sprintf(walk, false)))
		t.addEach("with values"+size, n, h.loop(b, ``, fmt.Sprintf(walk, true)))
		t.addEach("with values"+size+" with a ttl", n, expiring.loop(b, ``, fmt.Sprintf(walk, true)))
	}
	for _, ttl := range []string{"", " with a ttl"} {
		t.atMost(1.5, "keys only, 1000000 keys"+ttl, "keys only, 10000 keys"+ttl)
		t.atMost(4, "with values, 1000000 keys"+ttl, "with values, 10000 keys"+ttl)
	}
	show(b, t)
}

// walkedHost returns a host whose store has n entries of one ttl, written in no order: neighbours in a walk are no neighbours
// in memory.
func walkedHost(b *testing.B, n int, ttl time.Duration) *host {
	b.Helper()
	d, err := memstore.Open(nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, i := range rand.Perm(n) {
		v := slices.Clone(stored) // each entry has its own
		if err := d.Set(context.Background(), fmt.Sprintf("user:%07d", i), v, ttl); err != nil {
			b.Fatal(err)
		}
	}
	return newHost(b, store.Opener{Open: func(context.Context) (store.Driver, error) { return d, nil }})
}
