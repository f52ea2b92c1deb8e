package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// A contender does the same work by way of the driver or without it, with a deadline as a handle sets it.
type contender struct {
	name    string
	callers int
	op      func(ctx context.Context) error
}

// compare runs the contenders in turns, many short rounds each, and reports the operations per second of each and the median
// of the ratios of the first to each of the others: a noisy machine slows all of one round alike.
func compare(b *testing.B, contenders ...contender) {
	const rounds, each = 15, 100 * time.Millisecond
	rates := make([][]float64, len(contenders))
	for b.Loop() {
		for range rounds {
			for i, c := range contenders {
				rates[i] = append(rates[i], rate(b, c, each))
			}
		}
	}
	for i, c := range contenders {
		b.ReportMetric(median(rates[i]), c.name+"/s")
		if i > 0 {
			ratios := make([]float64, len(rates[0]))
			for j := range ratios {
				ratios[j] = rates[0][j] / rates[i][j]
			}
			b.ReportMetric(median(ratios), "x-"+c.name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// warmUp lets the logs of databases grow to the length at which they are used again from the start, as they are in a process that
// runs for long: a file system syncs faster what is not new.
func warmUp(b *testing.B, contenders ...contender) {
	for _, c := range contenders {
		c.callers = 64
		if c.name == "raw" {
			c.callers = 1
		}
		rate(b, c, time.Second)
	}
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

func rate(b *testing.B, c contender, d time.Duration) float64 {
	counts := make([]int, c.callers)
	start := time.Now()
	var wait sync.WaitGroup
	for i := range c.callers {
		wait.Go(func() {
			for time.Since(start) < d {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				err := c.op(ctx)
				cancel()
				if err != nil {
					b.Error(err)
					return
				}
				counts[i]++
			}
		})
	}
	wait.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(start).Seconds()
}

var payload = value.AppendString(nil, strings.Repeat("x", 55))

// values returns a function that gives values of the same length, each another: SQLite writes nothing where nothing changes.
func values() func() []byte {
	var n atomic.Int64
	return func() []byte { return value.AppendString(nil, fmt.Sprintf("%055d", n.Add(1))) }
}

// keys returns a function that names 10,000 keys in turns.
func keys() func() string {
	var n atomic.Int64
	return func() string { return fmt.Sprintf("bench:%d", n.Add(7919)%10_000) }
}

// rawLoop returns an operation that appends a record to a file and syncs it: what a durable write costs without a database.
func rawLoop(b *testing.B) contender {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	record := append([]byte("bench:0000"), payload...)
	return contender{"raw", 1, func(context.Context) error {
		if _, err := f.Write(record); err != nil {
			return err
		}
		return datasync(f)
	}}
}

// naive returns what a program does without the driver: an upsert by database/sql, in a file with the same settings.
func naive(b *testing.B, callers int) contender {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "naive.db")+
		"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1) // with more it is slower: they wait for each other by sleeping
	if _, err := db.Exec("CREATE TABLE t (key BLOB NOT NULL PRIMARY KEY, expires INTEGER, value BLOB NOT NULL) STRICT, WITHOUT ROWID"); err != nil {
		b.Fatal(err)
	}
	set, err := db.Prepare("INSERT INTO t VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires")
	if err != nil {
		b.Fatal(err)
	}
	key, v := keys(), values()
	return contender{"naive", callers, func(ctx context.Context) error {
		_, err := set.ExecContext(ctx, []byte(key()), nil, v())
		return err
	}}
}

// BenchmarkDurableSet compares sets that are synced with a loop that writes and syncs a record of the same length, and with
// database/sql.
func BenchmarkDurableSet(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			d := openPath(b, filepath.Join(b.TempDir(), "store.db"), Options{})
			key, v := keys(), values()
			set := func(ctx context.Context) error { return d.Set(ctx, key(), v(), 0) }
			contenders := []contender{{"driver", callers, set}, rawLoop(b), naive(b, callers)}
			warmUp(b, contenders...)
			compare(b, contenders...)
		})
	}
}

// BenchmarkGet compares reads of 10,000 entries with those by a prepared statement of database/sql.
func BenchmarkGet(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "store.db")
			d := openPath(b, path, Options{})
			fill(b, d, 10_000)
			db, err := sql.Open("sqlite", "file:"+path)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			get, err := db.Prepare("SELECT value FROM luastore WHERE key = ? AND (expires IS NULL OR expires > ?)")
			if err != nil {
				b.Fatal(err)
			}
			key := keys()
			compare(b,
				contender{"driver", callers, func(ctx context.Context) error { _, err := d.Get(ctx, key()); return err }},
				contender{"database-sql", callers, func(ctx context.Context) error {
					var v []byte
					return get.QueryRowContext(ctx, []byte(key()), time.Now().UnixMicro()).Scan(&v)
				}})
		})
	}
}

func fill(b *testing.B, d *Driver, n int) {
	for i := 0; i < n; i += 1000 {
		var entries []store.Item
		for j := range 1000 {
			entries = append(entries, store.Item{Key: fmt.Sprintf("bench:%d", i+j), Value: payload})
		}
		if err := d.SetMany(b.Context(), entries, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMixed is what most programs do: mostly reads, beside durable writes.
func BenchmarkMixed(b *testing.B) {
	d := openPath(b, filepath.Join(b.TempDir(), "store.db"), Options{})
	fill(b, d, 10_000)
	key, v := keys(), values()
	var n atomic.Int64
	compare(b, contender{"95-5", 64, func(ctx context.Context) error {
		if n.Add(1)%20 == 0 {
			return d.Set(ctx, key(), v(), 0)
		}
		_, err := d.Get(ctx, key())
		return err
	}})
}
