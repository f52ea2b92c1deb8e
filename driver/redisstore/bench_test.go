package redisstore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/benchtest"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/value"
)

// bareClient is rueidis with its defaults, without the client-side cache that nobody here asks for.
func bareClient(b *testing.B, server *redistest.Server) rueidis.Client {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	return client
}

// BenchmarkBare compares the driver with the bare client; the ratio is that of their rates, higher is better.
func BenchmarkBare(b *testing.B) {
	server := redistest.Start(b, nil)
	v := value.AppendString(nil, strings.Repeat("x", 55))
	increment := rueidis.NewLuaScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")
	for _, callers := range []int{1, 64} {
		d, bare := openURL(b, server.URL()), bareClient(b, server)
		d.Set(context.Background(), "b:k", v, 0)
		for name, pair := range map[string][2]func(ctx context.Context) error{
			"get": {
				func(ctx context.Context) error { _, err := d.Get(ctx, "b:k"); return err },
				func(ctx context.Context) error {
					_, err := bare.Do(ctx, bare.B().Get().Key("b:k").Build()).AsBytes()
					return err
				},
			},
			"set": {
				func(ctx context.Context) error { return d.Set(ctx, "b:k", v, time.Hour) },
				func(ctx context.Context) error {
					return bare.Do(ctx, bare.B().Set().Key("b:k").Value(rueidis.BinaryString(v)).PxMilliseconds(3600_000).Build()).Error()
				},
			},
			"incr": {
				func(ctx context.Context) error { _, err := d.Incr(ctx, "b:n", 1, 0, 0); return err },
				func(ctx context.Context) error {
					return increment.Exec(ctx, bare, []string{"b:m"}, []string{"1"}).Error()
				},
			},
		} {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				benchtest.Compare(b, callers, benchtest.By("driver", pair[0]), benchtest.By("bare", pair[1]))
			})
		}
	}
}

// BenchmarkBatch compares a batch of 100 keys with 100 single calls; the ratio says how many times faster the batch is.
func BenchmarkBatch(b *testing.B) {
	d := openURL(b, redistest.Start(b, nil).URL())
	keys, entries := make([]string, 100), make([]store.Item, 100)
	for i := range keys {
		keys[i] = fmt.Sprint("b:", i)
		entries[i] = store.Item{Key: keys[i], Value: []byte("0123456789abcdef")}
	}
	d.SetMany(context.Background(), entries, 0)
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("get/callers=%d", callers), func(b *testing.B) {
			benchtest.Compare(b, callers,
				benchtest.By("batch", func(ctx context.Context) error { _, err := d.GetMany(ctx, keys); return err }),
				benchtest.By("single", func(ctx context.Context) error {
					for _, key := range keys {
						if _, err := d.Get(ctx, key); err != nil {
							return err
						}
					}
					return nil
				}))
		})
		b.Run(fmt.Sprintf("set/callers=%d", callers), func(b *testing.B) {
			benchtest.Compare(b, callers,
				benchtest.By("batch", func(ctx context.Context) error { return d.SetMany(ctx, entries, 0) }),
				benchtest.By("single", func(ctx context.Context) error {
					for _, e := range entries {
						if err := d.Set(ctx, e.Key, e.Value, 0); err != nil {
							return err
						}
					}
					return nil
				}))
		})
	}
}

func BenchmarkGet(b *testing.B) {
	d := openURL(b, redistest.Start(b, nil).URL())
	ctx := testContext(b)
	d.Set(ctx, "b:k", []byte("0123456789abcdef"), 0)
	b.ReportAllocs()
	for b.Loop() {
		d.Get(ctx, "b:k")
	}
}

func BenchmarkListSmallPrefixOf200000(b *testing.B) {
	server := redistest.Shared(b)
	d := openURL(b, server.URL())
	fill(b, server.Client(b), "large:", 200_000)
	fill(b, server.Client(b), "small:", 7)
	for b.Loop() {
		listAll(b, context.Background(), d, "small:", 100)
	}
}
