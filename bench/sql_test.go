package bench

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/luastore/store"
	mysqlstore "github.com/luastore/store/driver/sqlstore/mysql"
	"github.com/luastore/store/driver/sqlstore/postgres"
	"github.com/luastore/store/internal/mariadbtest"
	"github.com/luastore/store/internal/pgtest"
)

// The statements of the drivers for get and set, run beside them by the client alone. Their clocks are those of the servers.
const (
	pgClock = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
	pgGet   = `SELECT CASE WHEN octet_length(value) <= 16777216 THEN value END FROM "luastore" WHERE key = $1 AND
		(expires IS NULL OR expires > (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)`
	pgSet = `INSERT INTO "luastore" AS e (key, value, expires) VALUES ($1, $2, ` + pgClock + ` + $3)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = ` + pgClock + ` + $3`

	myClock = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
	myGet   = "SELECT LENGTH(`value`), CASE WHEN LENGTH(`value`) <= 16777216 THEN `value` END FROM `luastore` WHERE `key` = ? AND " +
		"(expires IS NULL OR expires > " + myClock + ")"
	mySet = "INSERT INTO `luastore` (`key`, `value`, expires) VALUES (?, ?, " + myClock + " + ?) " +
		"ON DUPLICATE KEY UPDATE `value` = VALUES(`value`), expires = " + myClock + " + ?"
)

// A contest is one operation, by the client alone, by the driver and by a handle.
type contest struct {
	name                   string
	client, driver, handle func(ctx context.Context, key string) error
}

// addContests adds them for one caller and for many. The driver and the handle are to reach target times what the client alone does;
// 0: they are only shown beside it. All calls have the timeout that a handle sets.
func addContests(t *table, client string, target float64, contests []contest) {
	for _, n := range []int{1, many} {
		for _, c := range contests {
			suffix := " " + c.name + ", " + count(n, "caller")
			t.add(client+suffix, callers(n, timely(c.client)))
			t.add("driver"+suffix, callers(n, timely(c.driver)))
			t.add("handle"+suffix, callers(n, func(key string) error { return c.handle(context.Background(), key) }))
			t.atLeast(target, "driver"+suffix, client+suffix)
			t.atLeast(target, "handle"+suffix, client+suffix)
		}
	}
}

// timely gives each call the timeout that a handle sets.
func timely(do func(ctx context.Context, key string) error) func(key string) error {
	return func(key string) error {
		ctx, cancel := context.WithTimeout(context.Background(), store.DefaultTimeout)
		defer cancel()
		return do(ctx, key)
	}
}

// contests returns get and set of a subject beside those of a client.
func contests(s subject, get, set func(ctx context.Context, key string) error) []contest {
	return []contest{
		{"get", get,
			func(ctx context.Context, key string) error { _, err := s.driver.Get(ctx, key); return err },
			func(_ context.Context, key string) error { _, err := s.handle.Get(s.ctx, key); return err }},
		{"set", set,
			func(ctx context.Context, key string) error { return s.driver.Set(ctx, key, freshValue(), 0) },
			func(_ context.Context, key string) error { return s.handle.Set(s.ctx, key, freshValue(), 0) }},
	}
}

// BenchmarkPostgres prints the table of PostgreSQL beside the same statements by pgx alone.
func BenchmarkPostgres(b *testing.B) {
	url := pgtest.Start(b, nil).URL()
	o, err := postgres.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	s := openSubject(b, postgres.Opener(o))
	s.fill(b)
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = postgres.DefaultMaxConns
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	t := &table{title: fmt.Sprintf("PostgreSQL that does not sync, %d connections, beside the same statements by pgx", postgres.DefaultMaxConns)}
	addContests(t, "pgx", 0.8, contests(s,
		func(ctx context.Context, key string) error {
			var v []byte
			return pool.QueryRow(ctx, pgGet, []byte(key)).Scan(&v)
		},
		func(ctx context.Context, key string) error {
			_, err := pool.Exec(ctx, pgSet, []byte(key), freshValue(), nil)
			return err
		}))
	show(b, t)
}

// BenchmarkMariaDB prints the table of MariaDB beside the same statements, prepared, by database/sql alone.
func BenchmarkMariaDB(b *testing.B) {
	server := mariadbtest.Start(b, nil)
	o, err := mysqlstore.ParseURL(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	s := openSubject(b, mysqlstore.Opener(o))
	s.fill(b)
	get, set := preparedMySQL(b, server.Addr(), server.Password, o.Database)
	t := &table{title: fmt.Sprintf("MariaDB that does not sync, %d connections, beside the same statements by database/sql; ratios of throughput", mysqlstore.DefaultMaxConns)}
	addContests(t, "database/sql", 0, contests(s,
		func(ctx context.Context, key string) error {
			var n int
			var v []byte
			return get.QueryRowContext(ctx, []byte(key)).Scan(&n, &v)
		},
		func(ctx context.Context, key string) error {
			_, err := set.ExecContext(ctx, []byte(key), freshValue(), nil, nil)
			return err
		}))
	show(b, t)
}

// preparedMySQL returns the statements of get and set as one would prepare them without luastore.
func preparedMySQL(b *testing.B, addr, password, database string) (get, set *sql.Stmt) {
	b.Helper()
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = mariadbtest.User, password, "tcp", addr, database
	connector, err := mysql.NewConnector(c)
	if err != nil {
		b.Fatal(err)
	}
	db := sql.OpenDB(connector)
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(mysqlstore.DefaultMaxConns)
	db.SetMaxIdleConns(mysqlstore.DefaultMaxConns)
	for text, statement := range map[string]**sql.Stmt{myGet: &get, mySet: &set} {
		if *statement, err = db.Prepare(text); err != nil {
			b.Fatal(err)
		}
	}
	return get, set
}
