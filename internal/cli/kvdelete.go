package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
)

// deleteHelp is the contract of the command: what it documents here, tests hold it to.
const deleteHelp = `Delete entries: of the keys that are named, or with --prefix of all keys that begin so. --prefix "" stands for the whole store.

It says how many were deleted. More than one key, and a prefix, are deleted only when you answer y to the question, which for a prefix
says how many keys there are, or give --yes. Ctrl-C stops between batches of keys, and the command says how many were deleted by then.

Exit codes:

  0  done; of several keys that are named some may not have been there
  1  the only key that is named was not there, the answer was no, or an interrupt
  2  the command line or a key is wrong (nothing is deleted), or nobody can be asked and --yes is not given
  3  the configuration is wrong, or the store is unknown, denied or unreachable`

const deleteExamples = `  luastore kv delete --store session_store=sqlite:sessions.db session_store session:42
  luastore kv delete session_store session:42 session:43 --yes
  luastore kv delete session_store --prefix session:`

// kvDelete is what luastore kv delete was asked for.
type kvDelete struct {
	storeFlags
	prefix string
	all    bool // --prefix was given
	yes    bool
}

// deleteCommand is luastore kv delete.
func (a *app) deleteCommand() *cobra.Command {
	var o kvDelete
	cmd := &cobra.Command{
		Use:                   "delete STORE {KEY... | --prefix PREFIX} [--yes] [--store id=url]... [--config file]",
		Short:                 "Delete entries",
		Long:                  deleteHelp,
		Example:               deleteExamples,
		DisableFlagsInUseLine: true,
		SuggestFor:            []string{"del", "rm", "remove"},
		Args:                  deleteArgs,
		ValidArgsFunction:     a.completeStores(&o.storeFlags, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.all = cmd.Flags().Changed("prefix")
			return a.delete(cmd.Context(), o, args[0], args[1:])
		},
	}
	o.add(cmd)
	cmd.Flags().StringVar(&o.prefix, "prefix", "", "delete all keys that begin with this `PREFIX`")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return cmd
}

// deleteArgs wants keys, or else a prefix.
func deleteArgs(cmd *cobra.Command, args []string) error {
	switch prefix := cmd.Flags().Changed("prefix"); {
	case len(args) == 0:
		return errors.New("no STORE: want luastore kv delete STORE KEY..., or --prefix for all keys that begin so")
	case len(args) == 1 && !prefix:
		return errors.New("no KEY: want luastore kv delete STORE KEY..., or --prefix for all keys that begin so")
	case len(args) > 1 && prefix:
		return errors.New("--prefix and keys exclude each other: delete the keys first, then what begins with the prefix")
	}
	return nil
}

func (a *app) delete(ctx context.Context, o kvDelete, id string, keys []string) error {
	if o.all {
		return a.inStore(ctx, o.storeFlags, id, func(ctx context.Context, h *store.Handle) error {
			return a.deletePrefix(ctx, h, o.prefix, o.yes)
		})
	}
	for _, key := range keys {
		if err := store.CheckKey(key); err != nil {
			return usageError("%w", err)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) > 1 {
		if err := a.confirm(ctx, fmt.Sprintf("Delete %d keys of store %q?", len(keys), id), o.yes); err != nil {
			return err
		}
	}
	return a.inStore(ctx, o.storeFlags, id, func(ctx context.Context, h *store.Handle) error {
		return a.deleteKeys(ctx, h, keys)
	})
}

// deleteKeys deletes the keys that are named and says how many there were.
func (a *app) deleteKeys(ctx context.Context, h *store.Handle, keys []string) error {
	deleted := 0
	for some := range slices.Chunk(keys, h.Limits().Batch) {
		n, err := h.DeleteMany(ctx, some)
		if deleted += n; err != nil {
			return a.halfway(deleted, err)
		}
	}
	if err := a.print(ctx, fmt.Appendf(nil, "deleted %d of %d\n", deleted, len(keys))); err != nil {
		return err
	}
	if len(keys) == 1 && deleted == 0 {
		return absent(keys[0], store.ErrNotFound)
	}
	return nil
}

// deletePrefix deletes all keys that begin with prefix and says how many there were. Before it asks it counts them.
func (a *app) deletePrefix(ctx context.Context, h *store.Handle, prefix string, yes bool) error {
	if !yes {
		n, err := howMany(ctx, h, prefix)
		if err != nil {
			return err
		}
		if n > 0 {
			err = a.confirm(ctx, fmt.Sprintf("Delete %s of store %q?", keysWith(n, prefix), h.ID()), false)
		}
		if err != nil {
			return err
		}
	}
	deleted := 0
	for keys, err := range keyPages(ctx, h, prefix) {
		n := 0
		if err == nil {
			n, err = h.DeleteMany(ctx, keys)
		}
		if deleted += n; err != nil {
			return a.halfway(deleted, err)
		}
	}
	return a.print(ctx, fmt.Appendf(nil, "deleted %s\n", keysWith(deleted, prefix)))
}

// keyPages returns an iterator over all keys that begin with prefix, no more at a time than a batch takes. An error is the last that it yields.
func keyPages(ctx context.Context, h *store.Handle, prefix string) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		most := min(store.KeysPage, h.Limits().Batch)
		for cursor := ""; ; {
			page, err := h.List(ctx, prefix, cursor, most)
			if err != nil {
				yield(nil, err)
				return
			}
			for keys := range slices.Chunk(page.Keys, most) { // a page may exceed what was asked for
				if !yield(keys, nil) {
					return
				}
			}
			if cursor = page.Next; cursor == "" {
				return
			}
		}
	}
}

// howMany returns how many keys begin with prefix.
func howMany(ctx context.Context, h *store.Handle, prefix string) (n int, err error) {
	for keys, err := range keyPages(ctx, h, prefix) {
		if err != nil {
			return 0, err
		}
		n += len(keys)
	}
	return n, nil
}

// keysWith names so many keys that begin with prefix.
func keysWith(n int, prefix string) string {
	text := fmt.Sprintf("%d keys", n)
	if n == 1 {
		text = "1 key"
	}
	if prefix != "" {
		text += fmt.Sprintf(" beginning with %q", prefix)
	}
	return text
}

// halfway says how many keys were deleted before err came between, and returns that.
func (a *app) halfway(deleted int, err error) error {
	if deleted > 0 {
		fmt.Fprintf(a.stderr, "luastore: %s had been deleted when it stopped\n", keysWith(deleted, ""))
	}
	return err
}
