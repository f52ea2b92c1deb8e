package config_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
	"github.com/luastore/store/driver/all"
	"github.com/luastore/store/driver/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A served is a host with its file.
type served struct {
	*config.Host
	path string
}

// serve opens a host of a file with that text.
func serve(t *testing.T, text string, o *config.Options) *served {
	t.Helper()
	s := &served{path: filepath.Join(t.TempDir(), config.FileName)}
	s.write(t, text)
	h, err := config.Open(s.path, all.Opener, o)
	if err != nil {
		t.Fatal(err)
	}
	s.Host = h
	t.Cleanup(func() {
		if err := h.Registry().Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *served) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload writes a text and reads it, which must succeed.
func (s *served) reload(t *testing.T, text string) {
	t.Helper()
	s.write(t, text)
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// set and get are one unit each.
func (s *served) set(t *testing.T, id, key string, v any) error {
	t.Helper()
	return s.Registry().DoNamed(t.Context(), "test.lua", func(ctx context.Context) error {
		h, err := store.Get(ctx, id)
		if err != nil {
			return err
		}
		return store.Save(ctx, h, key, v, store.DefaultTTL)
	})
}

func (s *served) get(t *testing.T, id, key string) (v string, err error) {
	t.Helper()
	err = s.Registry().DoNamed(t.Context(), "test.lua", func(ctx context.Context) error {
		h, err := store.Get(ctx, id)
		if err != nil {
			return err
		}
		v, err = store.Load[string](ctx, h, key)
		return err
	})
	return v, err
}

// has fails unless a store has a value.
func (s *served) has(t *testing.T, id, key, want string) {
	t.Helper()
	if got, err := s.get(t, id, key); err != nil || got != want {
		t.Errorf("%s %s: got %q, %v, want %q", id, key, got, err, want)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused is the URL of a server that is not there.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	ok(t, l.Close())
	return "redis://" + l.Addr().String()
}

func TestOpen_ServesTheStoresOfTheFile_AndThoseOfTheOptions(t *testing.T) {
	mine := store.Definition{Open: memstore.Opener(nil), ReadOnly: true}
	s := serve(t, "stores: {cache: \"mem:\", mine: \"mem:\"}", &config.Options{Stores: map[string]store.Definition{"mine": mine, "more": mine}})
	ok(t, s.set(t, "cache", "a:b", "1"))
	for _, id := range []string{"mine", "more"} {
		if err := s.set(t, id, "a:b", "1"); !errors.Is(err, store.ErrDenied) {
			t.Errorf("%s is not that of the options: %v", id, err)
		}
	}
	s.reload(t, "stores: {mine: \"mem:?max_entries=1\"}")
	if err := s.set(t, "mine", "a:b", "1"); !errors.Is(err, store.ErrDenied) {
		t.Errorf("after the reload the option has gone: %v", err)
	}
	s.reload(t, "runner: {timeout: 1s}")
	if err := s.set(t, "more", "a:b", "1"); !errors.Is(err, store.ErrDenied) {
		t.Errorf("after the second reload the option has gone: %v", err)
	}
}

func TestOpen_WithAPolicyOfTheHost_IsRefused(t *testing.T) {
	o := &config.Options{Registry: store.Options{Policy: func(context.Context, store.Access) error { return nil }}}
	if _, err := config.Open("nowhere.yaml", all.Opener, o); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "Policy must be nil") {
		t.Errorf("got %v", err)
	}
}

func TestOpen_OfAFileThatIsNotThere_SaysSo(t *testing.T) {
	_, err := config.Open("nowhere.yaml", all.Opener, nil)
	if !errors.Is(err, os.ErrNotExist) || !errors.Is(err, store.ErrInvalid) || !strings.HasPrefix(err.Error(), "cannot read nowhere.yaml: ") {
		t.Errorf("got %v", err)
	}
}

func TestOpen_WithABadDefinitionInTheOptions_FailsWithItsID(t *testing.T) {
	s := filepath.Join(t.TempDir(), "f.yaml")
	ok(t, os.WriteFile(s, []byte("runner: {timeout: 1s}"), 0o600))
	_, err := config.Open(s, all.Opener, &config.Options{Stores: map[string]store.Definition{"bad": {}}})
	if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), `"bad"`) {
		t.Errorf("got %v", err)
	}
}

func TestOpen_WithoutRules_LeavesCursorsGoodForOtherProcesses(t *testing.T) {
	next := func(rules string) string {
		s := serve(t, "stores: {cache: \"mem:\"}\n"+rules, nil)
		var page store.Page
		ok(t, s.Registry().Do(t.Context(), func(ctx context.Context) error {
			h, err := store.Get(ctx, "cache")
			ok(t, err)
			for i := range 3 {
				ok(t, store.Save(ctx, h, fmt.Sprintf("a:%d", i), i, 0))
			}
			page, err = h.List(ctx, "", "", 1)
			return err
		}))
		return page.Next
	}
	if a, b := next(""), next(""); a != b || a == "" {
		t.Errorf("without rules: got %q and %q", a, b)
	}
	if a, b := next("access: [{allow: [all]}]"), next("access: [{allow: [all]}]"); a == b || a == "" {
		t.Errorf("with rules: got %q and %q", a, b)
	}
}

func TestReload_SwapsWhatChanged_AndLeavesTheRest(t *testing.T) {
	s := serve(t, "stores: {same: \"mem:\", other: \"mem:\", gone: \"mem:\"}", nil)
	for _, id := range []string{"same", "other", "gone"} {
		ok(t, s.set(t, id, "a:b", "before"))
	}
	s.reload(t, "# a comment\nrunner: {timeout: 7s}\nstores:\n  new: \"mem:\"\n  same: {url: \"mem:\"}\n  other: {url: \"mem:\", prefix: p}\n")
	s.has(t, "same", "a:b", "before")
	if _, err := s.get(t, "other", "a:b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the store that changed: %v", err)
	}
	if _, err := s.get(t, "gone", "a:b"); !errors.Is(err, store.ErrStoreNotFound) {
		t.Errorf("the store that is gone: %v", err)
	}
	ok(t, s.set(t, "new", "a:b", "1"))
	if c := s.Config(); c.Runner.Timeout != 7*time.Second || len(c.Stores) != 3 {
		t.Errorf("Config is %+v", c)
	}
	s.reload(t, "stores: {same: \"mem:\"}")
	s.has(t, "same", "a:b", "before")
}

