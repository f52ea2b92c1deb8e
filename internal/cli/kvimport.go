package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
)

// importHelp is the contract of the command: what it documents here, tests hold it to.
const importHelp = `Write the entries of an export into a store: lines of JSON from a file or from standard input, as luastore kv export writes them or as
you write them yourself.

  {"key":"user:1","value":{"name":"Ann","tags":["a","b"]}}
  {"key":"session:1","value":42,"expires_at":"2030-01-31T12:00:00Z"}

An entry replaces the one that the store has under its key; other entries stay. Of several lines with one key the last one holds. An entry
without expires_at never expires; one whose instant has passed is not written, and what the store has under its key is deleted, as it would
have expired by now. So an import that was stopped, even killed, and begins again ends as if it had not been.

What comes out of luastore kv export is checked to be whole: where its end is missing, what is there is imported and the exit code is 1. Lines of
your own need neither header nor end.

A line that is wrong or that the store refuses stops the import and is named as FILE:LINE. What comes before it is written. The message says
how many lines from the first on are done; --skip goes on after them. --dry-run names every wrong line and writes nothing.

Exit codes:

  0  done
  1  a line is wrong or the store refuses its entry, the export is cut short, or the command was stopped
  2  the command line is wrong, or FILE cannot be opened
  3  the configuration is wrong, or the store is unknown, denied or out of reach`

const importExamples = `  luastore kv import sessions sessions.jsonl
  luastore kv import --dry-run sessions sessions.jsonl
  luastore kv import --skip 41000 sessions sessions.jsonl
  luastore kv export --store old=sqlite:old.db old | luastore kv import --store new=redis://localhost new`

// importOptions are the flags of kv import.
type importOptions struct {
	storeFlags
	prefix string
	skip   int64
	dryRun bool
	quiet  bool
}

// importCommand is luastore kv import.
func (a *app) importCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:                   "import [--store id=url]... [--prefix text] [--skip lines] [--dry-run] STORE [FILE]",
		Short:                 "Write entries from lines of JSON",
		Long:                  importHelp,
		Example:               importExamples,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return errors.New("want a store and a file: luastore kv import STORE FILE; without FILE, or with -, standard input")
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.completeStores(&o.storeFlags, 0)(cmd, args, begun)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importFrom(cmd.Context(), o, args[0], append(args, "")[1])
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.prefix, "prefix", "", "only the keys that begin with this `text` (default: all)")
	flags.Int64Var(&o.skip, "skip", 0, "go on after so many `lines`, which were imported before")
	flags.BoolVar(&o.dryRun, "dry-run", false, "check every line and write nothing")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "no bar and no count on standard error")
	return cmd
}

// importFrom imports a file, or standard input where path is "" or "-".
func (a *app) importFrom(ctx context.Context, o importOptions, id, path string) error {
	if o.skip < 0 {
		return usageError("--skip %d: want a number of lines, 0 or more", o.skip)
	}
	if _, typed := terminal(a.stdin); typed && path == "" {
		return usageError("no file: want luastore kv import %s FILE, or - to type lines", id)
	}
	in, err := a.openImport(ctx, path)
	if err != nil {
		return err
	}
	defer in.close()
	return a.inStore(ctx, o.storeFlags, id, func(ctx context.Context, h *store.Handle) error {
		return a.importInto(ctx, h, in, o)
	})
}

// An importSource is where lines come from.
type importSource struct {
	name  string // as messages have it
	r     io.Reader
	size  int64 // 0: unknown
	close func()
}

