// Package sqlite keeps entries in a table of a SQLite database file, with a pure Go SQLite.
//
//	reg.Define("state", store.Definition{Open: sqlite.Opener(&sqlite.Options{Path: "/var/lib/app/state.db"})})
//
// # URLs
//
// [ParseURL] takes
//
//	sqlite:path[?parameter=value&...]                  sqlite:///absolute/path is the same as sqlite:/absolute/path
//
// where %-encoding stands for special characters, with these parameters; any other is an error:
//
//	table            name of the table; default luastore
//	create           false: neither the file nor the table is made; default true
//	synchronous      full, normal or off, see below; default full
//	busy_timeout     how long a call waits while another process holds the lock that it needs; default 5s
//	max_conns        connections that read at the same time; default 4
//	max_value_bytes  length of the longest value that is written or read; default 16777216 (16 MiB)
//
// The file is made where it is missing, the folder is not. A database in memory is refused: mem: is faster.
//
// # Durability
//
// The database is in WAL mode. With synchronous=full a write is answered when it has been synced to disk, and survives the end of
// the process and a loss of power. With normal it survives the end of the process, and a loss of power may take the last
// writes, but never an earlier one without the later. With off a loss of power may damage the database beyond repair.
//
// One goroutine writes: it puts all the writes that wait into one transaction, so that many writers share one sync, and a lone
// writer waits for nobody. Writes that fail by themselves do not fail the others of their transaction. A batch is one transaction,
// and one sync, for each 1,024 entries or 4 MiB of values. From a length of 4 MiB on the log is moved into the database after
// writes were answered; one that has grown long is moved beside them.
//
// # Table
//
//	CREATE TABLE "luastore" (key BLOB NOT NULL PRIMARY KEY, expires INTEGER, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
//	CREATE INDEX "luastore_expires" ON "luastore" (expires) WHERE expires IS NOT NULL;
//
// The value is the stored form of package value; expires is in microseconds since the Unix epoch, NULL for never. Any SQLite
// client from 3.37 on, which knows STRICT, may use it beside the driver. The rows lie in the order of keys with their values, of
// which a listing therefore reads the short ones too.
//
// # Caveats
//
//   - Several processes of one machine may use one file. It must not be on a network file system: SQLite's shared memory and
//     locks do not work there.
//   - The file has one name: one with hard links is refused where that can be seen, because the log goes by the name. Symbolic
//     links are followed when the opener is made.
//   - A file that is removed or replaced while it is in use is noticed by the next write, and by reads within a second: all calls
//     answer unavailable then. A write that is under way in that moment is lost.
//   - There is one writer at a time, in all processes together. Within a process writes are grouped; between processes they take
//     turns, by trying again after short pauses: beside a process that writes all the time a write may wait for some 100 ms.
//   - A write whose call ended while its transaction ran has an unknown outcome; one that still waited is not done.
//   - A read is not interrupted while it waits for the disk. A read of an entry that has expired since the transaction under way
//     began waits for the end of that, which may have extended it. This holds within a driver: to another process such an entry
//     may be gone for a moment, and come back.
//   - A transaction that another process leaves open keeps the log (path-wal) growing until it ends. What has grown is then moved
//     while writes and reads go on, slower than usual; the log is cut off when nobody reads in it for a moment.
//   - A table with triggers or with a unique index of its own is refused, also where it gets them later.
//   - The file, path-wal and path-shm belong together: copy or move them while no process uses them, or use VACUUM INTO.
//   - No other code of the process may open and close the file by itself: POSIX drops the locks of the whole process then.
//   - Space that was used once is used again, not given back: VACUUM does that.
package sqlite