func TestReload_WithAVariableThatChanged_ReplacesTheStore(t *testing.T) {
	var value atomic.Value
	value.Store("10")
	env := func(string) (string, bool) { return value.Load().(string), true }
	s := serve(t, "stores: {cache: \"mem:?max_entries=${MOST}\"}", &config.Options{LookupEnv: env})
	ok(t, s.set(t, "cache", "a:b", "before"))
	ok(t, s.Reload(t.Context()))
	s.has(t, "cache", "a:b", "before")
	value.Store("20")
	ok(t, s.Reload(t.Context()))
	if _, err := s.get(t, "cache", "a:b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestReload_OfABrokenFile_ChangesNothing(t *testing.T) {
	s := serve(t, "stores: {cache: \"mem:\"}\naccess: [{allow: [all]}]", nil)
	ok(t, s.set(t, "cache", "a:b", "before"))
	before := s.Config()
	for _, text := range []string{"stores: {cash: \"mem:?x=1\"}", "stores: [", ""} {
		s.write(t, text)
		var list *config.Errors
		if err := s.Reload(t.Context()); !errors.As(err, &list) {
			t.Errorf("%q: got %v", text, err)
		}
	}
	ok(t, os.Remove(s.path))
	if err := s.Reload(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: got %v", err)
	}
	s.has(t, "cache", "a:b", "before")
	if s.Config() != before {
		t.Error("Config has changed")
	}
}

func TestReload_WithAStoreThatCannotBeOpened_PutsAllBack(t *testing.T) {
	away := refused(t)
	s := serve(t, "stores: {a: \"mem:\", b: \"mem:\", z: \"mem:\", gone: \"mem:\"}\naccess: [{allow: [all]}]", nil)
	for _, id := range []string{"a", "b", "z", "gone"} {
		ok(t, s.set(t, id, "a:b", "before"))
	}
	before := s.Config()
	changed := "  a: {url: \"mem:\", prefix: p}\n  b: {url: \"mem:\", prefix: p}\n"
	for name, text := range map[string]string{
		"a new one":    changed + "  z: \"mem:\"\n  new: \"mem:\"\n  away: {url: \"" + away + "\", open_timeout: 300ms}\n",
		"a changed":    changed + "  new: \"mem:\"\n  z: {url: \"" + away + "\", open_timeout: 300ms}\n",
		"one in front": "  a: {url: \"" + away + "\", open_timeout: 300ms}\n  b: {url: \"mem:\", prefix: p}\n",
	} {
		t.Run(name, func(t *testing.T) {
			s.write(t, "stores:\n"+text+"access: [{deny: [all]}]\n")
			err := s.Reload(t.Context())
			if err == nil || !strings.Contains(err.Error(), "the old configuration serves on") || !strings.Contains(err.Error(), "store \"") {
				t.Fatalf("got %v", err)
			}
			for _, id := range []string{"a", "b", "z", "gone"} {
				s.has(t, id, "a:b", "before")
			}
			for _, id := range []string{"new", "away"} {
				if _, err := s.get(t, id, "a:b"); !errors.Is(err, store.ErrStoreNotFound) {
					t.Errorf("%s: got %v", id, err)
				}
			}
			if s.Config() != before {
				t.Error("Config has changed")
			}
		})
	}
	s.reload(t, "stores:\n"+changed+"  z: \"mem:\"\naccess: [{allow: [all]}]")
	s.has(t, "z", "a:b", "before")
}

func TestReload_WhoseOldStoreIsOutOfReach_Succeeds_AndIsTakenBack(t *testing.T) {
	away := refused(t)
	old := "stores: {a: {url: \"" + away + "\", open_timeout: 200ms}, z: \"mem:\"}"
	s := serve(t, old, nil)
	s.write(t, "stores: {a: \"mem:\", z: {url: \""+away+"\", open_timeout: 200ms}}")
	if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), `store "z"`) {
		t.Errorf("got %v", err)
	}
	if err := s.set(t, "a", "a:b", "1"); store.Kind(err) != "unavailable" && store.Kind(err) != "timeout" {
		t.Errorf("a is not the old one: %v", err)
	}
	s.reload(t, "stores: {a: \"mem:\", z: \"mem:\"}")
	ok(t, s.set(t, "a", "a:b", "1"))
}

