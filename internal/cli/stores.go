package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
	"github.com/luastore/store/driver/all"
	"github.com/luastore/store/internal/suggest"
)

// storeFlags say which stores a command has.
type storeFlags struct {
	stores []string
	config fileName
}

// A fileName is an argument that names a file. An empty one, as a shell makes it of a variable that is not set, is not the same as none.
type fileName string

// Set takes the name.
func (f *fileName) Set(name string) error {
	if name == "" {
		return errors.New("want the name of a file")
	}
	*f = fileName(name)
	return nil
}

// String returns the name.
func (f *fileName) String() string { return string(*f) }

// Type is how help names the value.
func (f *fileName) Type() string { return "file" }

// add gives the flags to a command.
func (f *storeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.stores, "store", nil, "open the store `id=url`; may be given several times")
	flags.Var(&f.config, "config", "read stores, access rules and limits from this `file` (default: luastore.yaml, if it is there)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // the flag is there
}

// stores are those that a command works on: what --store and the configuration name, or any id, in memory.
type stores struct {
	reg     *store.Registry
	host    *config.Host           // nil without a configuration
	named   []string               // by --store, sorted
	unknown atomic.Pointer[string] // the last id that was asked for in vain
	told    sync.Once              // where stores are that nobody has named
}

// openStores makes the stores ready. None is connected before its first use. observe may be nil.
//
// Once one store is named an id that is not is no store: the likely cause is a slip, and memory in its place would lose what was
// to be kept.
func (a *app) openStores(f storeFlags, observe func(context.Context, store.Event)) (*stores, error) {
	named, err := a.definitions(f.stores)
	if err != nil {
		return nil, err
	}
	path, err := configPath(f.config)
	if err != nil {
		return nil, err
	}
	s := &stores{named: slices.Sorted(maps.Keys(named))}
	options := store.Options{Observe: observe, Default: s.noStore}
	if path != "" {
		return s, s.follow(path, named, options, a.lookupEnv)
	}
	if len(named) == 0 {
		options.Default = s.memoryStores(a)
	}
	s.reg = store.New(&options)
	for id, definition := range named {
		if err := s.reg.Define(id, definition); err != nil {
			return nil, configError("--store %s: %w", id, err)
		}
	}
	return s, nil
}

// configured reports whether stores are named: else every id is in memory.
func (s *stores) configured() bool { return s.host != nil || len(s.named) > 0 }

// ids returns those that are named, sorted; none where any id is in memory.
func (s *stores) ids() []string {
	if s.host == nil {
		return s.named
	}
	return union(s.named, slices.Collect(maps.Keys(s.host.Config().Stores)))
}

// union returns what is in either list, once, sorted.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// configPath returns the configuration that a command reads, "" for none.
func configPath(flag fileName) (string, error) {
	if flag != "" {
		return string(flag), nil
	}
	switch _, err := os.Lstat(config.FileName); { // a link that leads nowhere is no reason to go on without
	case err == nil:
		return config.FileName, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	default:
		return "", configError("cannot read %s: %w", config.FileName, err)
	}
}

// follow takes the stores of a configuration, and those that are named on the command line besides.
func (s *stores) follow(path string, named map[string]store.Definition, options store.Options, env func(string) (string, bool)) error {
	host, err := config.Open(path, all.Opener, &config.Options{LookupEnv: env, Stores: named, Registry: options})
	if err != nil {
		return configError("%w", err)
	}
	s.host, s.reg = host, host.Registry()
	return nil
}

// definitions reads the arguments of --store.
func (a *app) definitions(args []string) (map[string]store.Definition, error) {
	named := map[string]store.Definition{}
	for _, arg := range args {
		id, url, ok := strings.Cut(arg, "=")
		// The argument is not repeated: where the id was forgotten it holds a URL, and that a password.
		if !ok || url == "" || !plainID.MatchString(id) {
			return nil, usageError("--store: want id=url, with an id of letters, digits and _ . - :, such as --store cache_store=sqlite:cache.db")
		}
		if _, ok := named[id]; ok {
			return nil, usageError("--store %s is given twice: name each store once", id)
		}
		url, err := a.expand(url)
		if err != nil {
			return nil, configError("--store %s: %w", id, err)
		}
		open, err := all.Opener(url)
		if err != nil {
			return nil, configError("--store %s: %w", id, err)
		}
		named[id] = store.Definition{Open: open}
	}
	return named, nil
}

