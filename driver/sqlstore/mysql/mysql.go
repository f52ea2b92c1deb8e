// Package mysql keeps entries in a table of MySQL 8 or MariaDB 10.6 and later.
//
// Each entry is a row: key, value in the stored form of package value, and the moment at which it expires, so that any client of
// the server can read it. Rows are found by the bytes of their keys, and ordered by them.
//
//	reg.Define("sessions", store.Definition{Open: mysql.Opener(&mysql.Options{Address: "db.internal:3306", Username: "app", …})})
//
// # URLs
//
// [ParseURL] takes
//
//	mysql://[user:password@]host[:port][/database]            mariadb:// is the same; the database is luastore by default
//
// with these parameters; any other is an error:
//
//	table              name of the table; default luastore
//	create             false never creates the table: a missing one is an error that says how to create it; default true
//	max_conns          most connections, and so most calls at a time; default 16, at most 1000
//	dial_timeout       bound on connecting, handshake included; default 5s
//	statement_timeout  when the server ends a statement by itself; default 10s, at least 10ms
//	max_value_bytes    longest value, and the longest that is fetched; default 16777216
//	socket             path of a unix socket, in place of a host; default none
//	tls                true encrypts and verifies the server, skip-verify does not verify it; default false
//	ca                 PEM file with the authorities to trust; default those of the system (tls=true only)
//	cert, key          PEM files with the certificate of this client and its key; default none (TLS only)
//	server_name        name that the certificate of the server must bear; default the host (tls=true only)
//
// # Table
//
// The table is created when it is missing, and checked otherwise. It may have more columns, if they are filled by themselves, and
// more indexes that are not unique, but no triggers: those that the account may not see are not noticed. These are the privileges that an account needs on it: SELECT,
// INSERT, UPDATE, DELETE, and CREATE unless create=false:
//
//	CREATE TABLE luastore (
//	  `key`     VARBINARY(1024) NOT NULL PRIMARY KEY,
//	  `value`   LONGBLOB NOT NULL,
//	  `expires` BIGINT NULL COMMENT 'microseconds since the Unix epoch; NULL: never',
//	  KEY luastore_expires (`expires`)
//	) ENGINE=InnoDB ROW_FORMAT=DYNAMIC
//
// A row that has expired is invisible from that moment on, by the clock of the server; every minute each driver removes such rows, a
// thousand at a time.
//
// # Round trips
//
// Every operation is one statement, a transaction of its own and one round trip, with these exceptions: Incr takes two, and four
// where callers meet at a counter; a batch takes one for each max_allowed_packet, in which it is about twice as long as its keys
// and values: they are written in hexadecimal digits, which no charset can take for anything else. A statement takes one more the
// first time on a connection.
//
// A ttl counts from when the write has its row locks. To that end a write with a ttl writes each row twice in its one statement,
// first to take the key.
//
// A deadlock is tried again, as is what broke before the server can have got it: nothing was done. Reads are asked again where the
// connection broke. No other statement is sent twice: a write whose reply was lost answers [store.ErrUnknownOutcome].
//
// # Caveats
//
//   - What survives a crash or a failover is up to the configuration of the server: innodb_flush_log_at_trx_commit=1 and, with a
//     binary log, sync_binlog=1. Replication is asynchronous unless configured otherwise.
//   - Use one primary. Replicas lag, and so do the nodes of a Galera cluster without wsrep_sync_wait.
//   - The clock of the server decides what has expired. If it is set back, entries live longer. After a failover it is another clock.
//   - The driver sets READ COMMITTED for its sessions: a binary log must have the format ROW or MIXED, which are the defaults.
//   - A server with sysdate-is-now is refused.
//   - Each session sets for itself what changes the meaning of statements, such as its charset, sql_mode, time_zone, completion_type
//     and sql_select_limit: neither init_connect nor global variables do.
//   - Where max_prepared_stmt_count of the server is exhausted, statements are sent as text, and values of more than half a
//     max_allowed_packet are answered unavailable.
//   - Values are no longer than max_allowed_packet less 4 KiB: 16 MiB by default in MariaDB, 64 MiB in MySQL. Info says how long
//     they may be, as of the moment when the store was opened.
//   - MySQL ends reads and waits for row locks by statement_timeout, no other writes; MariaDB all.
//   - Without tls=true what is stored crosses the network in the clear, and a password that only caching_sha2_password protects can
//     be had by whoever stands in between.
//   - Proxies between the driver and the server (ProxySQL, MaxScale) were not tested. They must know prepared statements, of which a
//     connection has up to twenty, and CLIENT_FOUND_ROWS.
package mysql

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

