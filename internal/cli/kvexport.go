package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
)

// exportHelp is the contract of the command: what it documents here, tests hold it to.
const exportHelp = `Write all entries of a store as lines of JSON (JSON Lines), to standard output or to a file.

  {"luastore":"export","version":1,"store":"sessions","at":"2026-11-29T10:00:00Z"}
  {"key":"session:1","value":{"user":42},"expires_at":"2026-11-29T10:30:00.123456789Z"}
  {"key":"session:2","value":"text"}
  {"end":true,"entries":2}

A value that JSON has no word for, such as NaN or a string of bytes, is {"$stored":"..."}: its stored form in base64. An export that was cut
short has no last line, and luastore kv import says so. expires_at is the instant at which an entry expires by the clock of this machine;
entries without it never do. It is exact to the resolution of the store, and to the time that reading the entry took.

Entries that come, change or go meanwhile may be in the export or not; those that are there throughout are. A store that lists in no order
(kv ls shows it) may have a key twice, which an import does not mind.

With -o the file has its name when it is whole, and the name FILE.part before that. An export to a file that was stopped goes on where it
was when the same command runs again, on the same store, and --restart begins anew; FILE.part.state, beside it, holds how far it came. Only
one export at a time writes to a file.

A value that is corrupt, or beyond the limits of the store, is named on standard error and left out, and the exit code is 1 then. On a
terminal a bar shows how far the export is; all keys are counted for it besides.

Exit codes:

  0  done
  1  a value could not be read, the output could not be written, or the command was stopped
  2  the command line is wrong, or FILE is there already
  3  the configuration is wrong, or the store is unknown, denied or out of reach`

const exportExamples = `  luastore kv export sessions > sessions.jsonl
  luastore kv export sessions -o sessions.jsonl
  luastore kv export --store old=sqlite:old.db old --prefix user: | luastore kv import --store new=redis://localhost new
  luastore kv export sessions | jq -r 'select(.key) | .key'`

// exportOptions are the flags of kv export.
type exportOptions struct {
	storeFlags
	prefix         string
	output         string // "" for standard output
	force, restart bool
	quiet          bool
}

// exportCommand is luastore kv export.
func (a *app) exportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:                   "export [--store id=url]... [--prefix text] [-o file] STORE",
		Short:                 "Write all entries as lines of JSON",
		Long:                  exportHelp,
		Example:               exportExamples,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("want one store: luastore kv export STORE, with -o FILE to write to a file")
			}
			return nil
		},
		ValidArgsFunction: a.completeStores(&o.storeFlags, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.export(cmd.Context(), o, args[0])
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.prefix, "prefix", "", "only the keys that begin with this `text` (default: all)")
	flags.StringVarP(&o.output, "output", "o", "", "write to this `file` (default: standard output)")
	flags.BoolVar(&o.force, "force", false, "replace the file if it is there")
	flags.BoolVar(&o.restart, "restart", false, "begin anew, also where an export to the file was stopped")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "no bar and no count on standard error")
	return cmd
}

// export exports one store.
func (a *app) export(ctx context.Context, o exportOptions, id string) error {
	if o.output == "" && (o.force || o.restart) {
		return usageError("--force and --restart are about a file: name it with -o")
	}
	if err := checkOutput(o.output, o.force); err != nil {
		return err
	}
	return a.inStore(ctx, o.storeFlags, id, func(ctx context.Context, h *store.Handle) error {
		return a.exportStore(ctx, h, o)
	})
}

// checkOutput reports a file that must not be written.
func checkOutput(path string, force bool) error {
	if path == "" {
		return nil
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil: // what else is wrong shows when it is opened
		return nil
	case !info.Mode().IsRegular():
		return usageError("-o %s: want a file: leave out -o to write to standard output", path)
	case !force:
		return usageError("-o %s: the file is there already: name another, or give --force to replace it", path)
	}
	return nil
}

