package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/benchtest"
	"github.com/luastore/store/internal/pgtest"
	"github.com/luastore/store/value"
)

// bareConns are connections of pgx, as many as the driver has, of which the one used last is used next. It is a cheaper pool than
// pgx's own.
type bareConns struct {
	slots chan struct{}
	mu    sync.Mutex
	idle  []*pgx.Conn
}

func connectBare(b *testing.B, url string) *bareConns {
	conns := &bareConns{slots: make(chan struct{}, DefaultMaxConns)}
	for range DefaultMaxConns {
		c, err := pgx.Connect(context.Background(), url)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close(context.Background()) })
		conns.idle = append(conns.idle, c)
	}
	return conns
}

// with lends a connection.
func (conns *bareConns) with(use func(c *pgx.Conn) error) error {
	conns.slots <- struct{}{}
	conns.mu.Lock()
	last := len(conns.idle) - 1
	c := conns.idle[last]
	conns.idle = conns.idle[:last]
	conns.mu.Unlock()
	defer func() {
		conns.mu.Lock()
		conns.idle = append(conns.idle, c)
		conns.mu.Unlock()
		<-conns.slots
	}()
	return use(c)
}

// BenchmarkBare compares the driver with the same statements by pgx alone; the ratio is that of their rates, higher is better. An
// increment by pgx is what the driver does too: two round trips with the row locked.
func BenchmarkBare(b *testing.B) {
	server := pgtest.Start(b, nil)
	v := value.AppendString(nil, strings.Repeat("x", 55))
	entries := make([]store.Item, 100)
	keys, values := make([][]byte, len(entries)), make([][]byte, len(entries))
	for i := range entries {
		entries[i] = store.Item{Key: fmt.Sprintf("b:m%03d", i), Value: v}
		keys[i], values[i] = []byte(entries[i].Key), v
	}
	d, bare := openURL(b, server.URL()), connectBare(b, server.URL())
	d.Set(context.Background(), "b:k", v, 0)
	d.Incr(context.Background(), "b:n", 1, 0, 0)
	d.Incr(context.Background(), "b:o", 1, 0, 0)
	for _, callers := range []int{1, 64} {
		for _, pair := range []struct {
			name string
			ours func(ctx context.Context) error
			bare func(ctx context.Context) error
		}{
			{"get", func(ctx context.Context) error { _, err := d.Get(ctx, "b:k"); return err },
				func(ctx context.Context) error {
					var got []byte
					return bare.with(func(c *pgx.Conn) error {
						return c.QueryRow(ctx, d.ask.get.sql, []byte("b:k")).Scan(&got)
					})
				}},
			{"set", func(ctx context.Context) error { return d.Set(ctx, "b:k", v, time.Hour) },
				func(ctx context.Context) error {
					return bare.exec(ctx, d.ask.set, []byte("b:k"), v, int64(3600_000_000))
				}},
			{"set_many", func(ctx context.Context) error { return d.SetMany(ctx, entries, time.Hour) },
				func(ctx context.Context) error {
					return bare.exec(ctx, d.ask.setMany, keys, values, int64(3600_000_000))
				}},
			{"incr", func(ctx context.Context) error { _, err := d.Incr(ctx, "b:n", 1, 0, 0); return err },
				func(ctx context.Context) error { return bare.incr(ctx, d.ask, []byte("b:o")) }},
		} {
			b.Run(fmt.Sprintf("%s/callers=%d", pair.name, callers), func(b *testing.B) {
				benchtest.Compare(b, callers, benchtest.By("driver", pair.ours), benchtest.By("bare", pair.bare))
			})
		}
	}
}

func (conns *bareConns) exec(ctx context.Context, s *statement, args ...any) error {
	return conns.with(func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, s.sql, args...)
		return err
	})
}

func (conns *bareConns) incr(ctx context.Context, ask *statements, key []byte) error {
	return conns.with(func(c *pgx.Conn) error {
		var first, second pgx.Batch
		first.Queue(ask.begin.sql)
		var number []byte
		var live bool
		first.Queue(ask.lock.sql, key).QueryRow(func(row pgx.Row) error { return row.Scan(&number, &live) })
		if err := c.SendBatch(ctx, &first).Close(); err != nil {
			return err
		}
		n, _ := value.ParseNumber(number)
		second.Queue(ask.bump.sql, key, value.AppendNumber(nil, n+1))
		second.Queue(ask.commit.sql)
		return c.SendBatch(ctx, &second).Close()
	})
}

// BenchmarkUnprepared compares a driver that prepares no statements with one that does; the ratio is what is left of the speed.
func BenchmarkUnprepared(b *testing.B) {
	server := pgtest.Start(b, nil)
	prepared, unprepared := openURL(b, server.URL()), openURL(b, server.URL()+"?statement_cache=false")
	for name, op := range map[string]func(ctx context.Context, d *Driver) error{
		"get":  func(ctx context.Context, d *Driver) error { _, err := d.Has(ctx, "b:k"); return err },
		"set":  func(ctx context.Context, d *Driver) error { return d.Set(ctx, "b:k", nil, time.Hour) },
		"incr": func(ctx context.Context, d *Driver) error { _, err := d.Incr(ctx, "b:n", 1, 0, 0); return err },
	} {
		b.Run(name, func(b *testing.B) {
			benchtest.Compare(b, 1,
				benchtest.By("unprepared", func(ctx context.Context) error { return op(ctx, unprepared) }),
				benchtest.By("prepared", func(ctx context.Context) error { return op(ctx, prepared) }))
		})
	}
}

// BenchmarkBatch compares a batch of 100 keys with 100 single calls; the ratio says how many times faster the batch is.
func BenchmarkBatch(b *testing.B) {
	d := openURL(b, pgtest.Start(b, nil).URL())
	keys, entries := make([]string, 100), make([]store.Item, 100)
	for i := range keys {
		keys[i] = fmt.Sprint("b:", i)
		entries[i] = store.Item{Key: keys[i], Value: []byte("0123456789abcdef")}
	}
	d.SetMany(context.Background(), entries, 0)
	b.Run("get", func(b *testing.B) {
		benchtest.Compare(b, 1,
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
}

func BenchmarkGet(b *testing.B) {
	d := openURL(b, pgtest.Start(b, nil).URL())
	ctx := testContext(b)
	d.Set(ctx, "b:k", []byte("0123456789abcdef"), 0)
	b.ReportAllocs()
	for b.Loop() {
		d.Get(ctx, "b:k")
	}
}
