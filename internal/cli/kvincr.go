package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/luatext"
)

// incrHelp is the contract of the command: what it documents here, tests hold it to.
const incrHelp = `Add to the number under a key, 1 unless DELTA says otherwise, and print the sum. No other writer comes in between.

A key that is not there counts as --initial, which is 0 unless given, and gets the --ttl: a duration such as 90s, 30m, 12h or 7d, a
number of seconds, or never. Without it that is the default of the store. A key that is there keeps its expiry.

Exit codes:

  0  done
  1  the value is no number, the sum is beyond ±2^53, the store is full (nothing is written), or an interrupt
  2  the command line, the key or a number is wrong
  3  the configuration is wrong, or the store is unknown, denied or unreachable`

const incrExamples = `  luastore kv incr --store counters=sqlite:counters.db counters visits:today
  luastore kv incr counters stock:apples -5
  luastore kv incr counters tries:ann --ttl 1h
  luastore kv incr counters next:order --initial 1000`

// kvIncr is what luastore kv incr was asked for.
type kvIncr struct {
	storeFlags
	initial float64
	ttl     ttlFlag
}

// incrCommand is luastore kv incr.
func (a *app) incrCommand() *cobra.Command {
	o := kvIncr{ttl: ttlFlag{ttl: store.DefaultTTL}}
	cmd := &cobra.Command{
		Use:                   "incr STORE KEY [DELTA] [--initial number] [--ttl TTL] [--store id=url]... [--config file]",
		Short:                 "Add to a number",
		Long:                  incrHelp,
		Example:               incrExamples,
		DisableFlagsInUseLine: true,
		SuggestFor:            []string{"inc", "decr", "increment", "add"},
		Args:                  takes("STORE KEY [DELTA]"),
		ValidArgsFunction:     a.completeStores(&o.storeFlags, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			delta := 1.0
			if len(args) == 3 {
				var err error
				if delta, err = strconv.ParseFloat(args[2], 64); err != nil {
					return usageError("invalid DELTA %q: want a number such as 1, -5 or 0.5", args[2])
				}
			}
			return a.incr(cmd.Context(), o, args[0], args[1], delta)
		},
	}
	o.add(cmd)
	cmd.Flags().Float64Var(&o.initial, "initial", 0, "count a key that is not there as this `number`")
	cmd.Flags().Var(&o.ttl, "ttl", "how long a new entry lives: a `TTL` such as 30m, 7d or never (default: as the store has it)")
	return takesNegative(cmd)
}

func (a *app) incr(ctx context.Context, o kvIncr, id, key string, delta float64) error {
	var sum float64
	err := a.inStore(ctx, o.storeFlags, id, func(ctx context.Context, h *store.Handle) (err error) {
		sum, err = h.Incr(ctx, key, delta, o.initial, o.ttl.ttl)
		return notAdded(key, err)
	})
	if err != nil {
		return err
	}
	return a.print(ctx, append(luatext.AppendNumber(nil, sum), '\n'))
}

// notAdded says what about a value keeps it from being added to, and leaves any other error as it is.
func notAdded(key string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotNumber):
		return &failure{exitScript, fmt.Errorf("the value of %q is no number: luastore kv get shows it", key)}
	case errors.Is(err, store.ErrOutOfRange):
		return &failure{exitScript, fmt.Errorf("the sum under %q would be beyond ±2^53, where numbers are no longer exact: nothing was written", key)}
	}
	return err
}
