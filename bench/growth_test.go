package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/redisstore"
	"github.com/luastore/store/internal/natstest"
	"github.com/luastore/store/internal/redistest"
)

// A networked is a store that several machines share, here on one.
type networked struct {
	name string
	open store.Opener
}

func networkedStores(b *testing.B) []networked {
	redis := func(url string) store.Opener {
		o, err := redisstore.ParseURL(url)
		if err != nil {
			b.Fatal(err)
		}
		return redisstore.Opener(o)
	}
	three := natstest.StartCluster(b, 3)
	return []networked{
		{"redis", redis(redistest.Start(b, nil).URL())},
		{"redis cluster of 3", redis(redistest.StartCluster(b, 3, 1, nil).URL())},
		{"redis cluster of 6", redis(redistest.StartCluster(b, 6, 0, nil).URL())},
		{"nats", natsOpener(b, natstest.Start(b, nil).URL())},
		{"nats, 3 replicas", natsOpener(b, three.URL())},
		{"nats, 3 replicas, leased reads", natsOpener(b, three.URL()+"&reads=lease")},
	}
}

// BenchmarkGrowthUnits prints what one call costs where ever more call at a time, on servers and with clients that share one machine.
func BenchmarkGrowthUnits(b *testing.B) {
	for _, n := range networkedStores(b) {
		s := openSubject(b, n.open)
		s.fill(b)
		t := &table{title: "Growth with units: " + n.name}
		for _, op := range contests(s, nil, nil) {
			var first string
			for _, units := range []int{1, 8, 64, 512} {
				name := op.name + ", " + count(units, "unit")
				t.add(name, callers(units, func(key string) error { return op.handle(context.Background(), key) }))
				if first == "" {
					first = name
				} else {
					t.atLeast(0, name, first)
				}
			}
		}
		show(b, t)
	}
}

// BenchmarkGrowthKeys prints what a call costs where ever more entries are stored: a get, and each key of a listing of a namespace
// that has 1,000.
func BenchmarkGrowthKeys(b *testing.B) {
	for _, n := range networkedStores(b) {
		t := &table{title: "Growth with keys: " + n.name}
		s := openSubject(b, n.open)
		s.write(b, "few", 0, 1000)
		total := 1000
		for _, entries := range []int{1_000, 10_000, 100_000} {
			s.write(b, "many", total, entries)
			total = entries
			// The store grows, so that each size is a table of its own, of which the medians are kept.
			part := &table{}
			part.add(fmt.Sprintf("get, %d entries", entries), callers(64, func(string) error {
				_, err := s.handle.Get(s.ctx, "few:0000007")
				return err
			}))
			part.addEach(fmt.Sprintf("whole namespace of 1,000 in pages, %d entries", entries), 1000, callers(1, func(string) error {
				return s.walk("few:")
			}))
			part.measure(*rounds, *round)
			t.benches = append(t.benches, part.benches...)
		}
		for i := 2; i < len(t.benches); i++ {
			t.show(t.benches[i].name, t.benches[i%2].name)
		}
		t.print(os.Stdout)
	}
}

// write writes the entries of a namespace from one number up to another.
func (s subject) write(b *testing.B, namespace string, from, to int) {
	b.Helper()
	items := make([]store.Item, 0, to-from)
	for i := from; i < to; i++ {
		items = append(items, store.Item{Key: fmt.Sprintf("%s:%07d", namespace, i), Value: benchValue})
	}
	for page := range slices.Chunk(items, 1000) {
		if err := s.handle.SetMany(s.ctx, page, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// walk lists all keys of a prefix.
func (s subject) walk(prefix string) error {
	for key, err := range s.handle.Keys(s.ctx, prefix) {
		if err != nil || !strings.HasPrefix(key, prefix) {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
