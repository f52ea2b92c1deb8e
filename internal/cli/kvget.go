package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/jsonvalue"
	"github.com/luastore/store/internal/luatext"
	"github.com/luastore/store/value"
)

// getHelp is the contract of the command: what it documents here, tests hold it to.
const getHelp = `Print the value of a key, as Lua would write it: 42, "text", { theme = "dark" }.

On a terminal a value that is too long for a line is spread over several; elsewhere it always takes one. What is not printable in a
string is escaped, so that nothing in a store can command a terminal. --json prints JSON for other programs; a value that JSON does
not have, such as NaN or bytes that are no text, is {"$stored": "base64"}. --text prints the bytes of a string as they are, without
a newline after them.

Exit codes:

  0  done
  1  there is no such key (nothing is printed), the value is corrupt, --text and it is no string, or an interrupt
  2  the command line or the key is wrong
  3  the configuration is wrong, or the store is unknown, denied or unreachable`

const getExamples = `  luastore kv get --store session_store=sqlite:sessions.db session_store session:42
  luastore kv get session_store session:42 --json
  luastore kv get page_cache page:index --text > index.html`

// A valueForm is how values stand on the command line and in the output.
type valueForm struct{ json, text bool }

// kvGet is what luastore kv get was asked for.
type kvGet struct {
	storeFlags
	valueForm
}

// getCommand is luastore kv get.
func (a *app) getCommand() *cobra.Command {
	var o kvGet
	cmd := &cobra.Command{
		Use:                   "get STORE KEY [--json | --text] [--store id=url]... [--config file]",
		Short:                 "Print the value of a key",
		Long:                  getHelp,
		Example:               getExamples,
		DisableFlagsInUseLine: true,
		Args:                  takes("STORE KEY"),
		ValidArgsFunction:     a.completeStores(&o.storeFlags, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := exclusive(cmd, "json", "text"); err != nil {
				return err
			}
			return a.get(cmd.Context(), o, args[0], args[1])
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&o.text, "text", false, "print the bytes of a string as they are")
	return cmd
}

func (a *app) get(ctx context.Context, o kvGet, id, key string) error {
	var text []byte
	err := a.inStore(ctx, o.storeFlags, id, func(ctx context.Context, h *store.Handle) error {
		v, err := h.Get(ctx, key)
		if err != nil {
			return absent(key, err)
		}
		text, err = a.shown(o.valueForm, key, v, h.Limits().Value())
		return err
	})
	if err != nil {
		return err
	}
	return a.print(ctx, text)
}

// shown returns a value in one of its forms.
func (a *app) shown(f valueForm, key string, v []byte, limits value.Limits) ([]byte, error) {
	switch {
	case f.json:
		return append(jsonvalue.Append(nil, v), '\n'), nil
	case f.text:
		return textOf(key, v, limits)
	}
	text, err := luatext.Append(nil, v, &luatext.Options{Width: a.columns(), Limits: limits})
	if err != nil {
		return nil, corruptValue(key, err)
	}
	return append(text, '\n'), nil
}

// corruptValue says which value cannot be read.
func corruptValue(key string, err error) error {
	return &failure{exitScript, fmt.Errorf("%q: %w (kv set and kv delete mend that)", key, err)}
}

// textOf returns the string that a value is.
func textOf(key string, v []byte, limits value.Limits) ([]byte, error) {
	r, err := value.NewReader(v, limits)
	var kind value.Kind
	if err == nil {
		kind, err = r.Next()
	}
	if err == nil && kind != value.String {
		return nil, &failure{exitScript, fmt.Errorf("the value of %q is no string: leave out --text to see it", key)}
	}
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, corruptValue(key, err)
	}
	return []byte(r.Str), nil
}

// widestLine is how many columns a value takes at most on a terminal: longer lines are hard to read.
const widestLine = 100

// columns returns how many columns a value may take, 0 for any number where nobody looks.
func (a *app) columns() int {
	f, ok := terminal(a.stdout)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return widestLine
	}
	return min(width, widestLine)
}

// hasHelp is the contract of the command: what it documents here, tests hold it to.
const hasHelp = `Print whether a key exists: true or false.

Exit codes:

  0  it exists
  1  it does not, or an interrupt
  2  the command line or the key is wrong
  3  the configuration is wrong, or the store is unknown, denied or unreachable`

const hasExamples = `  luastore kv has --store session_store=sqlite:sessions.db session_store session:42
  luastore kv has session_store session:42 > /dev/null && echo "still there"`

// hasCommand is luastore kv has.
func (a *app) hasCommand() *cobra.Command {
	var f storeFlags
	cmd := &cobra.Command{
		Use:                   "has STORE KEY [--store id=url]... [--config file]",
		Short:                 "Print whether a key exists",
		Long:                  hasHelp,
		Example:               hasExamples,
		DisableFlagsInUseLine: true,
		SuggestFor:            []string{"exists"},
		Args:                  takes("STORE KEY"),
		ValidArgsFunction:     a.completeStores(&f, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.has(cmd.Context(), f, args[0], args[1])
		},
	}
	f.add(cmd)
	return cmd
}

func (a *app) has(ctx context.Context, f storeFlags, id, key string) error {
	var found bool
	err := a.inStore(ctx, f, id, func(ctx context.Context, h *store.Handle) (err error) {
		found, err = h.Has(ctx, key)
		return err
	})
	if err == nil {
		err = a.print(ctx, fmt.Appendln(nil, found))
	}
	if err == nil && !found {
		return &failure{exitScript, nil}
	}
	return err
}
