package config_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
	"github.com/luastore/store/driver/all"
	"github.com/luastore/store/script"
)

// values are what the valid files find.
func values(name string) (string, bool) {
	v, ok := map[string]string{
		"REDIS_PASSWORD": "s3cr3t", "TRICKY": "s3${cr}3t", "CACHE_URL": "mem:", "AGE": "2", "YES": "true", "DEPTH": "7", "OP": "get", "GRANT": "debug", "HOST": "[::1]",
	}[name]
	return v, ok
}

// load reads a file of testdata/valid. Paths in it are relative to testdata.
func load(t *testing.T, name string) *config.Config {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", "valid", name))
	ok(t, err)
	c, err := config.Parse(filepath.Join("testdata", name), source, all.Opener, &config.Options{LookupEnv: values})
	ok(t, err)
	return c
}

func TestParse_OfAFullFile_SetsEveryField(t *testing.T) {
	c := load(t, "full.yaml")
	if ids := slices.Sorted(maps.Keys(c.Stores)); !slices.Equal(ids, []string{"app:cache", "cache", "session_store"}) {
		t.Fatalf("stores are %q", ids)
	}
	got := c.Stores["session_store"]
	if got.Open.Open == nil {
		t.Error("no opener")
	}
	got.Open = store.Opener{}
	want := store.Definition{
		Prefix: "sessions", DefaultTTL: 30 * time.Minute, MaxTTL: 36 * time.Hour, Timeout: 2 * time.Second, OpenTimeout: 5 * time.Second,
		Limits: store.Limits{KeyBytes: 512, ValueBytes: 256 << 10, Depth: 16, Nodes: 1000, Batch: 100, BatchBytes: 8 << 20},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if c.Policy == nil {
		t.Error("no policy")
	}
	runner := config.Runner{Timeout: 30 * time.Second, Memory: 128 << 20, Output: 1 << 20, Allow: []script.Grant{script.GrantIO, script.GrantOS}}
	if !reflect.DeepEqual(c.Runner, runner) || c.Telemetry.Metrics != "127.0.0.1:9090" {
		t.Errorf("got %+v, %+v", c.Runner, c.Telemetry)
	}
	if o := c.Runner.Script(); !reflect.DeepEqual(*o, script.Options{Timeout: runner.Timeout, Memory: runner.Memory, Output: runner.Output, Grants: runner.Allow}) {
		t.Errorf("Script returns %+v", o)
	}
}

func TestParse_WithVariablesAndFiles_PutsThemInOnce(t *testing.T) {
	c := load(t, "expansion.yaml")
	got := c.Stores["cache"]
	if got.Prefix != "${X}-$5-$-s3${cr}3t" || got.DefaultTTL != 48*time.Hour || !got.ReadOnly || got.Limits != (store.Limits{Depth: 7, ValueBytes: 7 << 10}) {
		t.Errorf("got %+v", got)
	}
	if c.Telemetry.Metrics != "[::1]:9090" || !slices.Equal(c.Runner.Allow, []script.Grant{script.GrantDebug}) {
		t.Errorf("got %+v, %+v", c.Telemetry, c.Runner)
	}
	for unit, want := range map[string]bool{"admin/x.lua": true, "admin\n/x.lua": false, "cart.lua": false} {
		if err := c.Policy(t.Context(), store.Access{Unit: unit, Op: store.OpGet}); (err == nil) != want {
			t.Errorf("%q: %v", unit, err)
		}
	}
}

func TestParse_OfAFileFromWindows_IsRight(t *testing.T) {
	if c := load(t, "windows.yaml"); len(c.Stores) != 1 || c.Telemetry.Metrics != ":9090" || c.Policy != nil {
		t.Errorf("got %+v", c)
	}
}

func TestParse_WithValuesFromAVariable_CannotChangeTheStructure(t *testing.T) {
	env := func(string) (string, bool) { return "a\n    read_only true\n  other mem", true }
	_, err := config.Parse("f", []byte("stores:\n  cache:\n    url: mem://\n    prefix: ${P}\n"), all.Opener, &config.Options{LookupEnv: env})
	if err == nil || !strings.Contains(err.Error(), "f:4:13: invalid prefix: control character") {
		t.Errorf("got %v", err)
	}
}

func TestParse_OfDurationsAndSizes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "0d5ms": 5 * time.Millisecond, "1.5h": 90 * time.Minute,
		"-1s": 0, "0s": 0, "0d": 0, "d": 0, "1.5d": 0, "1d-25h": 0, "5": 0, "1h2d": 0, "forever": 0, "never": 0, "9223372036854775807d": 0, "106751d24h": 0,
		"2147483647d": 0,
	} {
		c, err := config.Parse("f", []byte("runner: {timeout: \""+text+"\"}"), all.Opener, nil)
		if (err == nil) != (want > 0) || err == nil && c.Runner.Timeout != want {
			t.Errorf("%s: got %+v, %v, want %v", text, c, err, want)
		}
	}
	for text, want := range map[string]int64{
		"1": 1, "128MB": 128 << 20, "1gb": 1 << 30, "64 KiB": 64 << 10, "\"12\"": 12, "7b": 7, "8589934591GiB": 8589934591 << 30,
		"0": 0, "-1": 0, "1.5MB": 0, "MB": 0, "1 TB": 0, "8589934592GB": 0, "9223372036854775808": 0, "0x10": 0, "1_000": 0,
	} {
		c, err := config.Parse("f", []byte("runner: {memory: "+text+"}"), all.Opener, nil)
		if (err == nil) != (want > 0) || err == nil && c.Runner.Memory != want {
			t.Errorf("%s: got %+v, %v, want %v", text, c, err, want)
		}
	}
	if c := parse(t, "runner: {memory: "+"9223372036854775807}"); c.Runner.Memory != math.MaxInt64 {
		t.Errorf("got %d", c.Runner.Memory)
	}
}

