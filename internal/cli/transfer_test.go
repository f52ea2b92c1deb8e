package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/all"
	"github.com/luastore/store/value"
)

// A hookedDriver is a driver that tells of what is done with it before it does that; an error is answered in its place.
type hookedDriver struct {
	store.Driver
	before func(op store.Op, key string) error
}

func (d *hookedDriver) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	if err := d.before(store.OpEntry, key); err != nil {
		return nil, 0, err
	}
	return d.Driver.Entry(ctx, key)
}

func (d *hookedDriver) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	if err := d.before(store.OpList, cursor); err != nil {
		return store.Page{}, err
	}
	return d.Driver.List(ctx, prefix, cursor, limit)
}

func (d *hookedDriver) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.before(store.OpSet, key); err != nil {
		return err
	}
	return d.Driver.Set(ctx, key, v, ttl)
}

// opener returns the opener of a URL, whose driver asks before, if that is not nil.
func opener(t testing.TB, url string, before func(op store.Op, key string) error) store.Opener {
	t.Helper()
	o, err := all.Opener(url)
	if err != nil {
		t.Fatal(err)
	}
	if before == nil {
		return o
	}
	return store.Opener{Open: func(ctx context.Context) (store.Driver, error) {
		d, err := o.Open(ctx)
		return &hookedDriver{d, before}, err
	}}
}

