package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/benchtest"
	"github.com/luastore/store/internal/mariadbtest"
	"github.com/luastore/store/value"
)

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
			benchtest.Compare(b, callers, benchtest.By("driver", func(ctx context.Context) error { _, err := d.Get(ctx, "t:k"); return err }),
				benchtest.By("sql", func(ctx context.Context) error {
					var length int64
					var v []byte
					return get.QueryRowContext(ctx, key).Scan(&length, &v)
				}))
		})
		b.Run(fmt.Sprintf("Set/callers=%d", callers), func(b *testing.B) {
			benchtest.Compare(b, callers, benchtest.By("driver", func(ctx context.Context) error { return d.Set(ctx, "t:k", small, time.Hour) }),
				benchtest.By("sql", func(ctx context.Context) error {
					_, err := set.ExecContext(ctx, key, key, small, int64(3600e6))
					return err
				}))
		})
		b.Run(fmt.Sprintf("Incr/callers=%d", callers), func(b *testing.B) {
			benchtest.Compare(b, callers, benchtest.By("driver", func(ctx context.Context) error { _, err := d.Incr(ctx, "t:n", 1, 0, 0); return err }),
				benchtest.By("sql", func(ctx context.Context) error { return transact(ctx, db, lock, update) }))
		})
		b.Run(fmt.Sprintf("SetMany100/callers=%d", callers), func(b *testing.B) {
			benchtest.Compare(b, callers, benchtest.By("driver", func(ctx context.Context) error { return d.SetMany(ctx, items, 0) }),
				benchtest.By("sql", func(ctx context.Context) error { _, err := db.ExecContext(ctx, many, args...); return err }))
		})
	}
	b.Run("Set100KB", func(b *testing.B) {
		benchtest.Compare(b, 1, benchtest.By("driver", func(ctx context.Context) error { return d.Set(ctx, "t:l", large, 0) }),
			benchtest.By("sql", func(ctx context.Context) error {
				_, err := forever.ExecContext(ctx, []byte("t:l"), large)
				return err
			}))
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
