package cli

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/jsonvalue"
	"github.com/luastore/store/internal/luatext"
	"github.com/luastore/store/value"
)

// lsHelp is the contract of the command: what it documents here, tests hold it to.
const lsHelp = `Print the keys of a store, all or those that begin with PREFIX, one in each line.

--values prints the values too, one entry in each line:

  user:ann = { size = 12, theme = "dark" }

--json prints one JSON object in each line instead, {"key": "user:ann"}, with --values {"key": "user:ann", "value": {…}}; see luastore
kv get --help for values that JSON does not have. A key that a terminal would not show as it is, or that begins with a quote, is printed as
a string of Lua.

Keys come in the order of the store, which for files and SQL is that of their bytes. The store is read page by page while lines are
printed: the list takes no more memory when it is long, and a key that comes or goes meanwhile may be in it or not.

Exit codes:

  0  done, also if there are no keys, or nobody reads the output any more, as with head
  1  a value is corrupt (its line says so, all others are right), or an interrupt
  2  the command line or PREFIX is wrong
  3  the configuration is wrong, or the store is unknown, denied or unreachable`

const lsExamples = `  luastore kv ls --store session_store=sqlite:sessions.db session_store
  luastore kv ls session_store session: --values
  luastore kv ls session_store --limit 10
  luastore kv ls session_store session: --values --json > sessions.jsonl`

// kvLs is what luastore kv ls was asked for.
type kvLs struct {
	storeFlags
	prefix       string
	values, json bool
	limit        int // lines at most, 0 for all
}

// lsCommand is luastore kv ls.
func (a *app) lsCommand() *cobra.Command {
	var o kvLs
	cmd := &cobra.Command{
		Use:                   "ls STORE [PREFIX] [--values] [--json] [--limit n] [--store id=url]... [--config file]",
		Short:                 "Print the keys of a store",
		Long:                  lsHelp,
		Example:               lsExamples,
		DisableFlagsInUseLine: true,
		SuggestFor:            []string{"list", "keys"},
		Args:                  takes("STORE [PREFIX]"),
		ValidArgsFunction:     a.completeStores(&o.storeFlags, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.limit < 0 {
				return usageError("--limit %d: want a number above zero, or leave it out for all", o.limit)
			}
			if len(args) > 1 {
				o.prefix = args[1]
			}
			return a.ls(cmd.Context(), o, args[0])
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.values, "values", false, "print the values too")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.IntVar(&o.limit, "limit", 0, "print no more than this `n`umber of lines (default: all)")
	return cmd
}

func (a *app) ls(ctx context.Context, o kvLs, id string) error {
	err := a.inStore(ctx, o.storeFlags, id, func(ctx context.Context, h *store.Handle) error {
		return a.list(ctx, o, h)
	})
	if closedOutput(err) { // as by head
		return nil
	}
	return err
}

// list prints page by page what was asked for.
func (a *app) list(ctx context.Context, o kvLs, h *store.Handle) error {
	lines := listing{kvLs: o, limits: h.Limits().Value()}
	for cursor := ""; ; {
		next, err := lines.page(ctx, h, cursor)
		if err != nil {
			return err
		}
		for some := range chunks(lines.text) {
			if err := a.write(ctx, some); err != nil {
				return err
			}
		}
		if next == "" || lines.full() {
			return lines.corrupt()
		}
		cursor = next
	}
}

// pipeBuf is what a pipe takes whole or not at all: a command that is stopped leaves no half a line to its reader.
const pipeBuf = 4096

// chunks returns an iterator over text in pieces of whole lines, each of which fits pipeBuf if its lines do.
func chunks(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(text) > 0 {
			end := len(text)
			if end > pipeBuf {
				end = bytes.LastIndexByte(text[:pipeBuf], '\n') + 1
			}
			if end == 0 {
				end = bytes.IndexByte(text, '\n') + 1
			}
			if !yield(text[:end]) {
				return
			}
			text = text[end:]
		}
	}
}

// A listing makes lines of pages of entries.
type listing struct {
	kvLs
	limits  value.Limits
	text    []byte // the lines of the last page
	lines   int    // of all pages so far
	broken  int    // lines that could not show their value
	example error  // why, for one of them
}

// full reports whether no more lines are wanted.
func (l *listing) full() bool { return l.limit > 0 && l.lines >= l.limit }

// page puts the page at a cursor into text and returns the cursor of the next.
func (l *listing) page(ctx context.Context, h *store.Handle, cursor string) (next string, err error) {
	l.text = l.text[:0]
	if !l.values {
		page, err := h.List(ctx, l.prefix, cursor, l.atOnce(store.KeysPage, h))
		for _, key := range page.Keys {
			l.add(key, nil)
		}
		return page.Next, err
	}
	page, err := h.ListItems(ctx, l.prefix, cursor, l.atOnce(store.DefaultPage, h))
	for _, item := range page.Items {
		l.add(item.Key, item.Value)
	}
	return page.Next, err
}

// atOnce returns how many of most entries one page needs.
func (l *listing) atOnce(most int, h *store.Handle) int {
	most = min(most, h.Limits().Batch)
	if l.limit > 0 {
		most = min(most, l.limit-l.lines)
	}
	return most
}

// add writes the line of one entry.
func (l *listing) add(key string, v []byte) {
	if l.full() { // a page may exceed what was asked for
		return
	}
	l.lines++
	if l.json {
		l.addJSON(key, v)
	} else {
		l.addLua(key, v)
	}
	l.text = append(l.text, '\n')
}

func (l *listing) addJSON(key string, v []byte) {
	l.text = append(l.text, `{"key":`...)
	l.text = jsonvalue.AppendString(l.text, key)
	if l.values {
		l.text = append(l.text, `,"value":`...)
		l.text = jsonvalue.Append(l.text, v)
	}
	l.text = append(l.text, '}')
}

func (l *listing) addLua(key string, v []byte) {
	if luatext.Printable(key) && key[0] != '"' {
		l.text = append(l.text, key...)
	} else {
		l.text = luatext.AppendString(l.text, key)
	}
	if !l.values {
		return
	}
	l.text = append(l.text, " = "...)
	var err error
	if l.text, err = luatext.Append(l.text, v, &luatext.Options{Limits: l.limits}); err != nil {
		l.text = fmt.Appendf(l.text, "nil -- %v", err)
		l.broken++
		l.example = err
	}
}

// corrupt tells of the lines that could not show their value.
func (l *listing) corrupt() error {
	if l.broken == 0 {
		return nil
	}
	return &failure{exitScript, fmt.Errorf("%d of the values cannot be read (%w): kv set and kv delete mend that", l.broken, l.example)}
}