// exportStore exports the store of a handle.
func (a *app) exportStore(ctx context.Context, h *store.Handle, o exportOptions) error {
	e := &exportRun{handle: h, prefix: o.prefix, progress: a.startProgress("exporting", o.quiet, 0)}
	e.unread = func(key string, err error) {
		e.progress.aside(func() { fmt.Fprintf(a.stderr, "luastore: left out %q: %s\n", key, visible(store.Message(err))) })
	}
	wait := a.countKeys(ctx, e)
	err := a.exportTo(ctx, e, o)
	wait()
	e.progress.end()
	if err != nil {
		return a.exportFailure(ctx, e, o, err)
	}
	if !o.quiet {
		fmt.Fprintf(a.stderr, "luastore: exported %s\n", counted(e.entries, "entry", "entries"))
	}
	if e.unreadable > 0 {
		return &failure{exitScript, fmt.Errorf("%s could not be read and left out, see above: delete or set what these keys have, or raise the limits of the store",
			counted(e.unreadable, "value", "values"))}
	}
	return nil
}

// countKeys counts the keys meanwhile, for the bar. The function that it returns ends that.
func (a *app) countKeys(ctx context.Context, e *exportRun) (stop func()) {
	if e.progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n := int64(0)
		for _, err := range e.handle.Keys(ctx, e.prefix) {
			if err != nil {
				return // the export itself meets it too
			}
			n++
		}
		e.progress.whole(n)
	}()
	return func() { cancel(); <-ended }
}

// exportTo exports to where the options say.
func (a *app) exportTo(ctx context.Context, e *exportRun, o exportOptions) error {
	if o.output != "" {
		return a.exportFile(ctx, e, o)
	}
	e.out = &untilDone{ctx: ctx, w: a.stdout}
	if err := e.header(time.Now()); err != nil {
		return err
	}
	if err := e.run(ctx, ""); err != nil {
		return err
	}
	return e.end()
}

// exportFile exports to a file, or goes on with that.
func (a *app) exportFile(ctx context.Context, e *exportRun, o exportOptions) error {
	fresh := partState{Store: e.handle.ID(), Prefix: o.prefix, At: time.Now()}
	p, err := openPart(o, fresh)
	if err != nil {
		return err
	}
	e.out = p
	e.pageEnd = func(next string) error { return outputError(p.reach(next, e.entries, e.unreadable)) }
	if err := a.exportPart(ctx, e, p, fresh); err != nil {
		return errors.Join(err, outputError(p.stop()))
	}
	return outputError(p.done())
}

// exportPart writes the lines of a file that are missing.
func (a *app) exportPart(ctx context.Context, e *exportRun, p *part, fresh partState) error {
	if p.state.Cursor != "" {
		a.note(e.progress, "going on with %s, begun at %s, after %s (--restart begins anew)",
			p.partPath(), p.state.At.Format(time.RFC3339), counted(p.state.Entries, "entry", "entries"))
		e.entries, e.unreadable = p.state.Entries, p.state.Unreadable
		err := e.run(ctx, p.state.Cursor)
		if e.pages > 0 || !errors.Is(err, store.ErrInvalid) {
			return ended(e, err)
		}
		a.note(e.progress, "the store cannot go on where the export was stopped: it begins anew")
		e.entries, e.unreadable, p.state = 0, 0, fresh
		if err := p.rewind(); err != nil {
			return outputError(err)
		}
	}
	if err := e.header(p.state.At); err != nil {
		return err
	}
	return ended(e, e.run(ctx, ""))
}

// ended writes the end of an export unless it failed.
func ended(e *exportRun, err error) error {
	if err != nil {
		return err
	}
	return e.end()
}

// note tells a person something on the way.
func (a *app) note(p *progress, format string, args ...any) {
	p.aside(func() { fmt.Fprintf(a.stderr, "luastore: "+format+"\n", args...) })
}

// exportFailure says what stopped an export, and that it can go on. What a store answered is left to be told as ever.
func (a *app) exportFailure(ctx context.Context, e *exportRun, o exportOptions, err error) error {
	var output *writeError
	if errors.As(err, &output) && closedOutput(err) {
		return &failure{exitScript, nil}
	}
	if o.output != "" && e.pages > 0 {
		a.note(e.progress, "%s is not whole: run the same command again to go on with it", o.output+partSuffix)
	}
	switch {
	case ctx.Err() != nil:
		return &failure{exitScript, fmt.Errorf("stopped after %s: %w", counted(e.entries, "entry", "entries"), context.Cause(ctx))}
	case errors.As(err, &output):
		return &failure{exitScript, err}
	}
	return err
}
