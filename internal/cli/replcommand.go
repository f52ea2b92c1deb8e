package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/suggest"
)

// replCommands are what a line that begins with a dot may be.
var replCommands = []string{".exit", ".help", ".stores", ".time"}

// replIntroduction is what .help prints. A test does what it says.
const replIntroduction = `Type an expression to see its value, or statements. The global store reaches the stores:

  s = store.get("demo")                       open a store
  s:set("user:1", { name = "Ada" }, 60)       write, for 60 seconds
  s:get("user:1")                             read: the value, or nil, a message, and what kind of error
  for key, value in s:each("user:") do print(key, value.name) end

Tab completes: try s: and Tab. Ctrl-C stops what runs, or drops the lines that are typed. A statement that is
not complete goes on in the next line. A local variable ends with its line: leave out "local" to keep it.

  .stores       the stores, and what is known of those that are open
  .time on|off  say how long each statement took
  .exit         leave, as Ctrl-D does

All calls: luastore annotations, or docs/lua-api.md. All of luastore repl: luastore repl --help
`

// command does what a line says that is no Lua. The error ends the session.
func (r *repl) command(ctx context.Context, line string) error {
	words := strings.Fields(line)
	switch name, args := words[0], words[1:]; {
	case name == ".help" && len(args) == 0:
		return r.print(replIntroduction)
	case name == ".exit" && len(args) == 0:
		return errLeave
	case name == ".stores" && len(args) == 0:
		return r.listStores(ctx)
	case name == ".time" && len(args) == 1 && (args[0] == "on" || args[0] == "off"):
		r.timed = args[0] == "on"
	case name == ".time":
		r.mistake("want .time on or .time off")
	case slices.Contains(replCommands, name):
		r.mistake(name + " takes no arguments")
	default:
		r.mistake(unknownCommand(name))
	}
	return nil
}

// mistake tells what is wrong with a command.
func (r *repl) mistake(text string) {
	r.failed = true
	r.complain(visible(text))
}

// unknownCommand says what may have been meant.
func unknownCommand(name string) string {
	if meant, ok := suggest.Closest(name, replCommands); ok {
		return fmt.Sprintf("no command %s: did you mean %s?", name, meant)
	}
	return fmt.Sprintf("no command %s: .help lists them", name)
}

// greeting is what a person reads first.
func (r *repl) greeting() string {
	return fmt.Sprintf("luastore %s\nStores: %s\nType Lua; .help tells more, Ctrl-D leaves.\n", version(), r.where())
}

// where says which stores there are.
func (r *repl) where() string {
	const most = 8
	ids := r.opened.ids()
	switch {
	case !r.opened.configured():
		return "any id, in memory and gone at exit (--store id=url keeps data)"
	case len(ids) == 0:
		return "none: name one with --store id=url, or in the configuration"
	case len(ids) > most:
		return fmt.Sprintf("%s and %d more: .stores lists them", strings.Join(ids[:most], ", "), len(ids)-most)
	}
	return strings.Join(ids, ", ")
}

// listStores is .stores.
func (r *repl) listStores(ctx context.Context) error {
	used := r.used.ids()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, id := range union(r.opened.ids(), used) {
		about := "not opened yet"
		if slices.Contains(used, id) {
			about = r.about(ctx, id)
		}
		fmt.Fprintf(w, "%s\t%s\n", visible(id), visible(about))
	}
	if err := w.Flush(); err != nil { // to memory
		return err
	}
	if !r.opened.configured() {
		text.WriteString("Any other id is a store in memory, gone at exit: store.get(\"demo\")\n")
	}
	return r.print(text.String())
}

// about says what is known of an open store.
func (r *repl) about(ctx context.Context, id string) (text string) {
	err := r.opened.with(ctx, replName, id, func(_ context.Context, h *store.Handle) error {
		info := h.Info()
		text = fmt.Sprintf("%s; %s", info.Driver, info.Durability)
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return text
}

// usedStores are those that the session has opened. Its methods are safe for concurrent use.
type usedStores struct {
	mu   sync.Mutex
	used map[string]bool
}

// observe is told what happens to stores.
func (u *usedStores) observe(_ context.Context, e store.Event) {
	if e.Op != store.OpAcquire || e.Err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.used == nil {
		u.used = map[string]bool{}
	}
	u.used[e.Store] = true
}

// ids returns their ids, sorted.
func (u *usedStores) ids() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.used))
}