// withHandle runs fn as one unit with a handle on one store.
func withHandle(t testing.TB, ctx context.Context, d store.Definition, fn func(ctx context.Context, h *store.Handle)) {
	t.Helper()
	reg := store.New(nil)
	defer func() {
		if err := reg.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	if err := reg.Define("s", d); err != nil {
		t.Fatal(err)
	}
	err := reg.Do(ctx, func(ctx context.Context) error {
		h, err := store.Get(ctx, "s")
		if err == nil {
			fn(ctx, h)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fillStore writes entries t:00000 and so on, each tenth of which expires in an hour.
func fillStore(t testing.TB, ctx context.Context, h *store.Handle, from, to int) {
	t.Helper()
	for ; from < to; from += 1000 {
		var items []store.Item
		for i := from; i < min(from+1000, to); i++ {
			items = append(items, store.Item{Key: fmt.Sprintf("t:%05d", i), Value: value.AppendNumber(nil, float64(i))})
		}
		if err := h.SetMany(ctx, items, 0); err != nil {
			t.Fatal(err)
		}
		for i, item := range items {
			if i%10 == 0 {
				if _, err := h.Touch(ctx, item.Key, time.Hour); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// exportLines returns the lines of the entries of an export, without what tells when.
func exportLines(t testing.TB, text string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, `,"expires_at"`)
		if strings.HasPrefix(line, `{"key"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// wantEntries checks that an export has the entries t:00000 up to a number, in order, and an end.
func wantEntries(t testing.TB, text string, n int) {
	t.Helper()
	lines := exportLines(t, text)
	if !strings.HasSuffix(text, fmt.Sprintf("\n{\"end\":true,\"entries\":%d}\n", n)) || len(lines) != n {
		t.Fatalf("%d entries, and at the end %q", len(lines), text[max(0, len(text)-80):])
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprintf(`{"key":"t:%05d","value":%d`, i, i)) {
			t.Fatalf("entry %d is %s", i, line)
		}
	}
}

func TestExport_OrderOfTheListing_IsKeptWithManyCallsUnderWay(t *testing.T) {
	var under, most atomic.Int64
	all := make(chan struct{})
	before := func(op store.Op, key string) error {
		if op != store.OpEntry {
			return nil
		}
		if n := under.Add(1); n == concurrent { // as soon as so many wait for each other, nobody waits any more
			most.Store(n)
			close(all)
		}
		<-all
		return nil
	}
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "mem:", before)}, func(ctx context.Context, h *store.Handle) {
		fillStore(t, ctx, h, 0, 2500)
		var out, errs bytes.Buffer
		a := &app{stdout: &out, stderr: &errs}
		if err := a.exportStore(ctx, h, exportOptions{}); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, out.String(), 2500)
		if errs.String() != "luastore: exported 2500 entries\n" || most.Load() != concurrent {
			t.Errorf("%s, %d calls under way", &errs, most.Load())
		}
	})
}

func TestExport_EntriesThatGoMeanwhile_AreLeftOut(t *testing.T) {
	before := func(op store.Op, key string) error {
		if op == store.OpEntry && key == "t:00007" {
			return store.ErrNotFound
		}
		return nil
	}
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "mem:", before)}, func(ctx context.Context, h *store.Handle) {
		fillStore(t, ctx, h, 0, 20)
		var out bytes.Buffer
		a := &app{stdout: &out, stderr: io.Discard}
		if err := a.exportStore(ctx, h, exportOptions{}); err != nil || strings.Contains(out.String(), "t:00007") || !strings.Contains(out.String(), `"entries":19}`) {
			t.Errorf("%v\n%s", err, &out)
		}
	})
}

func TestExport_ValuesThatCannotBeRead_AreNamedAndTheRestIsExported(t *testing.T) {
	path := "sqlite:" + filepath.Join(t.TempDir(), "a.db")
	d, err := opener(t, path, nil).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, v := range map[string]string{"a:1": "\x01", "a:2": "\xc1", "a:3": "\xa9much text", "a:4": "\x04"} {
		if err := d.Set(t.Context(), key, []byte(v), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	withHandle(t, t.Context(), store.Definition{Open: opener(t, path, nil), Limits: store.Limits{ValueBytes: 5}}, func(ctx context.Context, h *store.Handle) {
		var out, errs bytes.Buffer
		a := &app{stdout: &out, stderr: &errs}
		err := a.exportStore(ctx, h, exportOptions{})
		var failed *failure
		if !errors.As(err, &failed) || failed.code != exitScript || !strings.HasPrefix(err.Error(), "2 values could not be read and left out") {
			t.Errorf("got %v", err)
		}
		if got := strings.Join(exportLines(t, out.String()), ""); got != "{\"key\":\"a:1\",\"value\":1}\n{\"key\":\"a:4\",\"value\":4}\n" {
			t.Errorf("exported %s", got)
		}
		for _, want := range []string{"luastore: left out \"a:2\": corrupt value", "luastore: left out \"a:3\": ", "exported 2 entries"} {
			if !strings.Contains(errs.String(), want) {
				t.Errorf("%q is missing in %s", want, &errs)
			}
		}
	})
}

func TestExport_ReaderGoes_EndsQuietly(t *testing.T) {
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "mem:", nil)}, func(ctx context.Context, h *store.Handle) {
		fillStore(t, ctx, h, 0, 20)
		var errs bytes.Buffer
		gone := writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe })
		err := (&app{stdout: gone, stderr: &errs}).exportStore(ctx, h, exportOptions{})
		var failed *failure
		if !errors.As(err, &failed) || failed.code != exitScript || failed.err != nil || errs.Len() > 0 {
			t.Errorf("got %v, %s", err, &errs)
		}
		full := writerFunc(func([]byte) (int, error) { return 0, errors.New("no space left on device") })
		err = (&app{stdout: full, stderr: &errs}).exportStore(ctx, h, exportOptions{})
		if err == nil || err.Error() != "cannot write the export: no space left on device" {
			t.Errorf("got %v", err)
		}
	})
}

// TestExport_Interrupted_GoesOn stops an export to a file again and again, and in the end it is as if nobody had.
func TestExport_Interrupted_GoesOnWhereItWas(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	url, file := "sqlite:"+filepath.Join(dir, "a.db"), filepath.Join(dir, "a.jsonl")
	const entries = 5500
	withHandle(t, t.Context(), store.Definition{Open: opener(t, url, nil)}, func(ctx context.Context, h *store.Handle) {
		fillStore(t, ctx, h, 0, entries)
	})
	read := 0 // of entries that were read in all
	for stop := 1200; ; stop += 1100 {
		ctx, cancel := context.WithCancelCause(t.Context())
		var n atomic.Int64
		before := func(op store.Op, key string) error {
			if op == store.OpEntry && n.Add(1) == int64(stop) {
				cancel(errors.New("interrupt signal received"))
			}
			return nil
		}
		done := false
		withHandle(t, context.WithoutCancel(ctx), store.Definition{Open: opener(t, url, before)}, func(_ context.Context, h *store.Handle) {
			var errs bytes.Buffer
			err := (&app{stderr: &errs}).exportStore(ctx, h, exportOptions{output: file})
			read += int(n.Load())
			if done = err == nil; done {
				return
			}
			if !strings.HasPrefix(err.Error(), "stopped after ") || !strings.HasSuffix(err.Error(), " entries: interrupt signal received") ||
				!strings.Contains(errs.String(), "a.jsonl.part is not whole: run the same command again to go on with it\n") {
				t.Fatalf("got %v, %s", err, &errs)
			}
			if _, err := os.Lstat(file); err == nil {
				t.Fatal("the file has its name before it is whole")
			}
		})
		cancel(nil)
		if done {
			break
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wantEntries(t, string(text), entries)
	if read > entries+3*store.KeysPage {
		t.Errorf("%d entries were read for %d: it began anew", read, entries)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestExport_CutPartFile_BeginsAnew(t *testing.T) {
	dir := t.TempDir()
	url, file := "sqlite:"+filepath.Join(dir, "a.db"), filepath.Join(dir, "a.jsonl")
	state, err := json.Marshal(partState{Store: "s", Cursor: "x", Bytes: 1000, Entries: 10})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{file + ".part": "less", file + ".part.state": string(state)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	withHandle(t, t.Context(), store.Definition{Open: opener(t, url, nil)}, func(ctx context.Context, h *store.Handle) {
		fillStore(t, ctx, h, 0, 20)
		if err := (&app{stderr: io.Discard}).exportStore(ctx, h, exportOptions{output: file}); err != nil {
			t.Fatal(err)
		}
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wantEntries(t, string(text), 20)
}

// TestExport_TwoToOneFile begins an export while another to the same file is under way.
func TestExport_TwoToOneFile_TheSecondIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.jsonl")
	var second func()
	before := func(op store.Op, _ string) error {
		if op == store.OpEntry {
			second()
		}
		return nil
	}
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "mem:", before)}, func(ctx context.Context, h *store.Handle) {
		second = sync.OnceFunc(func() {
			for _, o := range []exportOptions{{output: file}, {output: file, restart: true, force: true}} {
				if err := (&app{stderr: io.Discard}).exportStore(ctx, h, o); !errors.Is(err, errLocked) {
					t.Errorf("%+v: got %v", o, err)
				}
			}
		})
		fillStore(t, ctx, h, 0, 20)
		if err := (&app{stderr: io.Discard}).exportStore(ctx, h, exportOptions{output: file}); err != nil {
			t.Fatal(err)
		}
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wantEntries(t, string(text), 20)
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// A file that came while the export was on its way to it is not replaced either.
func TestExport_FileThatCameMeanwhile_IsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "mem:", nil)}, func(ctx context.Context, h *store.Handle) {
		err := (&app{stderr: io.Discard}).exportStore(ctx, h, exportOptions{output: file})
		if err == nil || !strings.HasSuffix(err.Error(), "the file is there already: name another, or give --force to replace it") {
			t.Errorf("got %v", err)
		}
	})
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("it holds %q, %v", text, err)
	}
}

// importText imports a text into a store.
func importText(ctx context.Context, h *store.Handle, text string, o importOptions) (stderr string, err error) {
	var errs bytes.Buffer
	err = (&app{stderr: &errs}).importInto(ctx, h, &importSource{name: "in.jsonl", r: strings.NewReader(text)}, o)
	return errs.String(), err
}

func TestImport_LinesWithOneKey_TheLastHolds(t *testing.T) {
	for _, url := range []string{"mem:", "sqlite:" + filepath.Join(t.TempDir(), "a.db")} {
		withHandle(t, t.Context(), store.Definition{Open: opener(t, url, nil)}, func(ctx context.Context, h *store.Handle) {
			var text strings.Builder
			for i := range 3000 {
				expires := ""
				if i%3 == 0 {
					expires = `,"expires_at":"2090-01-01T00:00:00Z"`
				}
				fmt.Fprintf(&text, "{\"key\":\"t:%05d\",\"value\":%d%s}\n", i%701, i, expires)
			}
			if _, err := importText(ctx, h, text.String(), importOptions{}); err != nil {
				t.Fatal(err)
			}
			for i := 3000 - 701; i < 3000; i++ {
				e, err := h.Entry(ctx, fmt.Sprintf("t:%05d", i%701))
				if got, _ := value.ParseNumber(e.Value); err != nil || int(got) != i || (e.TTL > 0) != (i%3 == 0) {
					t.Fatalf("%s: entry %d: got %v for %v, %v", url, i, got, e.TTL, err)
				}
			}
		})
	}
}

func TestImport_Interrupted_TellsWhatIsSurelyDone(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var lines strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&lines, "{\"key\":\"t:%05d\",\"value\":%d,\"expires_at\":\"2090-01-01T00:00:00Z\"}\n", i, i)
	}
	var held atomic.Int64
	before := func(op store.Op, key string) error {
		if op != store.OpSet || key < "t:01000" {
			return nil
		}
		if held.Add(1) == concurrent { // all calls are about later lines: those before are done
			cancel(errors.New("interrupt signal received"))
		}
		<-ctx.Done()
		return ctx.Err()
	}
	withHandle(t, context.WithoutCancel(ctx), store.Definition{Open: opener(t, "mem:", before)}, func(_ context.Context, h *store.Handle) {
		_, err := importText(ctx, h, lines.String(), importOptions{})
		const want = "stopped: interrupt signal received\nimported 1000 entries; all lines up to 1000 are done: run the same command with --skip 1000 to go on"
		if err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
}

func TestImport_StoreFailsOnOneLine_TellsTheFirstAndWhatIsSurelyDone(t *testing.T) {
	var lines strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&lines, "{\"key\":\"t:%05d\",\"value\":%d,\"expires_at\":\"2090-01-01T00:00:00Z\"}\n", i, i)
	}
	later := make(chan struct{})
	before := func(op store.Op, key string) error {
		switch {
		case op == store.OpSet && key == "t:00500": // fails after a later line has failed
			<-later
			return store.ErrUnavailable
		case op == store.OpSet && key == "t:00510":
			defer close(later)
			return store.ErrFull
		}
		return nil
	}
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "mem:", before)}, func(ctx context.Context, h *store.Handle) {
		_, err := importText(ctx, h, lines.String(), importOptions{})
		var failed *failure
		if !errors.As(err, &failed) || failed.code != exitConfig ||
			!strings.HasPrefix(err.Error(), "in.jsonl:501: key \"t:00500\": store unavailable\nimported ") ||
			!strings.HasSuffix(err.Error(), "; all lines up to 500 are done: run the same command with --skip 500 to go on") {
			t.Errorf("got %v", err)
		}
	})
}

func TestImport_BatchThatIsRefused_NamesTheLineAtFault(t *testing.T) {
	refused := func(_ context.Context, a store.Access) error {
		if a.Key == "b:1" {
			return errors.New("not yours")
		}
		return nil
	}
	reg := store.New(&store.Options{Policy: refused})
	defer reg.Close(t.Context())
	if err := reg.Define("s", store.Definition{Open: opener(t, "mem:", nil)}); err != nil {
		t.Fatal(err)
	}
	err := reg.Do(t.Context(), func(ctx context.Context) error {
		h, err := store.Get(ctx, "s")
		if err != nil {
			return err
		}
		const text = "{\"key\":\"a:1\",\"value\":1}\n{\"key\":\"b:1\",\"value\":1}\n{\"key\":\"c:1\",\"value\":1}\n"
		_, err = importText(ctx, h, text, importOptions{})
		var failed *failure
		const want = "in.jsonl:2: key \"b:1\": permission denied: not yours\nimported 1 entry; all lines up to 1 are done: run the same command with --skip 1 to go on"
		if !errors.As(err, &failed) || failed.code != exitConfig || err.Error() != want {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImport_LongLine_IsRefusedWithoutReadingIt(t *testing.T) {
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "mem:", nil), Limits: store.Limits{ValueBytes: 100}}, func(ctx context.Context, h *store.Handle) {
		read := 0
		endless := readerFunc(func(b []byte) (int, error) {
			for i := range b {
				b[i] = ' '
			}
			read += len(b)
			return len(b), nil
		})
		err := (&app{stderr: io.Discard}).importInto(ctx, h, &importSource{name: "in", r: endless}, importOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), "in:1: line too long: more than 65736 bytes") || read > 200<<10 {
			t.Errorf("got %v after %d bytes", err, read)
		}
	})
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A pipe whose other side does nothing holds up nobody who presses Ctrl-C.
func TestTransfer_PipeThatHangs_StopsWithTheContext(t *testing.T) {
	folder(t)
	const url = "a=sqlite:a.db"
	if got := (call{stdin: `{"key":"a:b","value":1}`}).run(t, "kv", "import", "--store", url, "a"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	for _, args := range [][]string{{"kv", "import", "--store", url, "a"}, {"kv", "export", "--store", url, "a"}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		r, w := io.Pipe()
		var stderr bytes.Buffer
		out := writerFunc(func(b []byte) (int, error) { // begins, and takes nothing
			cancel(errors.New("interrupt signal received"))
			return w.Write(b)
		})
		in := readerFunc(func(b []byte) (int, error) {
			cancel(errors.New("interrupt signal received"))
			return r.Read(b)
		})
		code := Main(ctx, args, in, out, &stderr, nil)
		if code != 1 || !strings.HasPrefix(stderr.String(), "luastore: stopped") || !strings.Contains(stderr.String(), "interrupt signal received\n") {
			t.Errorf("%v: got %d, %s", args, code, &stderr)
		}
		w.Close()
		r.Close()
	}
}

func TestTransfer_LargestValues_FitIntoALine(t *testing.T) {
	limits := store.Limits{}.WithDefaults()
	numbers := value.AppendArrayHeader(nil, limits.Nodes-1)
	for i := range limits.Nodes - 1 {
		numbers = value.AppendNumber(numbers, math.Sqrt(float64(i+2)))
	}
	controls := value.AppendString(nil, strings.Repeat("\x01", limits.ValueBytes-5))
	withHandle(t, t.Context(), store.Definition{Open: opener(t, "mem:", nil)}, func(ctx context.Context, h *store.Handle) {
		want := map[string][]byte{"big:numbers": numbers, "big:controls": controls, "big:" + strings.Repeat("\U000e0041", 255): numbers}
		var out bytes.Buffer
		for key, v := range want {
			if err := h.Set(ctx, key, v, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := (&app{stdout: &out, stderr: io.Discard}).exportStore(ctx, h, exportOptions{}); err != nil {
			t.Fatal(err)
		}
		withHandle(t, t.Context(), store.Definition{Open: opener(t, "mem:", nil)}, func(ctx context.Context, h *store.Handle) {
			if _, err := importText(ctx, h, out.String(), importOptions{}); err != nil {
				t.Fatal(err)
			}
			for key, v := range want {
				if got, err := h.Get(ctx, key); err != nil || !bytes.Equal(got, v) {
					t.Errorf("%.20s: got %d bytes, %v", key, len(got), err)
				}
			}
		})
	})
}