// openImport opens what is to be imported.
func (a *app) openImport(ctx context.Context, path string) (*importSource, error) {
	if path == "" || path == "-" {
		return &importSource{name: "stdin", r: a.stdin, close: func() {}}, nil
	}
	f, err := openWithin(ctx, path)
	if err != nil {
		return nil, cannotImport(ctx, path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("it is a folder")
	}
	if err != nil {
		f.Close()
		return nil, cannotImport(ctx, path, err)
	}
	return &importSource{name: path, r: f, size: info.Size(), close: func() { f.Close() }}, nil
}

// cannotImport says why there is no file to import.
func cannotImport(ctx context.Context, path string, err error) error {
	var reason *fs.PathError
	switch {
	case ctx.Err() != nil:
		return &failure{exitScript, fmt.Errorf("stopped while opening %s: %w", path, context.Cause(ctx))}
	case errors.Is(err, fs.ErrNotExist):
		return usageError("cannot read %s: there is no such file", path)
	case errors.As(err, &reason):
		err = reason.Err
	}
	return usageError("cannot read %s: %w", path, err)
}

// An importRun reads the lines of one file.
type importRun struct {
	app      *app
	options  importOptions
	handle   *store.Handle
	name     string
	lines    lineReader
	writer   *importWriter
	progress *progress

	done     int64 // lines that were taken
	exported bool  // it has a header
	ended    bool  // it has an end
	seen     int64 // entries, those that were skipped too
	left     int64 // of other prefixes
	checked  int64 // of a dry run
	bad      int64 // lines that a dry run named
}

// importInto imports all lines into the store of a handle.
func (a *app) importInto(ctx context.Context, h *store.Handle, in *importSource, o importOptions) error {
	im := &importRun{
		app: a, options: o, handle: h, name: in.name, writer: newImportWriter(h),
		progress: a.startProgress("importing", o.quiet, in.size),
	}
	im.lines = lineReader{r: bufio.NewReaderSize(&untilDone{ctx: ctx, r: in.r}, chunk), most: maxLine(h.Limits().Value())}
	err := im.run(ctx)
	if written := im.writer.end(ctx); err == nil || isLineError(written) {
		err = written // that of a line before the one that stopped it
	}
	im.progress.end()
	if err == nil {
		err = im.whole()
	} else {
		err = im.failure(ctx, err)
	}
	if err == nil && !o.quiet {
		fmt.Fprintf(a.stderr, "luastore: %s\n", im.summary())
	}
	return err
}

func isLineError(err error) bool {
	var of *lineError
	return errors.As(err, &of)
}

// run reads all lines and gives their entries to the writer.
func (im *importRun) run(ctx context.Context) error {
	for ctx.Err() == nil {
		text, whole, err := im.lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, errLongLine) {
			return im.fault(err)
		}
		if err != nil {
			return err
		}
		seen := im.seen
		if err := im.line(ctx, text, whole); err != nil {
			return err
		}
		im.done = im.lines.number
		im.progress.add(im.seen-seen, int64(len(text)+1))
	}
	return context.Cause(ctx)
}

// fault is what is wrong with the line that was read last.
func (im *importRun) fault(err error) error { return &lineError{im.lines.number, exitScript, err} }

// line takes one line.
func (im *importRun) line(ctx context.Context, text []byte, whole bool) error {
	if im.lines.number == 1 {
		text = bytes.TrimPrefix(text, []byte("\ufeff")) // what some editors put first
	}
	line, err := parseLine(text, im.handle.Limits().Value())
	if err != nil {
		im.seen++ // it has the place of an entry
	} else {
		err = im.place(line)
	}
	skipped := im.lines.number <= im.options.skip
	switch {
	case err != nil && !whole && im.exported:
		return nil // torn: there is no end line then, which is told at the end
	case err != nil && skipped && !errors.Is(err, errOtherVersion):
		return nil
	case err != nil:
		return im.bear(err)
	case line.kind != entryLine || skipped:
		return nil
	case !strings.HasPrefix(line.key, im.options.prefix):
		im.left++
		return nil
	}
	if err := im.check(line); err != nil {
		return im.bear(err)
	}
	if im.options.dryRun {
		im.checked++
		return nil
	}
	return im.writer.add(ctx, importLine{im.lines.number, line.key, line.value, line.expires})
}

// bear names a line that is wrong: a dry run goes on after it.
func (im *importRun) bear(err error) error {
	if !im.options.dryRun {
		return im.fault(err)
	}
	im.bad++
	im.progress.aside(func() {
		fmt.Fprintf(im.app.stderr, "luastore: %s:%d: %s\n", im.name, im.lines.number, visible(err.Error()))
	})
	return nil
}

