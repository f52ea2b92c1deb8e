package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/suggest"
)

// kvUnit is the name of the units in which entries are worked on from the command line: what access rules are written for.
const kvUnit = "kv"

// kvHelp is what a newcomer reads who types luastore kv alone. A test does what it says.
const kvHelp = `Look at the entries of a store, and change them, without a script.

Say where the store is, write an entry and read it again:

  luastore kv set --store demo=sqlite:demo.db demo user:ann '{ theme = "dark", size = 12 }'
  luastore kv get --store demo=sqlite:demo.db demo user:ann

Keys have the form namespace:name. Values are written as in Lua, and printed so; --json and --text are other forms.

  luastore kv ls --values --store demo=sqlite:demo.db demo user:
  luastore kv incr --store demo=sqlite:demo.db demo visits:today
  luastore kv delete --store demo=sqlite:demo.db demo user:ann

With a file luastore.yaml in the folder, which names the stores, --store is not needed. Access rules know these commands as
the unit "kv".

All there is to know about one of them: luastore kv get --help`

// kvCommand is luastore kv.
func (a *app) kvCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kv",
		Short: "Read and write the entries of a store",
		Long:  kvHelp,
		Args:  unknownVerb,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.print(cmd.Context(), []byte(kvHelp+"\n"))
		},
	}
	cmd.AddCommand(
		a.getCommand(), a.setCommand(), a.deleteCommand(), a.hasCommand(), a.lsCommand(), a.ttlCommand(), a.touchCommand(), a.incrCommand(),
		a.exportCommand(), a.importCommand(),
	)
	return cmd
}

// unknownVerb refuses what is none of the commands below kv, and says which was meant.
func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, verb := range cmd.Commands() {
		if verb.IsAvailableCommand() {
			names = append(names, verb.Name())
		}
		if slices.Contains(verb.SuggestFor, args[0]) {
			return fmt.Errorf("unknown command %q for %q: did you mean %s?", args[0], cmd.CommandPath(), verb.Name())
		}
	}
	if meant, ok := suggest.Closest(args[0], names); ok {
		return fmt.Errorf("unknown command %q for %q: did you mean %s?", args[0], cmd.CommandPath(), meant)
	}
	return fmt.Errorf("unknown command %q for %q: want one of %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
}

// takes holds the arguments of a command to their names in its help: those in brackets may be left out.
func takes(names string) cobra.PositionalArgs {
	all := strings.Fields(names)
	needed := slices.IndexFunc(all, func(name string) bool { return strings.HasPrefix(name, "[") })
	if needed < 0 {
		needed = len(all)
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < needed:
			return fmt.Errorf("no %s: want %s %s", all[len(args)], cmd.CommandPath(), names)
		case len(args) > len(all):
			return fmt.Errorf("too many arguments, from %q on: want %s %s, each in quotes if it holds spaces",
				args[len(all)], cmd.CommandPath(), names)
		}
		return nil
	}
}

// negative is what begins as a negative number does, in Lua and on the command line.
var negative = regexp.MustCompile(`^-(\.?[0-9]|math\.huge$)`)

// takesNegative lets the last argument of a command be a negative number, which would be taken for flags.
func takesNegative(cmd *cobra.Command) *cobra.Command {
	check, run, complete := cmd.Args, cmd.RunE, cmd.ValidArgsFunction
	cmd.DisableFlagParsing = true // leaves it to what follows
	cmd.Args = nil
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		flags := cmd.Flags()
		if err := flags.Parse(numbersLast(cmd, args)); err != nil {
			return err
		}
		if help, err := flags.GetBool("help"); help {
			return errors.Join(err, cmd.Help())
		}
		if err := check(cmd, flags.Args()); err != nil {
			return err
		}
		return run(cmd, flags.Args())
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if err := cmd.Flags().Parse(numbersLast(cmd, args)); err != nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return complete(cmd, cmd.Flags().Args(), toComplete)
	}
	return cmd
}

// numbersLast returns args with those that are negative numbers, and no values of flags, at their end, behind the -- that ends flags.
func numbersLast(cmd *cobra.Command, args []string) []string {
	var others, numbers []string
	for i, arg := range args {
		switch {
		case arg == "--":
			return slices.Concat(others, args[i:i+1], numbers, args[i+1:])
		case negative.MatchString(arg) && (i == 0 || !wantsValue(cmd, args[i-1])):
			numbers = append(numbers, arg)
		default:
			others = append(others, arg)
		}
	}
	if numbers == nil {
		return args
	}
	return slices.Concat(others, []string{"--"}, numbers)
}

// wantsValue reports whether arg is a flag of cmd whose value is the argument after it.
func wantsValue(cmd *cobra.Command, arg string) bool {
	name, isFlag := strings.CutPrefix(arg, "--")
	flag := cmd.Flags().Lookup(name)
	return isFlag && flag != nil && flag.NoOptDefVal == ""
}

// exclusive refuses flags that contradict each other, of which more than one was given.
func exclusive(cmd *cobra.Command, names ...string) error {
	given := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !cmd.Flags().Changed(name) })
	if len(given) > 1 {
		return usageError("--%s and --%s exclude each other: give one of them", given[0], given[1])
	}
	return nil
}

// inStore runs fn as one unit on a store that outlives it, and tells a person what failed.
func (a *app) inStore(ctx context.Context, f storeFlags, id string, fn func(ctx context.Context, h *store.Handle) error) error {
	return a.withStores(ctx, f, "", func(s *stores) error {
		if !s.configured() {
			return configError("no stores configured: say where %q is, as in --store %s=sqlite:data.db, or name it in luastore.yaml", id, shownID(id))
		}
		err := s.with(ctx, kvUnit, id, func(ctx context.Context, h *store.Handle) error {
			return s.failure(id, fn(ctx, h))
		})
		if store.Kind(err) == "canceled" && ctx.Err() != nil {
			return &failure{exitScript, fmt.Errorf("stopped: %w", context.Cause(ctx))}
		}
		return err
	})
}

// shownID returns an id as part of a command that is shown.
func shownID(id string) string {
	if plainID.MatchString(id) {
		return id
	}
	return "id"
}

// absent says which key was not found, and leaves any other error as it is.
func absent(key string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return &failure{exitScript, fmt.Errorf("key not found: %q", key)}
	}
	return err
}

// print writes the result of a command. That nobody reads it any more is no failure.
func (a *app) print(ctx context.Context, text []byte) error {
	err := a.write(ctx, text)
	if closedOutput(err) {
		return nil
	}
	return err
}

// write writes a part of the output. A reader that takes nothing holds up no command whose ctx has ended.
func (a *app) write(ctx context.Context, text []byte) error {
	written := make(chan error, 1)
	go func() {
		_, err := a.stdout.Write(text)
		written <- err
	}()
	select {
	case err := <-written:
		return a.written(err)
	case <-ctx.Done():
		return &failure{exitScript, fmt.Errorf("stopped while writing the output: %w", context.Cause(ctx))}
	}
}
