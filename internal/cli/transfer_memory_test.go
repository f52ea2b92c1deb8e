package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/value"
)

// manyEntries returns how many entries pass through the tests of memory: 30,000, times the environment variable STORETEST_SCALE.
func manyEntries() int {
	n := 30_000.0
	if f, err := strconv.ParseFloat(os.Getenv("STORETEST_SCALE"), 64); err == nil {
		n *= f
	}
	if boundtest.Race {
		n /= 3
	}
	return int(min(max(n, 10_000), 1_000_000))
}

// A heap is the most memory that was in use, looked at as data passes by.
type heap struct {
	passed, looked int
	most           uint64
}

// look notes the memory in use, at each 512 KiB of what passes.
func (h *heap) look(n int) {
	if h.passed += n; h.passed-h.looked < 512<<10 {
		return
	}
	h.looked = h.passed
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	h.most = max(h.most, m.HeapAlloc)
}

// TestTransfer_ManyEntries_TakeFlatMemory lets 1,000 and then many entries of 1 KiB through an export and an import: all that lives on the heap
// for the many is what lives there for the few. SQLite, on both sides, keeps its own memory off the heap.
func TestTransfer_ManyEntries_TakeFlatMemory(t *testing.T) {
	dir := t.TempDir()
	few, many := 1000, manyEntries()
	var most [2]struct{ exporting, importing uint64 }
	for i, n := range []int{few, many} {
		name := filepath.Join(dir, strconv.Itoa(n))
		most[i].importing = importMany(t, name, n)
		most[i].exporting = exportMany(t, name, n)
	}
	const more = 4 << 20 // of 10 MB and more that pass
	if most[1].importing > most[0].importing+more || most[1].exporting > most[0].exporting+more {
		t.Errorf("in use at most: %+v for %d entries, %+v for %d", most[0], few, most[1], many)
	}
}

// importMany imports entries that are made as they are read, and returns the most memory in use.
func importMany(t *testing.T, name string, n int) uint64 {
	t.Helper()
	var in heap
	made, lines := 0, bytes.Buffer{}
	v := value.AppendString(nil, strings.Repeat("x", 1024))
	r := readerFunc(func(b []byte) (int, error) {
		for ; lines.Len() < len(b) && made < n; made++ {
			lines.Write(appendEntry(nil, fmt.Sprintf("t:%07d", made), v, manyExpire(made)))
		}
		read, err := lines.Read(b)
		in.look(read)
		return read, err
	})
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "sqlite:"+name, nil)}, func(ctx context.Context, h *store.Handle) {
		if err := (&app{stderr: io.Discard}).importInto(ctx, h, &importSource{name: "in", r: r}, importOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	return in.most
}

// manyExpire returns when an entry expires: each tenth one does.
func manyExpire(i int) time.Time {
	if i%10 > 0 {
		return time.Time{}
	}
	return time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
}

// exportMany exports them, and returns the most memory in use.
func exportMany(t *testing.T, name string, n int) uint64 {
	t.Helper()
	var out heap
	entries := 0
	w := writerFunc(func(b []byte) (int, error) {
		entries += bytes.Count(b, []byte(`{"key":`))
		out.look(len(b))
		return len(b), nil
	})
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "sqlite:"+name, nil)}, func(ctx context.Context, h *store.Handle) {
		if err := (&app{stdout: w, stderr: io.Discard}).exportStore(ctx, h, exportOptions{}); err != nil || entries != n {
			t.Fatalf("%d entries, %v", entries, err)
		}
	})
	return out.most
}
