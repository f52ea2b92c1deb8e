package sqlite

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"
)

const (
	// checkpointPages is the length of the log from which on it is moved into the database: 4 MiB. A longer log is not faster, and
	// written anew longer, which costs a lone writer half.
	checkpointPages = 1000
	// looksPerBound is how often the length is looked at until it reaches that.
	looksPerBound = 8
	// pagesPerWrite is how many pages a small write changes, at most as a rule.
	pagesPerWrite = 4
	// besideBounds is how much of the log, in bounds, the writer moves at once. More is done beside it.
	besideBounds = 4
	// longLog is the length of the file in bytes from which on it is cut off when nearly all of it is in the database.
	longLog = 16 << 20
	// cutWait is how long the writer waits for those who read in it then, in pauses of cutPause, and cutEvery how long it lets it
	// be after it waited in vain.
	cutWait  = 100 * time.Millisecond
	cutPause = 2 * time.Millisecond
	cutEvery = 10 * time.Second
	// mostShare bounds the pause of the writer after a transaction beside a checkpoint.
	mostShare = 20 * time.Millisecond

	pageBytes = 4096
)

// A walog keeps the write-ahead log from growing. The writer does this after it has answered, since a commit of SQLite that does
// it keeps its callers waiting: for seconds where another process has read from an old state for long. What is little it does
// itself, because a log is used again from its start only if all of it has been moved when the next write comes; what is much is
// moved by another connection at the same time. Readers wait for none of this.
type walog struct {
	d     *Driver
	conn  *conn // the writer's
	bound int64 // pages

	since int64     // about how many pages were written since the last look
	began time.Time // the first of these writes
	uncut time.Time // when it could not be cut off the last time

	beside *conn         // opened when it is needed first
	busy   chan struct{} // closed when beside is done; nil: it has nothing to do
	helped bool          // beside has moved something; to be read when it is done
}

func newLog(d *Driver, c *conn) *walog {
	return &walog{d: d, conn: c, bound: int64(cmp.Or(d.target.checkpointPages, checkpointPages))}
}

// wrote counts a write of so many bytes.
func (l *walog) wrote(bytes int) {
	if l.since == 0 {
		l.began = time.Now()
	}
	l.since += pagesPerWrite + int64(bytes/pageBytes)
}

// hurry lets the next look not wait for writes.
func (l *walog) hurry() { l.since, l.began = l.bound, time.Now() }

// tend looks after the log. It returns whether all is well until something is written.
func (l *walog) tend() bool {
	if l.busy != nil && !l.share() {
		return false
	}
	if l.since < max(1, l.bound/looksPerBound) {
		return true
	}
	l.since = 0
	is, err := l.checkpoint(context.Background(), l.conn, "NOOP")
	if err == nil && is.pages >= l.bound && is.behind() > besideBounds*l.bound {
		l.moveBeside(is)
		return false
	}
	if err == nil && is.pages >= l.bound && is.behind() > 0 {
		is, err = l.checkpoint(context.Background(), l.conn, "PASSIVE")
	}
	switch {
	case err != nil:
		return false
	case l.long(): // also where it is used again from its start, and few of its pages count
		return l.cut()
	case is.pages < l.bound:
		return true
	}
	return is.behind() == 0
}

// long reports that the file has grown too long.
func (l *walog) long() bool {
	file, err := os.Stat(l.d.target.Path + "-wal")
	return err == nil && file.Size() >= longLog
}

// errCheckpointing says that another connection is at it, and that the length is not known.
var errCheckpointing = errors.New("another connection moves the log")

// A length is that of the log.
type length struct{ pages, moved int64 }

func (n length) behind() int64 { return n.pages - n.moved }

// checkpoint returns the length of the log when it has done what mode says.
func (l *walog) checkpoint(ctx context.Context, c *conn, mode string) (length, error) {
	row, err := c.line(ctx, "PRAGMA wal_checkpoint("+mode+")")
	if err != nil || len(row) < 3 {
		return length{}, err
	}
	pages, _ := row[1].(int64)
	moved, _ := row[2].(int64)
	if pages < 0 {
		return length{}, errCheckpointing
	}
	return length{pages, moved}, nil
}

// cut moves what little is left in a file that has grown long and makes it short again. It waits for those who read from an old
// state, and then for those who read in the log at all: whoever begins to read meanwhile is neither, so that nobody needs to be
// kept from it. It returns false where one of them reads for long.
func (l *walog) cut() bool {
	if time.Since(l.uncut) < cutEvery {
		return false
	}
	// Pauses are counted, and not the time that passes: what is moved between them takes its own, and on a busy machine readers
	// stand still as well.
	for range cutWait / cutPause {
		busy, err := l.truncate()
		if err == nil && !busy {
			return true
		}
		if err != nil || !l.pause() {
			break
		}
	}
	l.uncut = time.Now()
	return false
}

// truncate tries once to cut, and returns whether somebody is in the way. It does not let SQLite wait, by a busy_timeout: that
// goes on waiting for the place of an old reader when a new one, who need not be waited for, has taken it, in vain where there is
// always one.
func (l *walog) truncate() (busy bool, err error) {
	is, err := l.conn.text("PRAGMA wal_checkpoint(TRUNCATE)")
	return is != int64(0), err
}

// pause waits for cutPause. It returns false when the driver is being closed.
func (l *walog) pause() bool {
	pause := time.NewTimer(cutPause)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-l.d.closing.Done():
		return false
	}
}

// moveBeside moves the log, which is as long as that, into the database while the writer goes on.
func (l *walog) moveBeside(before length) {
	l.busy, l.helped = make(chan struct{}), false
	go func() {
		defer close(l.busy)
		if l.beside == nil {
			c, err := l.connectBeside()
			if err != nil {
				return // it is tried again
			}
			l.beside = c
		}
		if l.d.file.check() != nil {
			return
		}
		after, err := l.checkpoint(l.d.closing, l.beside, "PASSIVE")
		l.helped = err == nil && after.moved > before.moved
	}()
}

// connectBeside opens the file that the driver has open, and no other that is in its place by now.
func (l *walog) connectBeside() (*conn, error) {
	if err := l.d.file.check(); err != nil {
		return nil, err
	}
	there := l.d.target
	there.MustExist = true
	c, err := connect(there, readWrite)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(l.d.file.check(), c.pragmas(there)); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// share leaves beside half of the time: it would never catch up with a writer that is as fast. It returns whether it has done
// something, so that it is time to look again.
func (l *walog) share() bool {
	most := time.Duration(0)
	if l.since > 0 {
		most = min(time.Since(l.began), mostShare)
	}
	pause := time.NewTimer(most)
	defer pause.Stop()
	select {
	case <-l.busy:
		l.busy = nil
		if l.helped {
			l.hurry()
		}
		return l.helped
	case <-pause.C:
		l.since = 0
		return false
	case <-l.d.closing.Done():
		return false
	}
}

// close ends what runs beside the writer, which has stopped.
func (l *walog) close() {
	if l.busy != nil {
		<-l.busy
	}
	if l.beside != nil {
		l.beside.close()
	}
}