func TestParse_OfALongFile_IsRefusedOrEnds(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"too large":          {strings.Repeat("#", 1<<20+1), "f: too large: at most 1024 KB"},
		"too many lines":     {strings.Repeat("\n", 20_001), "f:20001:1: too many lines"},
		"too many words":     {"access: [" + strings.Repeat("x,", 60_000) + "]", "f: too long: at most 100000 words and signs"},
		"brackets":           {strings.Repeat("[", 50_000), "nested too deeply"},
		"dashes":             {strings.Repeat("- ", 100_000) + "x", "f:1:1: nested too deeply"},
		"indentation":        {"a:\n" + strings.Repeat(" ", 200) + "b: 1", "f:2:1: nested too deeply"},
		"question marks":     {strings.Repeat("? ", 1<<10), "a complex key (?) is not supported"},
		"a long line":        {"stores: {a: \"" + strings.Repeat("x", 1<<18) + "\"}", "f:1:13: invalid store URL"},
		"every kind of sign": {"stores: {a: 'x'}\n" + strings.Repeat(":", 1000), "f:"},
	} {
		_, err := config.Parse("f", []byte(c.text), all.Opener, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 4000 {
			t.Errorf("%s: got %.300v, want %s", name, err, c.want)
		}
	}
}

func TestParse_OfASecretFile_ChecksIt(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) { ok(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600)) }
	write("one", "pass\n")
	write("two", "pass\r\n")
	write("three", "pass\n\n")
	write("most", strings.Repeat("x", 64<<10))
	write("more", strings.Repeat("x", 64<<10+1))
	for reference, want := range map[string]string{
		"one": "pass", "two": "pass", "./one": "pass", filepath.ToSlash(filepath.Join(folder, "one")): "pass", "three": "pass\n", "most": strings.Repeat("x", 64<<10),
		"more": "! too large: at most 64 KB", ".": "! it is no regular file", "none": "! cannot read the file of ${file:none}", "": "! no path",
	} {
		got := ""
		open := func(rawURL string) (store.Opener, error) { got = rawURL; return all.Opener("mem:") }
		_, err := config.Parse(filepath.Join(folder, "f"), []byte("stores: {a: \"${file:"+reference+"}\"}"), open, nil)
		message, fails := strings.CutPrefix(want, "! ")
		if fails && (err == nil || !strings.Contains(err.Error(), message)) || !fails && (err != nil || got != want) {
			t.Errorf("%q: got %.20q, %v, want %.40q", reference, got, err, want)
		}
	}
}

func TestLoad_TellsWhatIsWrongWithThePath(t *testing.T) {
	_, err := config.Load(t.TempDir(), all.Opener, nil)
	if err == nil || !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a folder: got %v", err)
	}
	_, err = config.Load("none.yaml", all.Opener, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: got %v", err)
	}
	var list *config.Errors
	if errors.As(err, &list) {
		t.Error("nothing has places")
	}
}

func TestError_OfAnOpener_IsFound(t *testing.T) {
	mine := errors.New("not today")
	open := func(string) (store.Opener, error) { return store.Opener{}, mine }
	_, err := config.Parse("f", []byte("stores: {a: mem}"), open, nil)
	var one *config.Error
	if !errors.Is(err, mine) || !errors.As(err, &one) || one.Line != 1 || one.Column != 13 || one.File != "f" || one.Message != "not today" {
		t.Errorf("got %+v", err)
	}
}

func TestSchema_IsJSON(t *testing.T) {
	if !json.Valid([]byte(config.Schema())) {
		t.Error("it is not")
	}
}