var (
	_ store.Driver  = (*Driver)(nil)
	_ store.Batcher = (*Driver)(nil)
	_ store.Counter = (*Driver)(nil)
)

const (
	// maxKeyBytes is what the key column holds.
	maxKeyBytes = 1024
	// packetReserve is what a packet of the protocol holds besides one value: key, statement, numbers.
	packetReserve = 4 << 10
	// sweepEvery is how often a driver looks for expired rows. Others that share the table do too.
	sweepEvery = time.Minute
	// idleTime is after how long a connection that nobody needs is closed, before a server or a firewall does so unnoticed.
	idleTime = 4 * time.Minute
	// silence is how long, after a call ended without its reply, no other makes the idle connections suspect again.
	silence = time.Second
)

// A Driver keeps entries in one table of one MySQL or MariaDB server.
type Driver struct {
	target  target
	info    store.Info
	sql     statements
	packet  int // max_allowed_packet of the server as it was when the driver was opened, in bytes
	db      *sql.DB
	dialer  *connector
	slots   chan struct{} // one for each call that may have a connection
	closing context.Context
	cancel  context.CancelFunc
	sweeper *table.Sweeper
	closed  sync.Once
	metAt   atomic.Int64 // when two increments last met, in nanoseconds since the Unix epoch

	mu        sync.Mutex
	suspectAt time.Time // when the idle connections were last dropped
}

// Opener returns an opener for o; nil means defaults. Openers of equal options name the same connection, and share one driver
// in a registry. Opening connects, and creates or checks the table; a driver once open reconnects by itself.
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
	if err := to.check(); err != nil {
		return nil, err
	}
	config, err := to.clientConfig()
	if err != nil {
		return nil, err
	}
	d := &Driver{target: to, slots: make(chan struct{}, to.MaxConns), sql: newStatements(to.Table, to.MaxValueBytes)}
	d.closing, d.cancel = context.WithCancel(context.Background())
	d.dialer = &connector{config: config, setup: setup(to.StatementTimeout), timeout: to.DialTimeout, closing: d.closing}
	d.db = sql.OpenDB(d.dialer)
	d.db.SetMaxIdleConns(to.MaxConns)
	d.db.SetConnMaxIdleTime(idleTime)
	if err := d.prepare(ctx); err != nil {
		d.Close()
		return nil, err
	}
	d.sweeper = table.Sweep(every, d.sweep)
	return d, nil
}

// prepare learns what the server allows and sees to the table.
func (d *Driver) prepare(ctx context.Context) error {
	err := d.read(ctx, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, "SELECT @@max_allowed_packet").Scan(&d.packet)
	})
	if err != nil {
		return err
	}
	if d.packet <= 2*packetReserve {
		return store.Errorf(store.ErrUnavailable, "store unavailable: max_allowed_packet of MySQL at %s is %d bytes: raise it", d.target.Address, d.packet)
	}
	d.info = d.describe()
	d.sql = newStatements(d.target.Table, d.info.MaxValueBytes)
	d.dialer.fixed = d.sql.fixed()
	return d.ensureTable(ctx)
}

func (d *Driver) describe() store.Info {
	return store.Info{
		Driver: "mysql",
		Durability: "as configured on the server: with innodb_flush_log_at_trx_commit=1, the default, an acknowledged write survives " +
			"the loss of power (with sync_binlog=1, its default in MySQL, the binary log too); a failover loses what was not replicated",
		Consistency:   "linearizable on one primary; not on replicas or several nodes of a Galera cluster, and a failover may lose acknowledged writes",
		Clock:         "server: SYSDATE(6) of MySQL, in UTC",
		TTLResolution: time.Millisecond,
		Shared:        true,
		Ordered:       true,
		Network:       true,
		MaxKeyBytes:   maxKeyBytes,
		MaxValueBytes: min(d.target.MaxValueBytes, d.packet-packetReserve),
	}
}

// Info tells what the driver guarantees.
func (d *Driver) Info() store.Info { return d.info }

// Close closes the connections. Calls under way end at once, writes among them with an unknown outcome.
func (d *Driver) Close() error {
	d.closed.Do(func() {
		d.cancel()
		d.dialer.links.cut()
		if d.sweeper != nil {
			d.sweeper.Stop()
		}
		for range cap(d.slots) { // until each call has returned its connection
			d.slots <- struct{}{}
		}
		d.db.Close()
	})
	return nil
}

// silent notes that a reply did not come in time: the idle connections, which may have lost the server as well, are not left to
// the calls to come, which would find out one after the other.
func (d *Driver) silent() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.suspectAt) < silence {
		return
	}
	d.suspectAt = time.Now()
	d.db.SetMaxIdleConns(-1)
	d.db.SetMaxIdleConns(d.target.MaxConns)
}
