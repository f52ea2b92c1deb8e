package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// checkpointing opens a driver that moves its log after a few pages, on a disk that takes no page into the database until resume
// is called. stuck says whether it has been given one.
func checkpointing(t *testing.T) (d *Driver, stuck <-chan struct{}, resume func()) {
	t.Helper()
	f := addFaults(t, newPath(t))
	to := f.target(Options{Synchronous: SynchronousOff})
	to.checkpointPages = 8
	d, err := open(testContext(t), to)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	first, proceed := make(chan struct{}), make(chan struct{})
	slow := func(c fileCall) {
		if c.op == "write" && c.file == "db" {
			once.Do(func() { close(first) })
			<-proceed
		}
	}
	f.slow.Store(&slow)
	resume = sync.OnceFunc(func() { close(proceed) })
	t.Cleanup(func() { resume(); d.Close() })
	return d, first, resume
}

func TestWrite_ThatFillsTheLog_IsAnsweredBeforeItIsMoved(t *testing.T) {
	d, stuck, resume := checkpointing(t)
	defer resume()
	ctx, cancel := context.WithTimeout(testContext(t), 5*time.Second)
	defer cancel()
	if err := d.Set(ctx, "t:k", make([]byte, 2*8*pageBytes), 0); err != nil {
		t.Fatal(err)
	}
	<-stuck
}