import (
	"context"
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

// sweepEvery is about how often entries that have expired are looked for.
const sweepEvery = 30 * time.Second

// A Driver keeps entries in one table of one SQLite database.
type Driver struct {
	target  target
	closing context.Context // ends when Close begins
	cancel  context.CancelFunc
	closed  sync.Once

	file    *file
	writer  *writer
	readers *pool
	sweeper *table.Sweeper

	// doubtful says that a commit failed in a way that leaves open what the file holds. Nothing is read until a later one settles it.
	doubtful atomic.Bool
}

// Opener returns an opener for o, whose Path is required. Openers of equal options name the same file, and share one driver in a
// registry. Opening makes the file and the table where they are missing, and fails where they are of another kind.
func Opener(o *Options) store.Opener {
	to := o.target()
	return store.Opener{
		Connection: to,
		Open: func(ctx context.Context) (store.Driver, error) {
			d, err := open(ctx, to)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
	}
}

func open(ctx context.Context, to target) (*Driver, error) {
	if err := to.check(); err != nil {
		return nil, err
	}
	d := &Driver{target: to}
	if ctx.Err() != nil {
		return nil, d.ended(ctx)
	}
	if err := to.checkPath(); err != nil {
		return nil, err
	}
	d.closing, d.cancel = context.WithCancel(context.Background())
	c, err := d.prepare(ctx)
	if err != nil {
		d.cancel()
		return nil, err
	}
	d.readers = newPool(to, d.file)
	d.writer = startWriter(d, c)
	d.sweeper = table.Sweep(sweepEvery, d.sweep)
	return d, nil
}

// prepare opens the connection that writes and sees that all is as it should be.
func (d *Driver) prepare(ctx context.Context) (*conn, error) {
	c, err := connect(d.target, readWrite)
	if err != nil {
		return nil, d.openError(err)
	}
	err = d.patiently(ctx, func() error { return c.setUp(d.target) })
	if err == nil {
		d.file, err = lookAt(d.target.Path)
	}
	switch {
	case err == nil:
		return c, nil
	case isBusy(err):
		err = d.busyError(ctx)
	default:
		err = d.openError(err)
	}
	c.close()
	return nil, err
}

// patiently calls try until no other process is in its way, for busy_timeout at most. It returns the error of SQLite where that
// or ctx ends first, or Close begins.
func (d *Driver) patiently(ctx context.Context, try func() error) error {
	err := try()
	if !isBusy(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d.target.BusyTimeout)
	defer cancel()
	defer context.AfterFunc(d.closing, cancel)()
	return table.Retry(ctx, try, isBusy)
}

// Close closes the file. A transaction under way is finished, writes that wait for the next answer that the store is
// unavailable.
func (d *Driver) Close() error {
	d.closed.Do(func() {
		d.cancel()
		d.sweeper.Stop()
		<-d.writer.stopped
		d.writer.log.close()
		d.readers.close()
		d.writer.conn.close() // the last one: it moves the log into the database
	})
	return nil
}

// Info tells what the driver guarantees.
func (d *Driver) Info() store.Info {
	return store.Info{
		Driver:        "sqlite",
		Durability:    durability[d.target.Synchronous],
		Consistency:   "linearizable for all processes of this machine that use the file, but that an entry which another process extends as it expires may be gone for a moment",
		Clock:         "this machine's",
		TTLResolution: time.Millisecond,
		Shared:        true,
		Ordered:       true,
		MaxValueBytes: d.target.MaxValueBytes,
	}
}

// durability tells what each mode means.
var durability = map[string]string{
	SynchronousFull:   "a write is synced to disk before it is answered: it survives the end of the process and a loss of power",
	SynchronousNormal: "a write survives the end of the process; a loss of power may take the last writes (synchronous=normal)",
	SynchronousOff:    "a write survives the end of the process; a loss of power may take writes or damage the file (synchronous=off)",
}

// enter begins every call.
func (d *Driver) enter(ctx context.Context) error {
	if d.closing.Err() != nil {
		return errClosed
	}
	if ctx.Err() != nil {
		return d.ended(ctx)
	}
	return nil
}
