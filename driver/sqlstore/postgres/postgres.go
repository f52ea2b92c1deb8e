// Package postgres keeps entries in one table of a PostgreSQL database.
//
// Each entry is a row: the key and the stored form of package value as bytea, and when it expires in microseconds since the Unix
// epoch, or NULL for never. Every operation but Incr is one statement in one round trip; Incr is a transaction of two round trips
// that holds the lock of its row. Any client can read the rows; one that writes some must keep to these columns.
//
//	reg.Define("sessions", store.Definition{Open: postgres.Opener(&postgres.Options{Address: "db.internal:5432", Database: "app"})})
//
// # URLs
//
// [ParseURL] takes
//
//	postgres://[user:password@]host[:port]/database               postgresql:// is the same
//	postgres://[user:password@]/database?host=/run/postgresql     by the unix socket in that folder
//
// with these parameters, of which some have the names that libpq gives them; any other is an error:
//
//	table              name of the table, lower-case letters, digits and _; default luastore
//	create             false: never create the table, but say what is missing; default true
//	max_conns          most connections to the server, 1 to 1000; default 10
//	dial_timeout       bound on connecting and logging in; default 5s
//	connect_timeout    the same, in whole seconds
//	statement_timeout  when the server gives a statement up; default 30s
//	max_value_bytes    longest value, at most 512 MiB; default 16777216
//	statement_cache    false: keep nothing on the server between transactions, for PgBouncer; default true
//	application_name   what pg_stat_activity shows; default luastore
//	sslmode            disable, prefer, require, verify-ca or verify-full; default prefer, as in libpq
//	sslrootcert        PEM file with the authorities to trust; default those of the system
//	sslcert, sslkey    PEM files with the certificate of this client and its key; default none
//	channel_binding    prefer, require or disable; default prefer
//	host, port         folder of the unix socket, and port
//
// Nothing else is taken from where libpq would look: neither PG variables of the environment, nor ~/.pgpass, nor service files, nor
// ~/.postgresql.
//
// # Table
//
//	CREATE TABLE luastore (key bytea PRIMARY KEY, value bytea NOT NULL, expires bigint);
//	CREATE INDEX luastore_expires ON luastore (expires) WHERE expires IS NOT NULL;
//
// Opening creates what is missing, in the schema that the role's search_path names. The role needs SELECT, INSERT, UPDATE and DELETE.
// Every statement judges by the server's clock whether a row has expired; those that have are removed about once a minute, up to a
// thousand a statement.
//
// # Connections
//
// A call that finds no idle connection makes one, up to max_conns, or waits; it waits too where the server has no room for more, if
// other calls have connections. Those that nobody has used for five minutes are closed. A call ends with its context, whatever the
// server does; its connection is given up then, and the server is asked to cancel the statement. While the server cannot be reached,
// calls fail at once but for two attempts a second. Reads are sent once more where the connection broke under them. A write is sent again
// only where the server rolled it back for the sake of another one (a deadlock, a serialization failure), or where nothing was sent;
// one whose reply was lost answers [store.ErrUnknownOutcome].
//
// # Caveats
//
//   - What survives is up to the server: with synchronous_commit on, its default, what was answered is on its disk. Opening looks at
//     its settings, and Info states what they mean.
//   - sslmode=prefer, as in libpq, protects from nobody who can change what is sent. Use verify-full over a network.
//   - Behind PgBouncer in transaction mode use statement_cache=false: the conformance suite was run through PgBouncer 1.18 so, by hand,
//     and passed. A call then takes two to three times as long, statement_timeout is what ALTER ROLE … SET statement_timeout says,
//     and statements that nobody waits for any more are not cancelled.
//   - One host, the primary: a standby answers [store.ErrUnavailable] to writes.
//   - The driver never replaces a row by a DELETE and an INSERT in one transaction. Where other clients do, Delete, Touch,
//     CompareAndSwap and Incr still find the row, but DeleteMany may miss it: let them use UPDATE or ON CONFLICT.
//   - Each connection is a process of the server: the sum of max_conns over all clients must be below its max_connections.
//   - GetMany fetches up to 64 MiB and one value; what is more is [store.ErrTooLarge].
//   - A page of a listing may be short, or empty, where thousands of rows in a row have expired and are not yet removed.
//   - A counter that all processes increment takes turns: a few thousand increments a second.
//   - Rows that change often leave dead ones behind: leave autovacuum on.
package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

var (
	_ store.Driver  = (*Driver)(nil)
	_ store.Batcher = (*Driver)(nil)
	_ store.Counter = (*Driver)(nil)
)

// sweepEvery is about how often rows that have expired are removed.
const sweepEvery = time.Minute

// A Driver keeps entries in one table of a PostgreSQL database.
type Driver struct {
	target  target
	config  *pgconn.Config
	pool    *pool
	turns   turns // of increments
	ask     *statements
	info    store.Info
	sweeper *table.Sweeper
}