func TestReload_WhenItsContextEnds_ChangesNothing(t *testing.T) {
	s := serve(t, "stores: {a: \"mem:\"}", nil)
	ok(t, s.set(t, "a", "a:b", "before"))
	s.write(t, "stores: {a: {url: \"mem:\", prefix: p}, b: \"mem:\"}")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Reload(ctx); !errors.Is(err, store.ErrCanceled) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.has(t, "a", "a:b", "before")
}

func TestReload_OfRules_CountsForHandlesThatAreHeld(t *testing.T) {
	s := serve(t, "stores: {a: \"mem:\"}\naccess: [{allow: [all]}]", nil)
	ok(t, s.Registry().Do(t.Context(), func(ctx context.Context) error {
		h, err := store.Get(ctx, "a")
		ok(t, err)
		ok(t, store.Save(ctx, h, "a:b", "1", 0))
		s.reload(t, "stores: {a: \"mem:\"}\naccess: [{deny: [write]}, {allow: [all]}]")
		err = store.Save(ctx, h, "a:b", "2", 0)
		if !errors.Is(err, store.ErrDenied) || store.Message(err) != `permission denied: store "a": access rule at luastore.yaml:2` {
			t.Errorf("got %v", err)
		}
		s.reload(t, "stores: {a: \"mem:\"}")
		return store.Save(ctx, h, "a:b", "3", 0)
	}))
}

func TestReload_WithTheFirstRules_AsksForARestart(t *testing.T) {
	s := serve(t, "stores: {a: \"mem:\"}", nil)
	s.write(t, "stores: {b: \"mem:\"}\naccess: [{allow: [all]}]")
	if err := s.Reload(t.Context()); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "restart to begin with access rules") {
		t.Errorf("got %v", err)
	}
	ok(t, s.set(t, "a", "a:b", "1"))
}

