// Package pebblestore keeps entries on the disk of this machine, in an embedded Pebble database: the durable store that needs no
// server.
//
//	reg.Define("jobs", store.Definition{Open: pebblestore.Opener(&pebblestore.Options{Path: "data/jobs"})})
//
// An acknowledged write is on disk: it was fsynced, together with all the writes that came in meanwhile, so that many writers
// share the cost. Reads see no lock and no disk where the cache holds what they look for.
//
// # URLs
//
// [ParseURL] takes
//
//	pebble:path               relative to the working directory, or absolute
//	pebble:///absolute/path   the same as pebble:/absolute/path
//
// where path is a folder for this store alone: a folder that is not empty and no store of this package is refused, and left as it
// is. It is made if it does not exist; the folder above it must exist. A ?, a # or a % in the path is written %3F, %23, %25. The
// parameters are these; any other is an error:
//
//	sync       false: a write is acknowledged before it is on disk (see below); default true
//	cache      memory for blocks of tables that were read, in bytes or as 64MiB; default 32MiB
//	memtable   memory for writes that are not in tables yet, twice of it at most; default 8MiB. More of it makes for less
//	           rewriting and for a longer opening after a crash: some tenths of a second for 8MiB
//
// # Durability
//
// With sync, what was acknowledged survives the end of the process, however it ends, and the loss of power, as far as the disk
// keeps what it confirmed. Without, the log of writes is in the memory of the process until a 32 KiB block of it is full or a
// second has passed: a process that is killed and a machine that loses power lose about the last second. Close loses nothing.
// What remains is in both cases all writes up to some moment, never a later one without an earlier one.
//
// # Failure
//
// When the disk refuses a write (it is full, or broken) nobody can tell what it holds. The store is frozen at that moment, as if
// the process had ended there: nothing is written any more, calls under way answer [store.ErrUnknownOutcome], and every later
// call, reads too, [store.ErrUnavailable] with the reason, until the store is opened again. Everything acknowledged is there then;
// with sync=false, all up to about a second before the failure. Opening needs room on the disk first, about that of two memtables:
// on a full one it answers [store.ErrFull]. It answers [store.ErrCorrupt] where files are missing or damaged, and removes none then.
//
// # Caveats
//
//   - One driver at a time: another one, of this process too, is told so at once. An opening that timed out keeps the folder until the
//     disk lets go of it. A folder on a network file system is asking for trouble.
//   - Copy the folder while the store is closed: a copy of one that is open may hold files of different moments.
//   - A read may see a write that is not on disk yet, up to one fsync before it is.
//   - The clock of this machine decides on expiry. Setting it back keeps entries for longer and can bring back expired ones that
//     were not reclaimed yet; setting it forward ends entries early.
//   - Expired entries are hidden at once, and reclaimed in the background, soon. Pebble gives the disk space back when it compacts.
//   - A listing reads past the values of what it lists. It names expired entries to nobody, but looks at them until they are reclaimed.
//   - Values are stored in the clear. A folder that the driver makes is for the user of the process alone (mode 0700).
//   - A disk that neither answers nor fails holds up Close, and reads of keys that need it, whatever their deadline; openings, writes
//     and listings return in time.
//   - An expired entry that cannot be read is not reclaimed; it is tried again, a minute later and on.
package pebblestore

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/luastore/store"
)

var (
	_ store.Driver  = (*Driver)(nil)
	_ store.Batcher = (*Driver)(nil)
	_ store.Counter = (*Driver)(nil)
)

// A Driver keeps entries in one folder.
type Driver struct {
	target target
	db     *pebble.DB
	disk   *fence
	lock   io.Closer // of the folder, against all others

	stripes   [stripeCount]stripe
	listings  chan struct{} // a token for each that runs
	expiring  atomic.Bool   // some entry expires, or did: false means that no write has an old expiry to look for
	workers   workers
	confirmer confirmer
	sweeper   sweeper
	syncer    syncer

	lifecycle
}

// Opener returns an opener for o, of which Path is required. Openers of equal options name the same connection, and share one
// driver in a registry. The store can be open once at a time, in one process.
func Opener(o *Options) store.Opener {
	to, err := o.target()
	return store.Opener{
		Connection: to,
		Open: func(ctx context.Context) (store.Driver, error) {
			if err != nil {
				return nil, err
			}
			d, err := open(ctx, to, vfs.Default)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
	}
}

// pebbleOptions returns options under which Pebble neither ends the process nor writes anything past the fence.
func (d *Driver) pebbleOptions() *pebble.Options {
	log := logger{d}
	comparer := *pebble.DefaultComparer
	comparer.Name = layout
	o := &pebble.Options{
		FS:                  d.disk,
		Comparer:            &comparer,
		FormatMajorVersion:  pebble.FormatWALSyncChunks,
		CacheSize:           d.target.cache,
		MemTableSize:        uint64(d.target.memtable),
		MaxManifestFileSize: 1 << 20, // opening reads all of it
		Logger:              log,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { log.Errorf("background error: %v", err) },
			DataCorruption:  func(i pebble.DataCorruptionInfo) { log.Errorf("%s", i) },
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // an absent key costs no disk access
	}
	return o
}

// Info tells what the driver guarantees.
func (d *Driver) Info() store.Info {
	durability := "an acknowledged write is on disk (fsynced): it survives the end of the process and the loss of power"
	if d.target.noSync {
		durability = "sync=false: a process that is killed, or a loss of power, loses about the last second of acknowledged writes; closing loses nothing"
	}
	return store.Info{
		Driver:        "pebble",
		Durability:    durability,
		Consistency:   "linearizable among the units of this process, the only one that may use the store",
		Clock:         "the clock of this machine",
		TTLResolution: 1,
		Ordered:       true,
		MaxValueBytes: maxValueBytes,
	}
}
