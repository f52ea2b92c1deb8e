package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
)

// checkHelp is the contract of the command: what it documents here, tests hold it to.
const checkHelp = `Look at the configuration, then open every store and ask it for one key: before a deployment, and when something is wrong.

Without ids all stores are checked that luastore.yaml (or --config) and --store name. They are opened as a script would, at the same
time: a database file or a table that is not there yet is made. Access rules do not apply to the one key, which is only looked for.

A line for each store goes to standard output; what is wrong with one, and what to do, to standard error. --json prints one JSON
object for each store in the place of the line: store, status, seconds, and driver or error. The status is one of

  ok           it answered
  unknown      no store of that id is configured
  denied       the server, or the file system, does not let luastore in
  unreachable  nobody answered, or not in time
  failed       anything else

--schema prints the JSON Schema of the configuration, by which editors complete and check it; nothing else happens then.

Exit codes:

  0  all is well
  1  stopped by an interrupt
  2  the command line is wrong
  3  the configuration is wrong, there is none, or a store did not answer`

const checkExamples = `  luastore check
  luastore check --config production.yaml --timeout 2s session_store
  luastore check --store cache=redis://localhost:6379
  luastore check --schema > luastore.schema.json`

// checkOptions are the flags of check.
type checkOptions struct {
	storeFlags
	timeout      time.Duration
	json, schema bool
}

// checkCommand is luastore check.
func (a *app) checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:                   "check [--store id=url]... [--config file] [--timeout duration] [--json] [--schema] [id...]",
		Short:                 "Check the configuration and every store",
		Long:                  checkHelp,
		Example:               checkExamples,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     a.completeStores(&o.storeFlags, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if o.schema {
				_, err := fmt.Fprint(a.stdout, config.Schema())
				return a.written(err)
			}
			return a.check(cmd.Context(), o, ids)
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&o.timeout, "timeout", 10*time.Second, "give each store this `duration` to answer")
	flags.BoolVar(&o.json, "json", false, "print JSON, one line for each store")
	flags.BoolVar(&o.schema, "schema", false, "print the JSON Schema of luastore.yaml for editors")
	return cmd
}

// check looks at stores and tells what it found.
func (a *app) check(ctx context.Context, o checkOptions, ids []string) error {
	if o.timeout <= 0 {
		return usageError("--timeout %v: want a duration above zero", o.timeout)
	}
	return a.withStores(ctx, o.storeFlags, "", func(s *stores) error { return a.checkAll(ctx, s, o, ids) })
}

var errNothingConfigured = errors.New("no stores are configured: want a file luastore.yaml here, --config file, or --store id=url")

func (a *app) checkAll(ctx context.Context, s *stores, o checkOptions, ids []string) error {
	if !s.configured() {
		return &failure{exitConfig, errNothingConfigured}
	}
	if len(ids) == 0 {
		ids = s.ids()
	}
	all := s.healthOf(ctx, ids, o.timeout)
	if ctx.Err() != nil {
		return &failure{exitScript, fmt.Errorf("check stopped: %w", context.Cause(ctx))}
	}
	print := a.printHealth
	if o.json {
		print = a.printHealthJSON
	}
	if err := print(s, all); err != nil {
		return a.written(err)
	}
	return a.unwell(all)
}

// unwell tells what is wrong with stores.
func (a *app) unwell(all []health) error {
	var failed error
	for _, h := range all {
		if h.err == nil {
			continue
		}
		fmt.Fprintf(a.stderr, "luastore: %s\n", visible(h.err.Error()))
		failed = &failure{exitConfig, nil}
	}
	return failed
}

// health is what became of the question to one store.
type health struct {
	id     string
	driver string
	took   time.Duration
	kind   string // of the error
	err    error  // as a person is to see it
}

// status is the one word for it.
func (h health) status() string {
	switch h.kind {
	case "":
		return "ok"
	case "store_not_found":
		return "unknown"
	case "denied":
		return "denied"
	case "unavailable", "timeout":
		return "unreachable"
	}
	return "failed"
}

// healthOf asks stores, all at the same time, and returns what became of it in the order of ids.
func (s *stores) healthOf(ctx context.Context, ids []string, timeout time.Duration) []health {
	const atOnce = 64
	all := make([]health, len(ids))
	turns := make(chan struct{}, atOnce)
	var asked sync.WaitGroup
	for i, id := range ids {
		turns <- struct{}{}
		asked.Go(func() {
			defer func() { <-turns }()
			all[i] = s.health(ctx, id, timeout)
		})
	}
	asked.Wait()
	return all
}

func (s *stores) health(ctx context.Context, id string, timeout time.Duration) health {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	h := health{id: id}
	start := time.Now()
	err := s.reg.Check(ctx, id)
	h.took = time.Since(start)
	if err != nil {
		h.kind, h.err = store.Kind(err), s.failure(id, err)
		return h
	}
	_ = s.with(ctx, "check", id, func(_ context.Context, handle *store.Handle) error {
		h.driver = handle.Info().Driver
		return nil
	})
	return h
}

// printHealth prints one line for each store.
func (a *app) printHealth(s *stores, all []health) error {
	colours := a.colours(a.stdout)
	var text strings.Builder
	if s.host != nil {
		fmt.Fprintf(&text, "%s is right\n", s.host.Config().Path)
	}
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, h := range all {
		status, how := colours.green(h.status()), fmt.Sprintf("%s\t%s", h.driver, h.took.Round(10*time.Microsecond))
		if h.err != nil {
			status, how = colours.red(h.status()), "\t"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", visible(h.id), status, how)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(a.stdout, trimLines(text.String()))
	return err
}

// trimLines removes the spaces at the ends of lines.
func trimLines(text string) string {
	lines := slices.Collect(strings.Lines(text))
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \n") + "\n"
	}
	return strings.Join(lines, "")
}

// printHealthJSON prints one object for each store.
func (a *app) printHealthJSON(_ *stores, all []health) error {
	out := json.NewEncoder(a.stdout)
	out.SetEscapeHTML(false)
	for _, h := range all {
		line := struct {
			Store   string  `json:"store"`
			Status  string  `json:"status"`
			Seconds float64 `json:"seconds"`
			Driver  string  `json:"driver,omitempty"`
			Error   string  `json:"error,omitempty"`
		}{h.id, h.status(), h.took.Seconds(), h.driver, ""}
		if h.err != nil {
			line.Error = h.err.Error()
		}
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
