package mysql

import (
	"context"
	"database/sql"
	"sync"
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
	var before, slept, after string
	err := d.read(ctx, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, "SELECT @@max_allowed_packet, SYSDATE(6), SLEEP(0.002), SYSDATE(6)").Scan(&d.packet, &before, &slept, &after)
	})
	if err != nil {
		return err
	}
	if before == after {
		return store.Errorf(store.ErrUnavailable, "store unavailable: MySQL at %s runs with sysdate-is-now, so that what expires while a statement waits "+
			"for a row lock could come to life again: start it without", d.target.Address)
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