// plainID is what an id on the command line may be: nothing that a part of a URL with a password could be taken for.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$`)

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand puts variables of the environment in the place of ${NAME}: a password on the command line is seen by every user of the
// machine.
func (a *app) expand(url string) (string, error) {
	var err error
	expanded := variable.ReplaceAllStringFunc(url, func(ref string) string {
		name := ref[2 : len(ref)-1]
		v, ok := a.lookupEnv(name)
		if !ok {
			err = fmt.Errorf("environment variable %s is not set", name)
		}
		return v
	})
	return expanded, err
}

// memoryStores supplies every id with a store of its own in memory, and says so at the first one, unless it was told before.
func (s *stores) memoryStores(a *app) func(id string) (store.Definition, bool) {
	return func(id string) (store.Definition, bool) {
		open, err := all.Opener("mem:")
		s.told.Do(func() {
			fmt.Fprintf(a.stderr, "luastore: no stores configured: %q and every other id is kept in memory and gone at exit (--store id=url keeps data)\n", id)
		})
		return store.Definition{Open: open}, err == nil
	}
}

// noStore remembers an id that was asked for in vain.
func (s *stores) noStore(id string) (store.Definition, bool) {
	s.unknown.Store(&id)
	return store.Definition{}, false
}

// hint says what may have been meant by an id that is no store.
func (s *stores) hint(id string) string {
	ids := s.ids()
	if meant, ok := suggest.Closest(id, ids); ok {
		return fmt.Sprintf("did you mean %s?", meant)
	}
	const most = 20
	switch n := len(ids); {
	case n == 0:
		return "the configuration names none"
	case n == 1:
		return "the only one is " + ids[0]
	case n > most:
		return fmt.Sprintf("there are %s and %d more", strings.Join(ids[:most], ", "), n-most)
	}
	return "there are " + strings.Join(ids, ", ")
}

// missed tells of an id that a script asked for in vain, as a line to follow its error; "" if there is none.
func (s *stores) missed() string {
	id := s.unknown.Load()
	if id == nil {
		return ""
	}
	return fmt.Sprintf("\n(there is no store %q: %s)", *id, s.hint(*id))
}

// with runs fn as one unit, with a handle on a store.
func (s *stores) with(ctx context.Context, unit, id string, fn func(ctx context.Context, h *store.Handle) error) error {
	return s.reg.DoNamed(ctx, unit, func(ctx context.Context) error {
		h, err := store.Get(ctx, id)
		if err != nil {
			return s.failure(id, err)
		}
		return fn(ctx, h)
	})
}

// failure tells what failed about a store: whether it is unknown, forbidden or out of reach, or which mistake was made. Its exit code
// tells the first three, which are the operator's to mend, from the last.
func (s *stores) failure(id string, err error) error {
	var told *failure
	switch kind := store.Kind(err); {
	case err == nil || errors.As(err, &told):
		return err
	case kind == "store_not_found":
		return configError("unknown store %q: %s", id, s.hint(id))
	case kind == "denied":
		return configError("%s", store.Message(err)) // names the store
	case kind == "unavailable" || kind == "timeout":
		return configError("%w", err) // names the store
	case kind == "invalid":
		return usageError("store %q: %s", id, store.Message(err))
	}
	var named *store.Error
	if !errors.As(err, &named) {
		err = fmt.Errorf("store %q: %w", id, err)
	}
	return &failure{exitScript, err}
}

// closeTimeout bounds the time to close stores after what used them. Its unit has ended, so that nothing is in use any more.
const closeTimeout = 5 * time.Second