// Opener returns an opener for o; nil means defaults. Openers of equal options name the same connection, and share one driver
// in a registry. Opening connects, creates the table where it may, and fails where the server does not answer; a driver once open
// reconnects by itself.
func Opener(o *Options) store.Opener {
	to := o.target()
	return store.Opener{
		Connection: to,
		Open: func(ctx context.Context) (store.Driver, error) {
			d, err := open(ctx, to, sweepEvery)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
	}
}

func open(ctx context.Context, to target, every time.Duration) (*Driver, error) {
	checked := to.Options
	checked.Password = to.password.Value()
	if err := checked.check(); err != nil {
		return nil, err
	}
	config, err := to.config()
	if err != nil {
		return nil, err
	}
	d := &Driver{target: to, config: config, ask: newStatements(to.Table, to.MaxValueBytes), turns: turns{byKey: map[string]*turn{}}}
	d.pool = newPool(to.MaxConns, to.DialTimeout)
	d.pool.dial = d.dial
	if err := d.prepareTable(ctx); err != nil {
		d.pool.close()
		return nil, err
	}
	d.sweeper = table.Sweep(every, d.sweep)
	return d, nil
}

// Close closes the connections. Calls under way end at once, writes among them with an unknown outcome.
func (d *Driver) Close() error {
	d.pool.close()
	d.sweeper.Stop()
	return nil
}

// Info tells what the driver guarantees.
func (d *Driver) Info() store.Info { return d.info }

// A call is what may go to a connection.
type call func(c *conn) error

// read makes a call that changes nothing, and once more where the connection broke under it.
func (d *Driver) read(ctx context.Context, try call) error {
	err := d.once(ctx, d.pool.acquire, try)
	if err != nil && broken(ctx, err) {
		err = d.once(ctx, d.pool.acquireNew, try)
	}
	return err
}

// write makes a call that changes something. It goes to the server again only where that said that it rolled back, or where
// nothing was sent.
func (d *Driver) write(ctx context.Context, try call) error {
	err := d.writeOnce(ctx, try)
	if err == nil || !rolledBack(err) {
		return err
	}
	return table.Retry(ctx, func() error { return d.writeOnce(ctx, try) }, rolledBack)
}

func (d *Driver) writeOnce(ctx context.Context, try call) error {
	err := d.once(ctx, d.pool.acquire, try)
	if err != nil && unapplied(err) && broken(ctx, err) {
		err = d.once(ctx, d.pool.acquireNew, try)
	}
	return err
}

// once makes a call on one connection.
func (d *Driver) once(ctx context.Context, acquire func(context.Context) (*conn, error), try call) error {
	c, err := acquire(ctx)
	if err != nil {
		return &notSent{err}
	}
	began := c.usedAt
	err = try(c)
	if err != nil && ctx.Err() != nil && c.pg.IsClosed() {
		// Silence: what has been idle since before is as likely to be dead.
		d.pool.dropIdle(began)
	}
	c.spoiled = c.spoiled || lostStatement(err)
	d.pool.release(c)
	return err
}

// Get returns the value of key.
func (d *Driver) Get(ctx context.Context, key string) ([]byte, error) {
	var v []byte
	err := d.readRow(ctx, d.ask.get, key, func(row [][]byte) (err error) {
		v, err = d.payload(row[0])
		return err
	})
	return v, err
}

// readRow reads the row of a key.
func (d *Driver) readRow(ctx context.Context, s *statement, key string, take func(row [][]byte) error) error {
	n := 0
	err := d.read(ctx, func(c *conn) (err error) {
		n, err = c.exec(ctx, s, take, []byte(key))
		return err
	})
	switch {
	case err != nil:
		return d.readError(ctx, err)
	case n == 0:
		return store.ErrNotFound
	}
	return nil
}

// payload returns a copy of a value, which is NULL where it is too long to be fetched.
func (d *Driver) payload(column []byte) ([]byte, error) {
	if column == nil {
		return nil, store.Errorf(store.ErrCorrupt, "corrupt value: the value in the table is NULL or longer than max_value_bytes, %d", d.target.MaxValueBytes)
	}
	return append(make([]byte, 0, len(column)), column...), nil
}

// Entry returns the value of key and the time it has left.
func (d *Driver) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	var v []byte
	var ttl time.Duration
	err := d.readRow(ctx, d.ask.entry, key, func(row [][]byte) (err error) {
		v, err = d.payload(row[0])
		ttl = timeLeft(row[1])
		return err
	})
	return v, ttl, err
}

// TTL returns the time that key has left.
func (d *Driver) TTL(ctx context.Context, key string) (time.Duration, error) {
	var ttl time.Duration
	err := d.readRow(ctx, d.ask.ttl, key, func(row [][]byte) error {
		ttl = timeLeft(row[0])
		return nil
	})
	return ttl, err
}

// timeLeft turns microseconds into a ttl; NULL is never.
func timeLeft(column []byte) time.Duration {
	if len(column) != 8 {
		return 0
	}
	left := int64(binary.BigEndian.Uint64(column))
	left = min(max(left, 1000), math.MaxInt64/int64(time.Microsecond))
	return time.Duration(left) * time.Microsecond
}

// Has reports whether key exists.
func (d *Driver) Has(ctx context.Context, key string) (bool, error) {
	_, err := d.TTL(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
