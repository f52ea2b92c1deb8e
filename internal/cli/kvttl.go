package cli

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
)

// ttlHelp is the contract of the command: what it documents here, tests hold it to.
const ttlHelp = `Print for how many seconds a key still lives, such as 1799.5, or never if it does not expire.

Exit codes:

  0  done
  1  there is no such key (nothing is printed), or an interrupt
  2  the command line or the key is wrong
  3  the configuration is wrong, or the store is unknown, denied or unreachable`

const ttlExamples = `  luastore kv ttl --store session_store=sqlite:sessions.db session_store session:42
  luastore kv ttl session_store session:42`

// ttlCommand is luastore kv ttl.
func (a *app) ttlCommand() *cobra.Command {
	var f storeFlags
	cmd := &cobra.Command{
		Use:                   "ttl STORE KEY [--store id=url]... [--config file]",
		Short:                 "Print how long a key still lives",
		Long:                  ttlHelp,
		Example:               ttlExamples,
		DisableFlagsInUseLine: true,
		Args:                  takes("STORE KEY"),
		ValidArgsFunction:     a.completeStores(&f, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ttl(cmd.Context(), f, args[0], args[1])
		},
	}
	f.add(cmd)
	return cmd
}

func (a *app) ttl(ctx context.Context, f storeFlags, id, key string) error {
	var left time.Duration
	err := a.inStore(ctx, f, id, func(ctx context.Context, h *store.Handle) (err error) {
		left, err = h.TTL(ctx, key)
		return absent(key, err)
	})
	if err != nil {
		return err
	}
	return a.print(ctx, []byte(shownTTL(left)+"\n"))
}

// shownTTL returns the time that an entry has left as people read it, to the millisecond.
func shownTTL(left time.Duration) string {
	if left == 0 {
		return "never"
	}
	millis := max(left.Round(time.Millisecond).Milliseconds(), 1)
	return strconv.FormatFloat(float64(millis)/1000, 'f', -1, 64)
}

// touchHelp is the contract of the command: what it documents here, tests hold it to.
const touchHelp = `Set for how long a key lives from now on, and leave its value as it is. Nothing is printed.

TTL is a duration such as 90s, 30m, 12h or 7d, or a number of seconds; never and 0, or no TTL, mean that the key does not expire.

Exit codes:

  0  done
  1  there is no such key, or an interrupt
  2  the command line, the key or the TTL is wrong
  3  the configuration is wrong, or the store is unknown, denied or unreachable`

const touchExamples = `  luastore kv touch --store session_store=sqlite:sessions.db session_store session:42 30m
  luastore kv touch session_store session:42 7d
  luastore kv touch session_store session:42`

// touchCommand is luastore kv touch.
func (a *app) touchCommand() *cobra.Command {
	var f storeFlags
	cmd := &cobra.Command{
		Use:                   "touch STORE KEY [TTL] [--store id=url]... [--config file]",
		Short:                 "Set how long a key lives",
		Long:                  touchHelp,
		Example:               touchExamples,
		DisableFlagsInUseLine: true,
		SuggestFor:            []string{"expire", "persist"},
		Args:                  takes("STORE KEY [TTL]"),
		ValidArgsFunction:     a.completeStores(&f, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ttl ttlFlag
			if len(args) == 3 {
				if err := ttl.Set(args[2]); err != nil {
					return usageError("invalid TTL %q: %w", args[2], err)
				}
			}
			return a.touch(cmd.Context(), f, args[0], args[1], ttl.ttl)
		},
	}
	f.add(cmd)
	return takesNegative(cmd)
}

func (a *app) touch(ctx context.Context, f storeFlags, id, key string, ttl time.Duration) error {
	return a.inStore(ctx, f, id, func(ctx context.Context, h *store.Handle) error {
		existed, err := h.Touch(ctx, key, ttl)
		if err == nil && !existed {
			err = absent(key, store.ErrNotFound)
		}
		return err
	})
}

// A ttlFlag is a time to live on the command line.
type ttlFlag struct{ ttl time.Duration }

// Set takes what a person writes.
func (f *ttlFlag) Set(text string) (err error) {
	f.ttl, err = parseTTL(text)
	return err
}

// String is empty, so that help shows no default: that is the store's.
func (f *ttlFlag) String() string { return "" }

// Type is how help names the value.
func (f *ttlFlag) Type() string { return "TTL" }

var errTTL = errors.New("want a duration such as 90s, 30m, 12h or 7d, a number of seconds, or never")

var (
	plainNumber = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)$`)
	withDays    = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)d(.*)$`)
)

// parseTTL returns the time to live that a person writes: a duration of Go, which may have days in front, a number of seconds, or
// never, which is 0 as for the store.
func parseTTL(text string) (time.Duration, error) {
	switch days := withDays.FindStringSubmatch(text); {
	case text == "never":
		return 0, nil
	case plainNumber.MatchString(text):
		return seconds(text, 1)
	case days != nil:
		whole, err := seconds(days[1], 24*60*60)
		rest := time.Duration(0)
		if err == nil && days[2] != "" {
			rest, err = parseDuration(days[2])
		}
		if err == nil && rest > store.MaxTTL-whole {
			err = errLongTTL
		}
		return whole + rest, err
	}
	return parseDuration(text)
}

var errLongTTL = errors.New("at most 100 years, or never")

// seconds returns the time of a plain number of units of so many seconds.
func seconds(number string, unit float64) (time.Duration, error) {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n*unit > store.MaxTTL.Seconds() {
		return 0, errLongTTL
	}
	return store.Seconds(n * unit)
}

// parseDuration returns a duration of Go that is no less than zero.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errTTL
	}
	if d > store.MaxTTL {
		return 0, errLongTTL
	}
	return d, nil
}