// loadConfig reads the configuration of a command, an empty one where there is none.
func (a *app) loadConfig(f storeFlags) (*config.Config, error) {
	path, err := configPath(f.config)
	if err != nil || path == "" {
		return new(config.Config), err
	}
	named := map[string]store.Definition{} // which access rules may name; their URLs are read when they are opened
	for _, id := range f.ids() {
		named[id] = store.Definition{}
	}
	loaded, err := config.Load(path, all.Opener, &config.Options{LookupEnv: a.lookupEnv, Stores: named})
	if err != nil {
		return nil, configError("%w", err)
	}
	return loaded, nil
}

// ids returns those that --store names, as far as they are written.
func (f *storeFlags) ids() []string {
	ids := make([]string, len(f.stores))
	for i, arg := range f.stores {
		ids[i], _, _ = strings.Cut(arg, "=")
	}
	return ids
}

// completeStores completes the argument at a place, or every one where that is negative, with the ids of stores. Nothing is opened.
func (a *app) completeStores(f *storeFlags, place int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if place >= 0 && len(args) != place {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		known, err := a.knownStores(*f)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return slices.DeleteFunc(known, func(id string) bool { return slices.Contains(args, id) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// knownStores returns the ids that a command's stores have.
func (a *app) knownStores(f storeFlags) ([]string, error) {
	loaded, err := a.loadConfig(f)
	if err != nil {
		return nil, err
	}
	return union(f.ids(), slices.Collect(maps.Keys(loaded.Stores))), nil
}

// withStores runs fn with the stores of a command, and closes them. Where metrics is an address, what happens to them is measured and
// served there. Where they come from a configuration, SIGHUP reads it again meanwhile; else that ends the process as ever.
func (a *app) withStores(ctx context.Context, f storeFlags, metrics string, fn func(s *stores) error) error {
	observe, stop, err := a.measure(metrics)
	if err != nil {
		return err
	}
	failed := a.withObserved(ctx, f, observe, fn)
	if err := stop(ctx); err != nil && failed == nil {
		return err
	}
	return failed
}

// measure serves metrics at an address, if that is one.
func (a *app) measure(address string) (observe func(context.Context, store.Event), stop func(context.Context) error, err error) {
	if address == "" {
		return nil, func(context.Context) error { return nil }, nil
	}
	return a.startMetrics(address)
}

func (a *app) withObserved(ctx context.Context, f storeFlags, observe func(context.Context, store.Event), fn func(s *stores) error) error {
	s, err := a.openStores(f, observe)
	if err != nil {
		return err
	}
	reloading, end := context.WithCancel(ctx)
	defer end()
	if s.host != nil {
		defer a.onHangup(func() { s.reload(reloading, a.stderr) })()
	}
	failed := fn(s)
	end()
	if err := s.close(ctx); err != nil && failed == nil {
		return err
	}
	return failed
}

// reload reads the configuration again and says what came of it. ctx ends with what the stores are for: that a reload was cut off by
// then is no news.
func (s *stores) reload(ctx context.Context, stderr io.Writer) {
	before := s.host.Config()
	if err := s.host.Reload(ctx); err != nil {
		if ctx.Err() == nil {
			fmt.Fprintf(stderr, "luastore: %s was not reloaded, the one before holds on:\n%s\n", before.Path, visible(err.Error()))
		}
		return
	}
	fmt.Fprintf(stderr, "luastore: %s was reloaded\n", before.Path)
	if now := s.host.Config(); !reflect.DeepEqual(before.Runner, now.Runner) || before.Telemetry != now.Telemetry {
		fmt.Fprintf(stderr, "luastore: what changed in runner and telemetry counts from the next start on\n")
	}
}

// close closes the stores also when ctx has ended: an interrupt must not cut off what closing has to finish.
func (s *stores) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := s.reg.Close(ctx); err != nil {
		return configError("close the stores: %w", err)
	}
	return nil
}
