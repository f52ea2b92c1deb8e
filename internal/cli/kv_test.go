package cli

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/all"
	"github.com/luastore/store/value"
)

const demo = "--store=demo=sqlite:demo.db"

func TestParseTTL(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"never": 0, "0": 0, "0s": 0, "90": 90 * time.Second, "0.5": 500 * time.Millisecond, ".5": 500 * time.Millisecond, "1.": time.Second,
		"0.067": 67 * time.Millisecond, "30m": 30 * time.Minute, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond,
		"7d": 7 * day, "1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0, "36500d": 36500 * day, "3153600000": store.MaxTTL,
	} {
		if got, err := parseTTL(text); got != want || err != nil {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"": errTTL, "soon": errTTL, "-1": errTTL, "-1s": errTTL, "5x": errTTL, "d": errTTL, "1d-2h": errTTL, "1dd": errTTL, "Never": errTTL,
		"NaN": errTTL, "inf": errTTL, "0x10": errTTL, "1e9": errTTL,
		"36501d": errLongTTL, "36500d1s": errLongTTL, "3153600001": errLongTTL, "876001h": errLongTTL, "1" + strings.Repeat("0", 400): errLongTTL,
	} {
		if got, err := parseTTL(text); !errors.Is(err, want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestShownTTL(t *testing.T) {
	for left, want := range map[time.Duration]string{
		0: "never", 1: "0.001", time.Millisecond: "0.001", 1799_500 * time.Millisecond: "1799.5", 1234567 * time.Microsecond: "1.235", time.Hour: "3600",
	} {
		if got := shownTTL(left); got != want {
			t.Errorf("%d: got %s, want %s", left, got, want)
		}
	}
}

func TestNumbersLast_NegativeNumbers_AreNoFlags(t *testing.T) {
	cmd := new(app).incrCommand()
	for args, want := range map[string]string{
		"s a:b 5":                     "s a:b 5",
		"s a:b -5":                    "s a:b -- -5",
		"s a:b -.5 --ttl 1h":          "s a:b --ttl 1h -- -.5",
		"--initial -2 s a:b -1.5":     "--initial -2 s a:b -- -1.5",
		"--initial=-2 s a:b":          "--initial=-2 s a:b",
		"s a:b -math.huge":            "s a:b -- -math.huge",
		"s a:b -x":                    "s a:b -x",
		"s a:b -h":                    "s a:b -h",
		"s -- -5 -6":                  "s -- -5 -6",
		"s -1 -- -5":                  "s -- -1 -5",
		"s a:b --nosuch -5":           "s a:b --nosuch -- -5",
		"s a:b --help -5 --config -7": "s a:b --help --config -7 -- -5",
	} {
		cmd.InitDefaultHelpFlag()
		if got := numbersLast(cmd, strings.Fields(args)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: got %v, want %s", args, got, want)
		}
	}
}

func TestKV_WhenStopped_SaysSoWithCode1(t *testing.T) {
	folder(t)
	wantDone(t, luastore(t, "kv", "set", demo, "demo", "a:b", "1"), "")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt signal received"))
	for _, args := range [][]string{
		{"get", "a:b"}, {"set", "a:b", "2"}, {"set", "a:b", "2", "--json"}, {"set", "a:b", "2", "--if-absent"}, {"delete", "a:b"},
		{"delete", "a:b", "a:c", "--yes"}, {"delete", "--prefix", "a:", "--yes"}, {"delete", "--prefix", "a:"}, {"has", "a:b"}, {"ls"}, {"ls", "--values"},
		{"ttl", "a:b"}, {"touch", "a:b", "1h"}, {"incr", "a:b"},
	} {
		got := call{ctx: ctx}.run(t, slices.Concat([]string{"kv", args[0], demo, "demo"}, args[1:])...)
		if want := (outcome{1, "", "luastore: stopped: interrupt signal received\n"}); got != want {
			t.Errorf("%v: got %+v", args, got)
		}
	}
	wantDone(t, luastore(t, "kv", "ls", "--values", demo, "demo"), "a:b = 1\n")
}

// filled returns a registry with a store demo in memory that has so many entries n:….
func filled(t *testing.T, entries int, observe func(context.Context, store.Event)) *store.Registry {
	t.Helper()
	reg := store.New(&store.Options{Observe: observe})
	t.Cleanup(func() {
		if err := reg.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	open, err := all.Opener("mem:")
	if err == nil {
		err = reg.Define("demo", store.Definition{Open: open})
	}
	if err == nil {
		err = onDemo(t.Context(), reg, func(ctx context.Context, h *store.Handle) (err error) {
			for i := 0; i < entries && err == nil; i++ {
				err = h.Set(ctx, fmt.Sprintf("n:%d", i), value.AppendNumber(nil, 1), 0)
			}
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// onDemo runs fn as a unit with a handle on the store demo.
func onDemo(ctx context.Context, reg *store.Registry, fn func(ctx context.Context, h *store.Handle) error) error {
	return reg.Do(ctx, func(ctx context.Context) error {
		h, err := store.Get(ctx, "demo")
		if err != nil {
			return err
		}
		return fn(ctx, h)
	})
}

func TestKVDelete_StoppedBetweenBatches_SaysHowManyWereDeleted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	batches := 0
	reg := filled(t, 2500, func(_ context.Context, e store.Event) {
		if e.Op == store.OpDeleteMany {
			if batches++; batches == 2 {
				cancel()
			}
		}
	})
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr}
	err := onDemo(ctx, reg, func(ctx context.Context, h *store.Handle) error { return a.deletePrefix(ctx, h, "n:", true) })
	if store.Kind(err) != "canceled" || stdout.Len() > 0 || stderr.String() != "luastore: 2000 keys had been deleted when it stopped\n" {
		t.Errorf("got %v\n%s%s", err, &stdout, &stderr)
	}
	left := 0
	err = onDemo(t.Context(), reg, func(ctx context.Context, h *store.Handle) (err error) {
		left, err = howMany(ctx, h, "")
		return err
	})
	if left != 500 || err != nil {
		t.Errorf("%d entries are left, %v", left, err)
	}
}

func TestKVDelete_OfMoreKeysThanABatchTakes_DeletesThemAll(t *testing.T) {
	reg := filled(t, 2500, nil)
	var keys []string
	for i := range 2600 {
		keys = append(keys, fmt.Sprintf("n:%d", i))
	}
	var stdout bytes.Buffer
	a := &app{stdout: &stdout, stderr: io.Discard}
	err := onDemo(t.Context(), reg, func(ctx context.Context, h *store.Handle) error { return a.deleteKeys(ctx, h, keys) })
	if err != nil || stdout.String() != "deleted 2500 of 2600\n" {
		t.Errorf("got %s, %v", &stdout, err)
	}
}

// A stuckWriter takes nothing until it is released.
type stuckWriter struct{ began, release chan struct{} }

func (w stuckWriter) Write(p []byte) (int, error) {
	close(w.began)
	<-w.release
	return len(p), nil
}

func TestKV_WhoseOutputNobodyTakes_EndsWithItsContext(t *testing.T) {
	folder(t)
	wantDone(t, luastore(t, "kv", "set", demo, "demo", "a:b", "1"), "")
	for _, args := range [][]string{{"kv"}, {"kv", "ls", demo, "demo"}, {"kv", "get", demo, "demo", "a:b"}, {"kv", "has", demo, "demo", "a:b"}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		stuck := stuckWriter{make(chan struct{}), make(chan struct{})}
		var stderr bytes.Buffer
		ended := make(chan int)
		go func() { ended <- Main(ctx, args, nil, stuck, &stderr, nil) }()
		<-stuck.began
		cancel(errors.New("interrupt signal received"))
		if code := <-ended; code != 1 || stderr.String() != "luastore: stopped while writing the output: interrupt signal received\n" {
			t.Errorf("%v: got %d, %s", args, code, &stderr)
		}
		close(stuck.release)
	}
}

func TestChunks_AreWholeLinesThatAPipeTakesAtOnce(t *testing.T) {
	var text []byte
	for i := range 1000 {
		text = fmt.Appendf(text, "%s%d\n", strings.Repeat("x", i%7*i), i)
	}
	var together []byte
	for some := range chunks(text) {
		together = append(together, some...)
		if lines := bytes.Count(some, []byte("\n")); lines == 0 || some[len(some)-1] != '\n' || len(some) > pipeBuf && lines > 1 {
			t.Errorf("a piece of %d bytes and %d lines", len(some), lines)
		}
	}
	if !bytes.Equal(together, text) {
		t.Errorf("%d bytes of %d", len(together), len(text))
	}
}

func TestKV_WhenNobodyReadsTheOutputAnyMore_IsDone(t *testing.T) {
	folder(t)
	wantDone(t, luastore(t, "kv", "set", demo, "demo", "a:b", "1"), "")
	r, w := io.Pipe()
	r.Close()
	for _, args := range [][]string{{"ls"}, {"ls", "--values"}, {"get", "a:b"}, {"incr", "a:b"}} {
		var stderr bytes.Buffer
		if code := Main(t.Context(), slices.Concat([]string{"kv", args[0], demo, "demo"}, args[1:]), nil, w, &stderr, nil); code != 0 || stderr.Len() > 0 {
			t.Errorf("%v: got %d, %s", args, code, &stderr)
		}
	}
}

func TestKVSet_ThatWaitsForInput_EndsWithItsContext(t *testing.T) {
	folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	var stderr bytes.Buffer
	ended := make(chan int)
	go func() {
		ended <- Main(ctx, []string{"kv", "set", demo, "demo", "a:b", "-"}, r, io.Discard, &stderr, nil)
	}()
	if _, err := w.Write([]byte("{")); err != nil { // returns when it was read
		t.Fatal(err)
	}
	cancel()
	if code := <-ended; code != 1 || stderr.String() != "luastore: stopped while reading the value: context canceled\n" {
		t.Errorf("got %d, %s", code, &stderr)
	}
	if names := files(t); len(names) > 0 {
		t.Errorf("%v was made", names)
	}
}

func TestKVSet_OfAnExpressionWithoutEnd_EndsWithItsContext(t *testing.T) {
	folder(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	got := call{ctx: ctx}.run(t, "kv", "set", demo, "demo", "a:b", "(function() while true do end end)()")
	if want := (outcome{1, "", "luastore: stopped: context deadline exceeded\n"}); got != want {
		t.Errorf("got %+v", got)
	}
}

// spoil puts bytes that are no value under a key of demo.db.
func spoil(t *testing.T, key string) {
	t.Helper()
	db, err := sql.Open("sqlite", "demo.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	done, err := db.Exec("UPDATE luastore SET value = x'c0' WHERE key = CAST(? AS BLOB)", key)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := done.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("%d entries, %v", n, err)
	}
}

func TestKV_CorruptValues_AreNamedAndHideNoOthers(t *testing.T) {
	folder(t)
	for _, key := range []string{"a:1", "a:2", "a:3"} {
		wantDone(t, luastore(t, "kv", "set", demo, "demo", key, "{ 1 }"), "")
	}
	spoil(t, "a:2")
	const mend = "(kv set and kv delete mend that)"
	for _, args := range [][]string{{"get", "a:2"}, {"get", "a:2", "--text"}} {
		got := luastore(t, slices.Concat([]string{"kv", args[0], demo, "demo"}, args[1:])...)
		if want := (outcome{1, "", "luastore: \"a:2\": corrupt value: byte 0xc0 is no value " + mend + "\n"}); got != want {
			t.Errorf("%v: got %+v", args, got)
		}
	}
	want := outcome{
		1, "a:1 = { 1 }\na:2 = nil -- corrupt value: byte 0xc0 is no value\na:3 = { 1 }\n",
		"luastore: 1 of the values cannot be read (corrupt value: byte 0xc0 is no value): kv set and kv delete mend that\n",
	}
	if got := luastore(t, "kv", "ls", demo, "demo", "--values"); got != want {
		t.Errorf("got %+v", got)
	}
	wantDone(t, luastore(t, "kv", "ls", demo, "demo"), "a:1\na:2\na:3\n")
	wantDone(t, luastore(t, "kv", "get", demo, "demo", "a:2", "--json"), `{"$stored":"wA=="}`+"\n")
	wantDone(t, luastore(t, "kv", "set", demo, "demo", "a:2", "2"), "")
	wantDone(t, luastore(t, "kv", "get", demo, "demo", "a:2"), "2\n")
}

func TestKV_InputBeyondAllLimits_IsRefused(t *testing.T) {
	folder(t)
	long := strings.Repeat("x", valueBytes+1)
	got := call{stdin: long}.run(t, "kv", "set", demo, "demo", "a:b", "-", "--text")
	if got.code != 2 || !strings.HasPrefix(got.stderr, "luastore: the value on standard input has more than 64 MiB\n") {
		t.Errorf("got %+v", got)
	}
	got = call{stdin: long[:2<<20]}.run(t, "kv", "set", demo, "demo", "a:b", "-", "--text")
	if got.code != 1 || !strings.HasPrefix(got.stderr, `luastore: VALUE is more than store "demo" takes: at most 1048576 bytes`) {
		t.Errorf("got %+v", got)
	}
}