// TestReload_UnderLoad_FailsNobody lets units read and write while the file goes through all kinds of change.
func TestReload_UnderLoad_FailsNobody(t *testing.T) {
	const head = "access: [{allow: [all]}]\nstores:\n"
	s := serve(t, head+"  a: \"mem:\"\n  b: \"mem:\"\n", nil)
	away := refused(t)
	var stop atomic.Bool
	var done atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				for _, id := range []string{"a", "b"} {
					if err := s.use(t, id); err != nil {
						t.Error(err)
						return
					}
					done.Add(1)
				}
			}
		})
	}
	for i := range 20 {
		texts := []string{
			head + "  a: {url: \"mem:\", prefix: p}\n  b: \"mem:\"\n  c: \"mem:\"\n",
			head + "  a: {url: \"mem:\", prefix: q}\n  b: {url: \"mem:\", prefix: r}\n",
			head + "  a: \"mem:\"\n  b: {url: \"mem:\", max_ttl: 1h}\n",
			head + "  a: {url: \"mem:\", prefix: x}\n  b: {url: \"" + away + "\", open_timeout: 100ms}\n",
			"stores: }\n",
		}
		s.write(t, texts[i%len(texts)])
		if err := s.Reload(t.Context()); (err != nil) != (i%len(texts) > 2) {
			t.Errorf("reload %d: got %v", i, err)
		}
		for seen := done.Load(); done.Load() < seen+8 && !t.Failed(); { // units come between
			runtime.Gosched()
		}
	}
	stop.Store(true)
	wg.Wait()
}

// use writes and reads in one unit, on one handle.
func (s *served) use(t *testing.T, id string) error {
	return s.Registry().Do(t.Context(), func(ctx context.Context) error {
		h, err := store.Get(ctx, id)
		if err != nil {
			return err
		}
		if err := store.Save(ctx, h, "load:key", "v", store.DefaultTTL); err != nil {
			return err
		}
		_, err = store.Load[string](ctx, h, "load:key")
		return err
	})
}

// A new store serves before the reload is over, here while the next one makes it wait.
func TestReload_WithRulesForANewStore_OpensItToNobodyBefore(t *testing.T) {
	opening, opened := make(chan struct{}), make(chan struct{})
	slow := func(url string) (store.Opener, error) {
		opener, err := all.Opener("mem:")
		return store.Opener{Open: func(ctx context.Context) (store.Driver, error) {
			if url == "slow:" {
				close(opening)
				<-opened
			}
			return opener.Open(ctx)
		}}, err
	}
	s := &served{path: filepath.Join(t.TempDir(), config.FileName)}
	s.write(t, "stores: {a: \"mem:\", z: \"mem:\"}\naccess: [{allow: [all]}]")
	var err error
	s.Host, err = config.Open(s.path, slow, nil)
	ok(t, err)
	defer s.Registry().Close(context.Background())
	s.write(t, "stores: {a: {url: \"mem:\", prefix: p}, fresh: \"mem:\", z: \"slow:\"}\naccess: [{stores: [a, fresh], deny: [set]}, {allow: [all]}]")
	reloaded := make(chan error)
	go func() { reloaded <- s.Reload(t.Context()) }()
	<-opening
	for _, id := range []string{"a", "fresh"} {
		if err := s.set(t, id, "a:b", "1"); !errors.Is(err, store.ErrDenied) {
			t.Errorf("%s, meanwhile: got %v", id, err)
		}
	}
	ok(t, s.set(t, "z", "a:b", "1"))
	close(opened)
	ok(t, <-reloaded)
}

func TestReload_ThatRemovesAStoreWithItsRules_LeavesItClosedToThoseWhoHoldIt(t *testing.T) {
	const bare = "access: [{allow: [all]}]\nstores:\n  a: \"mem:\"\n"
	const full = "access: [{stores: [hidden], deny: [set]}, {allow: [all]}]\nstores:\n  a: \"mem:\"\n  hidden: \"mem:\"\n"
	s := serve(t, full, nil)
	ok(t, s.Registry().Do(t.Context(), func(ctx context.Context) error {
		h, err := store.Get(ctx, "hidden")
		ok(t, err)
		for range 2 {
			s.reload(t, bare)
			if err := store.Save(ctx, h, "a:b", "1", 0); !errors.Is(err, store.ErrDenied) {
				t.Errorf("set: got %v", err)
			}
			if _, err := h.Has(ctx, "a:b"); err != nil {
				t.Errorf("has, which was allowed: got %v", err)
			}
		}
		return nil
	}))
	s.reload(t, bare+"  hidden: \"mem:\"\n")
	ok(t, s.set(t, "hidden", "a:b", "1"))
}

// A pipe that nobody writes to must not hold up a host, nor a command that was told to end.
func TestLoad_OfWhatIsNoRegularFile_IsRefusedAtOnce(t *testing.T) {
	_, err := config.Load(t.TempDir(), all.Opener, nil)
	if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("got %v", err)
	}
}