// A log that another process has made long is moved beside the writes.
func TestWrite_WhileALongLogIsMoved_IsAnsweredAndSoAreReads(t *testing.T) {
	d, stuck, resume := checkpointing(t)
	reader := openRaw(t, d.target.Path)
	reader.statements(t, "BEGIN", "SELECT * FROM luastore")
	large := make([]byte, 4*besideBounds*8*pageBytes)
	if err := d.Set(testContext(t), "t:large", large, 0); err != nil {
		t.Fatal(err)
	}
	reader.statements(t, "COMMIT")
	eventually(t, "the log is being moved", func() bool {
		select {
		case <-stuck:
			return true
		default:
			return d.Set(testContext(t), "t:k", []byte("v"), 0) != nil
		}
	})
	for i := range 20 {
		if err := d.Set(testContext(t), fmt.Sprint("t:", i), []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		if v, err := d.Get(testContext(t), "t:large"); len(v) != len(large) || err != nil {
			t.Fatalf("%d bytes, %v", len(v), err)
		}
	}
	resume()
	c := openRaw(t, d.target.Path)
	eventually(t, "the log is moved", func() bool {
		is, err := d.writer.log.checkpoint(context.Background(), c, "NOOP")
		if err != nil {
			t.Fatal(err)
		}
		return is.behind() <= besideBounds*8
	})
}

// Where nobody writes any more, a log that was kept long is moved all the same.
func TestLog_ThatGrewBesideAReader_IsMovedWhenNobodyWrites(t *testing.T) {
	d := openNew(t)
	reader := openRaw(t, d.target.Path)
	reader.statements(t, "BEGIN", "SELECT * FROM luastore")
	for i := range 20 {
		if err := d.Set(testContext(t), "t:large", megabyte(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	if size := logSize(t, d); size < longLog {
		t.Fatalf("the log has %d bytes", size)
	}
	before := d.writer.rounds.Load() // while the log cannot be moved nobody tries all the time
	wait := time.NewTimer(100 * time.Millisecond)
	<-wait.C
	if n := d.writer.rounds.Load() - before; n > 10 {
		t.Errorf("the writer looked %d times in vain", n)
	}
	reader.statements(t, "COMMIT")
	eventually(t, "the log is cut", func() bool { return logSize(t, d) == 0 })
}

// Other processes may always read: one begins before the other ends.
func TestLog_BesideOtherProcessesThatAlwaysRead_StaysShort(t *testing.T) {
	d := openNew(t)
	seed(t, d)
	ctx, stop := context.WithCancel(testContext(t))
	var wait sync.WaitGroup
	turns := []chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	for i := range turns {
		c := openRaw(t, d.target.Path)
		wait.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				c.text("BEGIN")
				c.text("SELECT key FROM luastore")
				<-tick.C
				turns[1-i] <- struct{}{} // the other may end
				select {
				case <-turns[i]:
				case <-ctx.Done():
				}
				c.text("COMMIT")
				if ctx.Err() != nil {
					return
				}
			}
		})
	}
	longest, cut := writeUntilCut(t, d, 0)
	stop()
	wait.Wait()
	if !cut {
		t.Errorf("the log has %d bytes and never was cut", longest)
	}
}

// The place that SQLite keeps of an old reader may be taken by a new one while it is waited for, and then always be somebody's.
func TestCut_ReadersThatTakeThePlaceOfAnOldOne_AreNotWaitedFor(t *testing.T) {
	d := openNew(t)
	log := walog{d: d, conn: openRaw(t, d.target.Path)}
	log.conn.statements(t, "PRAGMA busy_timeout = 0", "PRAGMA journal_mode = WAL") // it has the log open
	readers := []*conn{openRaw(t, d.target.Path), openRaw(t, d.target.Path)}
	for range 3 { // a machine that stands still for cutWait makes it late
		log.uncut = time.Time{}
		if cutBeside(t, &log, readers) {
			if size := logSize(t, d); size != 0 {
				t.Errorf("the log has %d bytes", size)
			}
			return
		}
	}
	t.Error("the log never was cut")
}

// cutBeside calls cut beside a reader from an old state, who soon reads anew in the same place; from then on one of readers always
// reads, each for a moment.
func cutBeside(t *testing.T, log *walog, readers []*conn) (cut bool) {
	t.Helper()
	tick := time.NewTicker(cutWait / 20)
	defer tick.Stop()
	seed(t, log.d)
	readers[0].statements(t, "BEGIN", "SELECT key FROM luastore")
	seed(t, log.d)
	done := make(chan bool, 1)
	go func() { done <- log.cut() }()
	<-tick.C
	readers[0].statements(t, "COMMIT", "BEGIN", "SELECT key FROM luastore")
	for i := 0; ; i = 1 - i {
		readers[1-i].statements(t, "BEGIN", "SELECT key FROM luastore")
		readers[i].statements(t, "COMMIT")
		select {
		case cut = <-done:
			readers[1-i].statements(t, "COMMIT")
			return cut
		case <-tick.C:
		}
	}
}

// A long file of which few pages count, because it is used again from its start, is cut as well.
func TestLog_ThatIsLongAndUsedAgain_IsCut(t *testing.T) {
	to := (&Options{Path: newPath(t), Synchronous: SynchronousOff}).target()
	to.checkpointPages = 1 << 20 // the driver itself leaves it alone
	d, err := open(testContext(t), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for i := range 20 {
		if err := d.Set(testContext(t), "t:large", megabyte(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	c := openRaw(t, to.Path)
	c.statements(t, "PRAGMA journal_mode = WAL", "PRAGMA wal_checkpoint(RESTART)", "PRAGMA busy_timeout = 0")
	seed(t, d)
	log := walog{d: d, conn: c, bound: checkpointPages}
	is, err := log.checkpoint(testContext(t), c, "NOOP")
	if size := logSize(t, d); size < longLog || is.pages >= checkpointPages || err != nil {
		t.Fatalf("the log has %d bytes, of which %d pages count, %v", size, is.pages, err)
	}
	log.hurry()
	if done := log.tend(); !done || logSize(t, d) != 0 {
		t.Errorf("%v, and the log has %d bytes", done, logSize(t, d))
	}
	wantSeed(t, d)
}

// The files that were left by a process that was killed are moved by the next one.
func TestOpen_LongLogOfAProcessThatDied_IsMovedSoon(t *testing.T) {
	d := openNew(t)
	openRaw(t, d.target.Path).statements(t, "BEGIN", "SELECT * FROM luastore")
	for i := range 6 {
		if err := d.Set(testContext(t), "t:large", megabyte(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	to := newPath(t)
	for _, suffix := range []string{"", "-wal"} {
		copyFile(t, d.target.Path+suffix, filepath.Clean(to)+suffix)
	}
	next := openPath(t, to, Options{Synchronous: SynchronousOff})
	c := openRaw(t, to)
	eventually(t, "the log is moved", func() bool {
		is, err := next.writer.log.checkpoint(context.Background(), c, "NOOP")
		if err != nil {
			t.Fatal(err)
		}
		return is.behind() == 0
	})
	if v, err := next.Get(testContext(t), "t:large"); len(v) != 1<<20 || v[0] != 5 || err != nil {
		t.Errorf("%d bytes, %v", len(v), err)
	}
}

func TestClose_WhileALongLogIsMoved_ComesBack(t *testing.T) {
	d, stuck, resume := checkpointing(t)
	reader := openRaw(t, d.target.Path)
	reader.statements(t, "BEGIN", "SELECT * FROM luastore")
	if err := d.Set(testContext(t), "t:large", make([]byte, 4*besideBounds*8*pageBytes), 0); err != nil {
		t.Fatal(err)
	}
	reader.statements(t, "COMMIT")
	if err := d.Set(testContext(t), "t:k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	<-stuck
	time.AfterFunc(10*time.Millisecond, resume)
	d.Close()
	if v, err := openPath(t, d.target.Path, Options{}).Get(testContext(t), "t:k"); string(v) != "v" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

// While another connection moves the log, its length is not known, and a checkpoint has moved nothing.
func TestCheckpoint_BesideAnother_DoesNotCountAsDone(t *testing.T) {
	d := openNew(t)
	for i := range 200 {
		if err := d.Set(testContext(t), fmt.Sprint("t:", i), make([]byte, 10_000), 0); err != nil {
			t.Fatal(err)
		}
	}
	other := openRaw(t, d.target.Path)
	reader := openRaw(t, d.target.Path)
	reader.statements(t, "BEGIN", "SELECT count(*) FROM luastore")
	if err := d.Set(testContext(t), "t:last", make([]byte, 10_000), 0); err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	done := make(chan struct{})
	go func() { // it holds the lock of checkpoints while it waits for the reader, unless another has it first
		defer close(done)
		for !over.Load() {
			other.text("PRAGMA wal_checkpoint(RESTART)")
		}
	}()
	log := walog{d: d, conn: openRaw(t, d.target.Path)}
	eventually(t, "another connection has the lock", func() bool {
		_, err := log.checkpoint(t.Context(), log.conn, "PASSIVE")
		return errors.Is(err, errCheckpointing)
	})
	over.Store(true)
	reader.statements(t, "COMMIT")
	<-done
}
