package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/driver/redisstore"
	"github.com/luastore/store/internal/redistest"
)

// nearKeys is how many keys are read in turn: a few megabytes of the near cache, more than what the processor caches hold.
const nearKeys = 10_000

// BenchmarkNear prints the table of reads that a near cache answers, beside those of a store in memory and beside round trips, on the same
// keys and values, from Go and from Lua.
func BenchmarkNear(b *testing.B) {
	open, url := redisOpener(b)
	o, err := redisstore.ParseURL(url + "?near=64MiB")
	if err != nil {
		b.Fatal(err)
	}
	t := &table{title: fmt.Sprintf("Reads of 16-byte strings under %d keys: in memory, from a near cache, by round trips to Redis", nearKeys)}
	kinds := []struct {
		name string
		open store.Opener
	}{{"memory", memstore.Opener(nil)}, {"near", redisstore.Opener(o)}, {"redis", open}}
	for _, k := range kinds {
		addReads(b, t, k.name, k.open)
	}
	for _, how := range []string{" get, 1 goroutine", " get, 2 goroutines", " has, 1 goroutine"} {
		t.atMost(4, "near"+how, "memory"+how)
		t.atLeast(100, "near"+how, "redis"+how)
	}
	t.show("near get, from Lua", "memory get, from Lua")
	t.atLeast(10, "near get, from Lua", "redis get, from Lua")
	t.show("near get_many, 100 keys", "memory get_many, 100 keys")
	t.show("near miss", "redis miss")
	t.show("near set", "redis set")
	show(b, t)
	fmt.Printf("  Redis %s, which keeps track of %s keys\n", redisInfo(b, url, "redis_version"), redisInfo(b, url, "tracking_total_keys"))
}

// redisInfo returns what a server says of itself.
func redisInfo(b *testing.B, url, name string) string {
	b.Helper()
	client := bareClient(b, url)
	info, err := client.Do(b.Context(), client.B().Info().Build()).ToString()
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(info, name+":")
	value, _, _ := strings.Cut(after, "\r\n")
	return value
}

// addReads adds what one store is measured by. Its keys are read once before, so that a near cache has them.
func addReads(b *testing.B, t *table, kind string, open store.Opener) {
	b.Helper()
	h := newHost(b, open)
	ctx := h.L.Context()
	s, err := store.Get(ctx, "bench")
	if err != nil {
		b.Fatal(err)
	}
	keys := nearKeysOf(b, ctx, s, kind)
	get := func(rnd *rand.Rand) {
		if _, err := s.Get(ctx, keys[rnd.IntN(len(keys))]); err != nil {
			panic(err)
		}
	}
	t.add(kind+" get, 1 goroutine", parallel(1, get))
	t.add(kind+" get, 2 goroutines", parallel(2, get))
	t.add(kind+" has, 1 goroutine", parallel(1, func(rnd *rand.Rand) {
		if found, err := s.Has(ctx, keys[rnd.IntN(len(keys))]); !found || err != nil {
			panic(fmt.Sprint(found, err))
		}
	}))
	h.L.SetGlobal("keys", luaStrings(h.L, keys))
	t.add(kind+" get, from Lua", h.loop(b, `local keys = keys`, `s:get(keys[i % #keys + 1])`))
	t.addEach(kind+" get_many, 100 keys", batch, parallel(1, func(rnd *rand.Rand) {
		from := rnd.IntN(len(keys) - batch)
		if found, err := s.GetMany(ctx, keys[from:from+batch]); len(found) != batch || err != nil {
			panic(fmt.Sprint(len(found), err))
		}
	}))
	t.add(kind+" miss", parallel(1, func(*rand.Rand) {
		if _, err := s.Get(ctx, "bench:none"); store.Kind(err) != "not_found" {
			panic(err)
		}
	}))
	t.add(kind+" set", parallel(1, func(*rand.Rand) {
		if err := s.Set(ctx, "bench:set", stored, time.Hour); err != nil {
			panic(err)
		}
	}))
}

// nearKeysOf writes the keys that are read from a store, every other one with a time to live, and reads each. No other store has them: two
// are of one database, and would tell each other of their writes.
func nearKeysOf(b *testing.B, ctx context.Context, s *store.Handle, kind string) []string {
	b.Helper()
	keys := make([]string, nearKeys)
	for i := range keys {
		keys[i] = fmt.Sprintf("%c:user:%07d", kind[0], i)
		if err := s.Set(ctx, keys[i], stored, time.Duration(i%2)*time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	for _, key := range keys {
		if _, err := s.Get(ctx, key); err != nil {
			b.Fatal(err)
		}
	}
	return keys
}

func luaStrings(L *lua.LState, texts []string) *lua.LTable {
	table := L.CreateTable(len(texts), 0)
	for _, text := range texts {
		table.Append(lua.LString(text))
	}
	return table
}

// TestNear_IsWhatTheTableMeasures holds that reads of the near store in the table take no round trip.
func TestNear_IsWhatTheTableMeasures(t *testing.T) {
	server := redistest.Shared(t)
	o, err := redisstore.ParseURL(server.URL() + "?near=64MiB")
	if err != nil {
		t.Fatal(err)
	}
	hits := 0
	reg := store.New(&store.Options{Observe: func(_ context.Context, e store.Event) { hits += e.PeekHits }})
	defer reg.Close(context.Background())
	if err := reg.Define("bench", store.Definition{Open: redisstore.Opener(o)}); err != nil {
		t.Fatal(err)
	}
	err = reg.Do(t.Context(), func(ctx context.Context) error {
		s, err := store.Get(ctx, "bench")
		if err != nil {
			return err
		}
		if err := s.Set(ctx, "user:1", stored, 0); err != nil {
			return err
		}
		for range 10 {
			if v, err := s.Get(ctx, "user:1"); string(v) != string(stored) || err != nil {
				t.Errorf("%q, %v", v, err)
			}
		}
		return nil
	})
	if err != nil || hits < 8 {
		t.Errorf("%d of 10 reads were answered from memory, %v", hits, err)
	}
}
