package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// onDisk is a small store in a folder of the real file system.
func onDisk(t testing.TB) target {
	t.Helper()
	to := small
	to.path = filepath.Join(t.TempDir(), "store")
	return to
}

// fill makes a store with tables and a log, and closes it.
func fill(t testing.TB, to target, disk vfs.FS) {
	t.Helper()
	d := openOn(t, to, disk)
	for i := range 600 {
		if err := d.Set(t.Context(), fmt.Sprintf("t:%d", i), make([]byte, 500), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// names returns what a folder holds.
func names(t testing.TB, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestOpen_FolderOfOthers_IsRefusedAndLeftAlone(t *testing.T) {
	for _, name := range []string{"000006.sst", "000004.log", "CURRENT", "README", "deadbeef.blob"} {
		to := onDisk(t)
		if err := errors.Join(os.Mkdir(to.path, 0o700), os.WriteFile(filepath.Join(to.path, name), []byte("precious"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t.Context(), to, vfs.Default); store.Kind(err) != "invalid" || !strings.Contains(err.Error(), name) {
			t.Errorf("a folder with %s: %v", name, err)
		}
		if left := names(t, to.path); !slices.Equal(left, []string{name}) {
			t.Errorf("a folder with %s now has %v", name, left)
		}
	}
}

func TestOpen_DiskThatIsEmptyButForItsLostAndFound_IsNew(t *testing.T) {
	to := onDisk(t)
	if err := os.MkdirAll(filepath.Join(to.path, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	openOn(t, to, vfs.Default)
}

// quiet is the logger of another program.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

func TestOpen_DatabaseOfAnotherProgram_IsRefusedAndKept(t *testing.T) {
	disk := newMemory()
	foreign := func() (*pebble.DB, error) {
		return pebble.Open(folder, &pebble.Options{FS: disk, FormatMajorVersion: pebble.FormatWALSyncChunks, Logger: quiet{}})
	}
	db, err := foreign()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("k"), []byte("v"), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), small, disk); store.Kind(err) != "invalid" || !strings.Contains(err.Error(), "another program") {
		t.Errorf("got %v", err)
	}
	if db, err = foreign(); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	v, closer, err := db.Get([]byte("k"))
	if string(v) != "v" || err != nil {
		t.Fatalf("afterwards it has %q, %v", v, err)
	}
	closer.Close()
}

// Nothing of a damaged store is taken for that of a new one and removed.
func TestOpen_DamagedStore_IsCorruptAndLosesNothingMore(t *testing.T) {
	each := func(pattern string, do func(path string) error) func(path string) error {
		return func(path string) error {
			files, err := filepath.Glob(filepath.Join(path, pattern))
			if err == nil && len(files) == 0 {
				err = fmt.Errorf("there is no %s", pattern)
			}
			for _, file := range files {
				err = errors.Join(err, do(file))
			}
			return err
		}
	}
	cut := func(file string) error { return os.Truncate(file, 100) }
	garble := func(file string) error { return os.WriteFile(file, make([]byte, 4<<10), 0o600) }
	for name, damage := range map[string]func(path string) error{
		"marker of the manifest lost": each("marker.manifest.*", os.Remove),
		"marker of the format lost":   each("marker.format-version.*", os.Remove),
		"manifest lost":               each("MANIFEST-*", os.Remove),
		"manifest emptied":            each("MANIFEST-*", func(file string) error { return os.Truncate(file, 0) }),
		"manifest garbled":            each("MANIFEST-*", garble),
		"tables lost":                 each("*.sst", os.Remove),
		"tables cut short":            each("*.sst", cut),
	} {
		t.Run(name, func(t *testing.T) {
			to := onDisk(t)
			fill(t, to, vfs.Default)
			if err := damage(to.path); err != nil {
				t.Fatal(err)
			}
			before := names(t, to.path)
			_, err := open(t.Context(), to, vfs.Default)
			if store.Kind(err) != "corrupt" || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			after := names(t, to.path)
			for _, file := range before {
				if strings.HasSuffix(file, ".sst") && !slices.Contains(after, file) {
					t.Errorf("%s is gone", file)
				}
			}
		})
	}
}

// A loss of power at any call of the first opening leaves a folder that opens.
func TestOpen_AfterALossOfPowerInTheFirstOpening_BeginsAnew(t *testing.T) {
	const percents = 7
	disk := newMemory()
	var left []memory
	var mu sync.Mutex // Pebble is at work beside who opens
	wrapped := errorfs.Wrap(disk, errorfs.InjectorFunc(func(errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range [percents]int{0, 30, 50, 50, 50, 70, 100} {
			left = append(left, disk.crash(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(len(left)), 1))}))
		}
		return nil
	}))
	openOn(t, small, wrapped).Close()
	for i, disk := range left {
		d, err := open(t.Context(), small, disk)
		if err != nil {
			t.Errorf("call %d: %v", i/percents, err)
			continue
		}
		d.Close()
	}
	if len(left) < 20*percents {
		t.Errorf("only %d losses of power", len(left))
	}
}

// A slowDisk holds up who makes a log, until it is told to go on.
type slowDisk struct {
	memory
	goOn chan struct{}
}

func (s *slowDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".log") {
		<-s.goOn
	}
	return s.memory.Create(name, c)
}

func TestOpen_OnADiskThatHangs_ReturnsWithItsContext(t *testing.T) {
	const patience = 50 * time.Millisecond
	what := fmt.Sprintf("an opening with %v returned after", patience)
	boundtest.AtMost(t, what, boundtest.Scale(patience+50*time.Millisecond), func() time.Duration { return openInVain(t, patience) })
}

// openInVain opens a store on a disk that hangs, and returns how long that took. It lets the disk go on afterwards.
func openInVain(t *testing.T, patience time.Duration) (took time.Duration) {
	t.Helper()
	disk := &slowDisk{memory: newMemory(), goOn: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start := time.Now()
	_, err := open(ctx, small, disk)
	took = time.Since(start)
	if store.Kind(err) != "timeout" || strings.Contains(err.Error(), "before") {
		t.Errorf("got %v", err)
	}
	if _, err := open(t.Context(), small, disk); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "in use") {
		t.Errorf("beside the one that was left: %v", err)
	}
	close(disk.goOn)
	eventually(t, "what was opened late is closed", func() bool {
		d, err := open(t.Context(), small, disk)
		if err != nil {
			return false
		}
		return d.Close() == nil
	})
	return took
}

func TestOpen_OnAFullDisk_SaysSo(t *testing.T) {
	disk := newMemory()
	fill(t, small, disk)
	var full atomic.Bool
	wrapped := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite {
			full.Store(true)
			return syscall.ENOSPC
		}
		return nil
	}))
	_, err := open(t.Context(), small, wrapped)
	if want := map[bool]string{true: "full", false: "unavailable"}[vfs.IsNoSpaceError(syscall.ENOSPC)]; !full.Load() || store.Kind(err) != want {
		t.Errorf("got %v", err)
	}
}

func TestOpen_OfAFile_SaysThatAFolderIsWanted(t *testing.T) {
	to := onDisk(t)
	if err := os.WriteFile(to.path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), to, vfs.Default); store.Kind(err) != "invalid" || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("got %v", err)
	}
	to.path = filepath.Join(to.path, "store")
	if _, err := open(t.Context(), to, vfs.Default); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "there is no folder") {
		t.Errorf("below a file: %v", err)
	}
}
