package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
)

// entries is how many keys the memory driver is measured with.
const entries = 1_000_000

// keys are "user:0000000" and so on.
func keys() []string {
	k := make([]string, entries)
	for i := range k {
		k[i] = fmt.Sprintf("user:%07d", i)
	}
	return k
}

// A lockedMap is the least that could serve: one lock and one map.
type lockedMap struct {
	mu sync.RWMutex
	m  map[string][]byte
}

// BenchmarkMemory prints the table of the memory driver itself.
func BenchmarkMemory(b *testing.B) {
	d, err := memstore.Open(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	k, v := keys(), []byte("0123456789abcdef")
	bare := &lockedMap{m: make(map[string][]byte)}
	for _, key := range k {
		bare.m[strings.Clone(key)] = v // the driver has its own keys too
		if err := d.Set(context.Background(), key, v, 0); err != nil {
			b.Fatal(err)
		}
	}
	t := &table{title: "The memory driver with 1,000,000 keys, 95 % get and 5 % set"}
	for _, workers := range []int{1, 2} {
		name := fmt.Sprintf(", %d goroutines", workers)
		t.add("RWMutex and map"+name, parallel(workers, func(rnd *rand.Rand) { bare.mixed(rnd, k, v) }))
		t.add("driver"+name, parallel(workers, func(rnd *rand.Rand) { mixed(d, rnd, k, v) }))
		t.atMost(1.25, "driver"+name, "RWMutex and map"+name)
	}
	t.add("page of 100 keys", func(n int) {
		for i := range n {
			page(b, d, fmt.Sprintf("user:0%03d", i%1000)) // 1,000 keys each
		}
	})
	show(b, t)
	fmt.Printf("  page of 100 keys: %.1f µs (to reach: under 50)\n", median(t.find("page of 100 keys").ns)/1000)
}

// parallel returns a bench whose calls are spread over workers.
func parallel(workers int, do func(rnd *rand.Rand)) func(n int) {
	return func(n int) {
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(rand.Uint64(), uint64(w))) // other keys in each round, or they would be cached
				for range n / workers {
					do(rnd)
				}
			})
		}
		wg.Wait()
	}
}

func (m *lockedMap) get(key string) []byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.m[key]
}

func (m *lockedMap) set(key string, v []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[key] = v
}

func (m *lockedMap) mixed(rnd *rand.Rand, k []string, v []byte) {
	key := k[rnd.IntN(len(k))]
	if rnd.IntN(20) == 0 {
		m.set(key, v)
	} else if len(m.get(key)) != len(v) {
		panic("no value")
	}
}

func mixed(d store.Driver, rnd *rand.Rand, k []string, v []byte) {
	key := k[rnd.IntN(len(k))]
	if rnd.IntN(20) == 0 {
		_ = d.Set(context.Background(), key, v, 0)
	} else if got, _ := d.Get(context.Background(), key); len(got) != len(v) {
		panic("no value")
	}
}

func page(b *testing.B, d store.Driver, prefix string) {
	p, err := d.List(context.Background(), prefix, "", 100)
	if err != nil || len(p.Keys) != 100 {
		b.Fatalf("%d keys, %v", len(p.Keys), err)
	}
}
