package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// setHelp is the contract of the command: what it documents here, tests hold it to.
const setHelp = `Write the value of a key. Nothing is printed.

VALUE is an expression of Lua, which your shell must not touch: put it in single quotes.

  42    true    '"text"'    '{ theme = "dark", sizes = { 12, 14 } }'    'math.huge'    '("=") : rep(80)'

It is evaluated as a script is that nobody trusts: without files and the environment, for at most five seconds. With --json VALUE is
JSON, as kv get --json prints it; with --text it is the text itself. A VALUE that is - is read from standard input in any of the three
forms, with --text to the last byte, which from echo is a newline. A text that begins with - stands behind --.

--ttl says for how long the entry lives: a duration such as 90s, 30m, 12h or 7d, or a number of seconds; never and 0 mean that it does
not expire. Without it the default of the store holds, which is never unless the configuration has another, also for an entry that
had an expiry. --keep-ttl keeps that. --if-absent writes only where there is no entry yet.

Exit codes:

  0  done
  1  --if-absent and there is an entry (nothing is written), the store is full or the value too large for it, or an interrupt
  2  the command line, the key, the VALUE or the ttl is wrong
  3  the configuration is wrong, or the store is unknown, denied or unreachable`

const setExamples = `  luastore kv set --store session_store=sqlite:sessions.db session_store session:42 '{ user = "ann" }' --ttl 30m
  luastore kv set session_store session:42 --json '{"user": "ann", "roles": ["admin"]}' --keep-ttl
  luastore kv set session_store greeting:en --text 'Good morning' --if-absent
  luastore kv set page_cache page:index --text - < index.html`

// kvSet is what luastore kv set was asked for.
type kvSet struct {
	storeFlags
	valueForm
	ttl      ttlFlag
	keep     bool
	ifAbsent bool
}

// setCommand is luastore kv set.
func (a *app) setCommand() *cobra.Command {
	o := kvSet{ttl: ttlFlag{ttl: store.DefaultTTL}}
	cmd := &cobra.Command{
		Use:                   "set STORE KEY VALUE [--json | --text] [--ttl TTL | --keep-ttl] [--if-absent] [--store id=url]... [--config file]",
		Short:                 "Write the value of a key",
		Long:                  setHelp,
		Example:               setExamples,
		DisableFlagsInUseLine: true,
		SuggestFor:            []string{"put", "add"},
		Args:                  takes("STORE KEY VALUE"),
		ValidArgsFunction:     a.completeStores(&o.storeFlags, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, pair := range [][]string{{"json", "text"}, {"ttl", "keep-ttl"}, {"if-absent", "keep-ttl"}} {
				if err := exclusive(cmd, pair...); err != nil {
					return err
				}
			}
			return a.set(cmd.Context(), o, args[0], args[1], args[2])
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.json, "json", false, "VALUE is JSON")
	flags.BoolVar(&o.text, "text", false, "VALUE is the text to store")
	flags.Var(&o.ttl, "ttl", "how long the entry lives: a `TTL` such as 30m, 7d or never (default: as the store has it)")
	flags.BoolVar(&o.keep, "keep-ttl", false, "an entry that is there keeps its expiry")
	flags.BoolVar(&o.ifAbsent, "if-absent", false, "write only if there is no entry")
	return takesNegative(cmd)
}

// set writes one entry. What is wrong with the key and the value is told before the store is looked for.
func (a *app) set(ctx context.Context, o kvSet, id, key, text string) error {
	if err := store.CheckKey(key); err != nil {
		return usageError("%w", err)
	}
	v, err := a.value(ctx, o.valueForm, text)
	if err != nil {
		return err
	}
	return a.inStore(ctx, o.storeFlags, id, func(ctx context.Context, h *store.Handle) error {
		if err := checkRoom(h, v); err != nil {
			return err
		}
		if o.ifAbsent {
			return setAbsent(ctx, h, key, v, o.ttl.ttl)
		}
		ttl := o.ttl.ttl
		if o.keep {
			ttl = store.KeepTTL
		}
		return h.Set(ctx, key, v, ttl)
	})
}

// setAbsent writes an entry that is not there yet.
func setAbsent(ctx context.Context, h *store.Handle, key string, v []byte, ttl time.Duration) error {
	written, err := h.SetIfAbsent(ctx, key, v, ttl)
	if err == nil && !written {
		return &failure{exitScript, fmt.Errorf("%q is there already: nothing was written", key)}
	}
	return err
}

// checkRoom refuses a value that is beyond the limits of its store. The handle does so too, without saying what they are.
func checkRoom(h *store.Handle, v []byte) error {
	limits := h.Limits().Value()
	if value.Validate(v, limits) == nil {
		return nil
	}
	return &failure{exitScript, fmt.Errorf("VALUE is more than store %q takes: at most %d bytes, %d elements, and %d tables inside each other",
		h.ID(), limits.Bytes, limits.Nodes, limits.Depth)}
}
