package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
	"github.com/luastore/store/value"
)

// A contender does the same work by way of the driver or of database/sql alone, with a deadline as a handle sets it.
type contender struct {
	name string
	op   func(ctx context.Context) error
}

// compare runs the contenders in turns, many short rounds each, and reports the operations per second of each and the median
// of the ratios of the first to the second: a noisy machine slows both of one round alike.
func compare(b *testing.B, callers int, contenders ...contender) {
	const rounds, each = 15, 100 * time.Millisecond
	rates := make([][]float64, len(contenders))
	for b.Loop() {
		for range rounds {
			for i, c := range contenders {
				rates[i] = append(rates[i], rate(b, callers, each, c.op))
			}
		}
	}
	for i, c := range contenders {
		b.ReportMetric(median(rates[i]), c.name+"/s")
	}
	ratios := make([]float64, len(rates[0]))
	for i := range ratios {
		ratios[i] = rates[0][i] / rates[1][i]
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

func rate(b *testing.B, callers int, d time.Duration, op func(ctx context.Context) error) float64 {
	counts := make([]int, callers)
	start := time.Now()
	var wait sync.WaitGroup
	for i := range callers {
		wait.Go(func() {
			for time.Since(start) < d {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				err := op(ctx)
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

// bare opens database/sql on the database of d with the client's own defaults, and its own way of sending batches in one round trip.
func bare(b *testing.B, d *Driver) *sql.DB {
	config := must(d.target.clientConfig())(b)
	config.InterpolateParams = true
	config.Params = map[string]string{"time_zone": "'+00:00'"}
	db := sql.OpenDB(must(mysql.NewConnector(config))(b))
	db.SetMaxOpenConns(d.target.MaxConns)
	db.SetMaxIdleConns(d.target.MaxConns)
	b.Cleanup(func() { db.Close() })
	return db
}

// BenchmarkAgainstDatabaseSQL compares each operation with the same statement, prepared, by database/sql alone.
func BenchmarkAgainstDatabaseSQL(b *testing.B) {
	d := openURL(b, mariadbtest.Shared(b).URL())
	db := bare(b, d)
	prepare := func(text string) *sql.Stmt { return must(db.Prepare(text))(b) }
	get, set, update := prepare(d.sql.get), prepare(d.sql.set), prepare(d.sql.update)
	lock, forever := prepare(d.sql.lock), prepare(d.sql.setForever)
	key, small, large := []byte("t:k"), make([]byte, 57), make([]byte, 100_000)
	must(0, d.Set(context.Background(), "t:n", value.AppendNumber(nil, 0), 0))(b)
	must(0, d.Set(context.Background(), "t:k", small, 0))(b)
	var items []store.Item
	var args []any
	for i := range 100 {
		items = append(items, store.Item{Key: fmt.Sprintf("t:many:%03d", i), Value: small})
		args = append(args, []byte(items[i].Key), small)
	}
	many := d.sql.setMany + rows("(?, ?, NULL)", len(items)) + d.sql.setManyForeverEnd
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("Get/callers=%d", callers), func(b *testing.B) {
			compare(b, callers, contender{"driver", func(ctx context.Context) error { _, err := d.Get(ctx, "t:k"); return err }},
				contender{"sql", func(ctx context.Context) error {
					var length int64
					var v []byte
					return get.QueryRowContext(ctx, key).Scan(&length, &v)
				}})
		})
		b.Run(fmt.Sprintf("Set/callers=%d", callers), func(b *testing.B) {
			compare(b, callers, contender{"driver", func(ctx context.Context) error { return d.Set(ctx, "t:k", small, time.Hour) }},
				contender{"sql", func(ctx context.Context) error {
					_, err := set.ExecContext(ctx, key, key, small, int64(3600e6))
					return err
				}})
		})
		b.Run(fmt.Sprintf("Incr/callers=%d", callers), func(b *testing.B) {
			compare(b, callers, contender{"driver", func(ctx context.Context) error { _, err := d.Incr(ctx, "t:n", 1, 0, 0); return err }},
				contender{"sql", func(ctx context.Context) error { return transact(ctx, db, lock, update) }})
		})
		b.Run(fmt.Sprintf("SetMany100/callers=%d", callers), func(b *testing.B) {
			compare(b, callers, contender{"driver", func(ctx context.Context) error { return d.SetMany(ctx, items, 0) }},
				contender{"sql", func(ctx context.Context) error { _, err := db.ExecContext(ctx, many, args...); return err }})
		})
	}
	b.Run("Set100KB", func(b *testing.B) {
		compare(b, 1, contender{"driver", func(ctx context.Context) error { return d.Set(ctx, "t:l", large, 0) }},
			contender{"sql", func(ctx context.Context) error {
				_, err := forever.ExecContext(ctx, []byte("t:l"), large)
				return err
			}})
	})
}

// transact is an increment by database/sql alone.
func transact(ctx context.Context, db *sql.DB, lock, update *sql.Stmt) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var length int64
	var v []byte
	var alive bool
	if err := tx.StmtContext(ctx, lock).QueryRowContext(ctx, []byte("t:n")).Scan(&length, &v, &alive); err != nil {
		return err
	}
	n, _ := value.ParseNumber(v)
	if _, err := tx.StmtContext(ctx, update).ExecContext(ctx, value.AppendNumber(nil, n+1), []byte("t:n")); err != nil {
		return err
	}
	return tx.Commit()
}
