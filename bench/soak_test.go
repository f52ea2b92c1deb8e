package bench

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/driver/pebblestore"
	"github.com/luastore/store/driver/redisstore"
	"github.com/luastore/store/driver/sqlstore/sqlite"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/internal/servertest"
	"github.com/luastore/store/script"
)

const (
	soakWorkers = 4
	soakShort   = 6 * time.Second // how long a soak takes where SOAK says nothing
	soakSamples = 60              // in a soak of any length: one each 10 s in that of 10 minutes
)

// soakScript is what a unit does: some of each operation, on keys of which there are no more after a while. It is told the store and a
// number, and returns how many of its calls found the store away, as Redis is while it restarts; any other error is raised.
const soakScript = `
local store = require("store")
local id, i = ...
local away = 0

local function call(value, message, kind)
  if kind == "unavailable" or kind == "timeout" or kind == "unknown_outcome" then
    away = away + 1
  elseif message and kind ~= "not_found" and kind ~= "miss" and message ~= "hit" and message ~= "miss" then
    error(kind .. ": " .. message)
  end
  return value
end

local s, message, kind = store.get(id)
if not s then
  call(s, message, kind)
  return away
end
local key = ("soak:%03d"):format(i % 500)
call(s:set(key, {id = i, name = "item", tags = {"a", "b"}, text = ("x"):rep(i % 300)}))
call(s:get(key))
call(s:incr("count:all"))
call(s:update("count:" .. i % 50, function(n) return (n or 0) + 1 end))
call(s:fetch("fetched:" .. i % 100, function() return {at = i} end, 0.2))
call(s:set("gone:" .. i % 200, "soon", 0.05))
call(s:set_many({["many:" .. i % 90] = i, ["many:" .. (i + 1) % 90] = "text"}))
call(s:get_many({key, "many:1", "many:2"}))
call(s:delete("many:" .. i % 90))
if i % 10 == 0 then
  call(s:list{prefix = "soak:", limit = 20, values = true})
end
if i % 2 == 0 then
  s:release()
end
return away
`

// A soak is one process under the load of units over stores of four kinds.
type soak struct {
	reg     *store.Registry
	runner  *script.Runner
	program *script.Program
	ids     []string
	extra   func() // what each unit does besides; may be nil

	pause sync.RWMutex // held to look at the process while no unit runs
	done  atomic.Bool
	load  sync.WaitGroup

	units, away atomic.Int64
	failure     atomic.Pointer[error]
}