// place sees whether a line is where it can be.
func (im *importRun) place(line transferLine) error {
	switch {
	case line.kind == blankLine:
		return nil
	case im.ended:
		return errors.New("nothing can follow the end of an export")
	case line.kind == headerLine && im.lines.number > 1:
		return errors.New("a header can only be the first line: import one export after another")
	case line.kind == headerLine:
		im.exported = true
	case line.kind == entryLine:
		im.seen++
	case line.kind == endLine && line.entries != im.seen:
		return fmt.Errorf("the export had %s, and here are %d: lines were lost or added", counted(line.entries, "entry", "entries"), im.seen)
	case line.kind == endLine:
		im.ended = true
	}
	return nil
}

// check finds what the store will refuse about an entry.
func (im *importRun) check(line transferLine) error {
	if err := store.CheckKey(line.key); err != nil {
		return err
	}
	if most := im.handle.Limits().KeyBytes; len(line.key) > most {
		return fmt.Errorf("key too long: %d bytes, limit %d", len(line.key), most)
	}
	_, most := im.handle.TTLs()
	switch ttl := time.Until(line.expires); {
	case line.expires.IsZero() && most > 0:
		return fmt.Errorf("key %q: never expires, and the store keeps entries for at most %v", line.key, most)
	case line.expires.IsZero():
		return nil
	case most > 0 && ttl > most:
		return fmt.Errorf("key %q: expires in %v, and the store keeps entries for at most %v", line.key, ttl.Round(time.Second), most)
	case ttl > store.MaxTTL:
		return fmt.Errorf("key %q: expires in more than 100 years: leave out expires_at for never", line.key)
	}
	return nil
}

// whole reports what is missing in an export of which all that is there was imported.
func (im *importRun) whole() error {
	fail := func(format string, args ...any) error { return &failure{exitScript, fmt.Errorf(format, args...)} }
	switch {
	case im.lines.number < im.options.skip:
		return usageError("--skip %d: %s has only %s", im.options.skip, im.name, counted(im.lines.number, "line", "lines"))
	case im.lines.number == 0:
		return fail("%s is empty: an export has a header and an end at least", im.name)
	case im.bad > 0:
		return fail("%s: %s, see above; nothing was written", im.name, counted(im.bad, "wrong line", "wrong lines"))
	case im.exported && !im.ended:
		return fail("%s is cut short after line %d, its end is missing: export it again\n%s", im.name, im.lines.number, im.summary())
	}
	return nil
}

// summary says what was done.
func (im *importRun) summary() string {
	imported, expired := im.writer.counts()
	text := "imported " + counted(imported, "entry", "entries")
	if im.options.dryRun {
		text = fmt.Sprintf("checked %s, nothing was written", counted(im.checked, "entry", "entries"))
	}
	if expired > 0 {
		text += fmt.Sprintf(", %d expired", expired)
	}
	if im.left > 0 {
		text += fmt.Sprintf(", %d with other keys left out", im.left)
	}
	return text
}

// failure says what stopped an import, and how it goes on.
func (im *importRun) failure(ctx context.Context, err error) error {
	var of *lineError
	code, text := exitScript, ""
	switch {
	case ctx.Err() != nil:
		text = fmt.Sprintf("stopped: %v", context.Cause(ctx))
	case errors.As(err, &of):
		code, text = of.code, fmt.Sprintf("%s:%d: %s", im.name, of.number, visible(of.Error()))
	default:
		text = fmt.Sprintf("cannot read %s: %v", im.name, err)
	}
	if !im.options.dryRun {
		text += "\n" + im.next()
	}
	return &failure{code, errors.New(text)}
}

// next says how many lines are surely done, and how to go on after them.
func (im *importRun) next() string {
	sure := max(im.writer.sure(im.done), im.options.skip)
	if sure == 0 {
		return im.summary() + "; run the same command again to go on"
	}
	return fmt.Sprintf("%s; all lines up to %d are done: run the same command with --skip %d to go on", im.summary(), sure, sure)
}