// newSoak returns a soak over the stores that are defined.
func newSoak(t testing.TB, definitions map[string]store.Opener) *soak {
	t.Helper()
	program, err := script.Compile("soak.lua", soakScript)
	if err != nil {
		t.Fatal(err)
	}
	reg := store.New(nil)
	t.Cleanup(func() {
		if err := reg.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	k := &soak{reg: reg, program: program, runner: script.New(reg, nil)}
	for id, open := range definitions {
		if err := reg.Define(id, store.Definition{Open: open}); err != nil {
			t.Fatal(err)
		}
		k.ids = append(k.ids, id)
	}
	return k
}

// start starts the load, which ends with end.
func (k *soak) start() {
	for w := range soakWorkers {
		k.load.Go(func() {
			for i := w; !k.done.Load(); i++ {
				k.unit(k.ids[i%len(k.ids)], i)
			}
		})
	}
}

func (k *soak) end() {
	k.done.Store(true)
	k.load.Wait()
}

// unit runs one unit from Lua, or from Go.
func (k *soak) unit(id string, i int) {
	k.pause.RLock()
	defer k.pause.RUnlock()
	k.units.Add(1)
	err := k.lua(id, i)
	if i%5 == 0 && err == nil {
		err = k.goUnit(id, i)
	}
	if err != nil {
		err = fmt.Errorf("unit %d over %s: %w", i, id, err)
		k.failure.CompareAndSwap(nil, &err)
		k.done.Store(true)
	}
	if k.extra != nil {
		k.extra()
	}
}

func (k *soak) lua(id string, i int) error {
	results, err := k.runner.Run(context.Background(), k.program, id, i)
	if err != nil {
		return err
	}
	var away int64
	err = results.Decode(&away)
	k.away.Add(away)
	return err
}

// goUnit leaves its handle to the end of the unit.
func (k *soak) goUnit(id string, i int) error {
	ctx, unit := k.reg.Begin(context.Background(), "go")
	defer unit.End()
	h, err := unit.Get(ctx, id)
	if err == nil {
		err = store.Save(ctx, h, fmt.Sprintf("go:%d", i%100), i, time.Second)
	}
	switch store.Kind(err) {
	case "unavailable", "timeout", "unknown_outcome":
		k.away.Add(1)
		return nil
	}
	return err
}

// run puts the process under load for a time, samples it, and disturbs it by what is due after each sample.
func (k *soak) run(t testing.TB, lasts time.Duration, clients func() int, disturb func(sample int)) series {
	t.Helper()
	k.start()
	defer k.end()
	tick := time.NewTicker(lasts / soakSamples)
	defer tick.Stop()
	var all series
	for i := range soakSamples {
		<-tick.C
		all = append(all, k.sample(clients))
		if err := k.failure.Load(); err != nil {
			t.Fatal(*err)
		}
		disturb(i)
	}
	return all
}

// sample looks at the process while no unit runs: what it holds then it holds for good.
func (k *soak) sample(clients func() int) sample {
	k.pause.Lock()
	defer k.pause.Unlock()
	return takeSample(k.units.Load(), k.away.Load(), clients())
}

// soakLength is what SOAK says, such as 10m.
func soakLength(t testing.TB) time.Duration {
	t.Helper()
	lasts, err := time.ParseDuration(cmp.Or(os.Getenv("SOAK"), soakShort.String()))
	if err != nil || lasts < time.Second {
		t.Fatalf("SOAK is %q: want a time of at least a second such as 10m", os.Getenv("SOAK"))
	}
	return lasts
}

// await returns when a store answers.
func (k *soak) await(t testing.TB, id string) {
	t.Helper()
	err := servertest.Within(time.Minute, nil, func() error {
		ctx, unit := k.reg.Begin(context.Background(), "await")
		defer unit.End()
		h, err := unit.Get(ctx, id)
		if err == nil {
			_, err = h.Has(ctx, "soak:000")
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s did not come back: %v", id, err)
	}
}

// TestSoak_OfUnitsOverFourStores_HoldsNoMoreAtItsEndThanInItsMiddle replaces stores and restarts Redis all the while.
func TestSoak_OfUnitsOverFourStores_HoldsNoMoreAtItsEndThanInItsMiddle(t *testing.T) {
	lasts := soakLength(t)
	server := redistest.Start(t, nil)
	redis, err := redisstore.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	named := func(name string) store.Opener {
		o := *redis
		o.ClientName = name
		return redisstore.Opener(&o)
	}
	dir := t.TempDir()
	k := newSoak(t, map[string]store.Opener{
		"memory": memstore.Opener(nil),
		"redis":  named("soak"),
		"pebble": pebblestore.Opener(&pebblestore.Options{Path: filepath.Join(dir, "pebble"), MemtableBytes: 1 << 20}),
		"sqlite": sqlite.Opener(&sqlite.Options{Path: filepath.Join(dir, "soak.db")}),
	})
	client := bareClient(t, server.URL())
	all := k.run(t, lasts, func() int { return redisClients(client) }, func(i int) {
		var err error
		switch {
		case slices.Contains([]int{5, 12, 30, 45}, i): // so that what a restart leaves behind shows from one third to the next
			server.Restart(t)
			k.await(t, "redis")
		case i%6 == 0:
			err = k.reg.Replace(context.Background(), "memory", store.Definition{Open: memstore.Opener(nil)})
		case i%6 == 3:
			err = k.reg.Replace(context.Background(), "redis", store.Definition{Open: named(fmt.Sprint("soak", i))})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%v, %s\n%s", lasts, describeMachine(), all)
	for _, fault := range all.faults() {
		t.Error(fault)
	}
}

// redisClients returns how many connections a server has, or 0 where it does not answer.
func redisClients(client rueidis.Client) (n int) {
	_ = servertest.Within(5*time.Second, nil, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		list, err := client.Do(ctx, client.B().Arbitrary("CLIENT", "LIST").Build()).ToString()
		n = strings.Count(list, "\n")
		return err
	})
	return n
}

// Each leak is a thousandth or so of what a unit works with.
func TestSoak_OfUnitsThatLeak_SaysWhatGrew(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	var mu sync.Mutex
	var kept [][]byte
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	var n atomic.Int64
	now := func(each int64) bool { return n.Add(1)%each == 0 }
	for grown, leak := range map[string]func(){
		"goroutines": func() {
			if now(20) {
				go func() { <-hold }()
			}
		},
		"heap": func() {
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, make([]byte, 16<<10))
		},
		"open files": func() {
			mu.Lock()
			defer mu.Unlock()
			if f, err := os.Open(os.DevNull); err == nil && now(20) {
				files = append(files, f)
			} else if err == nil {
				f.Close()
			}
		},
	} {
		t.Run(grown, func(t *testing.T) {
			k := newSoak(t, map[string]store.Opener{"memory": memstore.Opener(nil)})
			k.extra = leak
			all := k.run(t, 1200*time.Millisecond, func() int { return 0 }, func(int) {})
			if !all.names(grown) {
				t.Errorf("the faults are %q, want one about %s\n%s", all.faults(), grown, all)
			}
		})
		mu.Lock()
		kept = nil
		mu.Unlock()
	}
}
