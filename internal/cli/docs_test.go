package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// tree returns every command that a person can call, the parents first.
func tree(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "completion" {
			all = append(all, tree(sub)...)
		}
	}
	return all
}

// commands returns every command but the root.
func commands() []*cobra.Command { return tree(new(app).root())[1:] }

const generated = "<!-- What follows is what the command prints: go test ./internal/cli -run Docs -update -->\n"

// docs/cli.md holds the help of every command, word for word.
func TestDocs_CLIIsTheHelpOfTheCommand(t *testing.T) {
	const page = "../../docs/cli.md"
	present, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(present), generated)
	if !found {
		t.Fatalf("%s does not hold the line %s", page, generated)
	}
	var want strings.Builder
	want.WriteString(head + generated)
	for _, cmd := range commands() {
		help := luastore(t, append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if help.code != 0 || help.stderr != "" {
			t.Errorf("%s --help: got %+v", cmd.CommandPath(), help)
		}
		fmt.Fprintf(&want, "\n## %s\n\n```\n%s\n```\n", cmd.CommandPath(), strings.TrimSpace(help.stdout))
	}
	if *update {
		if err := os.WriteFile(page, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want.String() != string(present) {
		t.Errorf("%s is not what the command prints: run go test ./internal/cli -run Docs -update, and look at what changes", page)
	}
}

// Every command has a help that tells what it does, how it ends, and how it is called.
func TestDocs_EveryHelpIsWhole(t *testing.T) {
	for _, cmd := range commands() {
		if cmd.HasSubCommands() || cmd.Name() == "version" || cmd.Name() == "help" {
			continue
		}
		if cmd.Short == "" || !strings.Contains(cmd.Long, "Exit codes:") || cmd.Example == "" {
			t.Errorf("%s: want a short and a long help with its exit codes, and examples", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if len(strings.TrimRight(line, "\n")) > 150 {
				t.Errorf("%s: a line of its help is too long for a terminal: %s", cmd.CommandPath(), line)
			}
		}
	}
}

// Every command, and every flag of each, is used by a script in testdata/script.
func TestScripts_UseEveryCommandAndFlag(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var calls []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(text), "\n-- ")
		for line := range strings.Lines(script) {
			if _, call, found := strings.Cut(line, "luastore "); found && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "std") {
				calls = append(calls, "luastore "+call)
			}
		}
	}
	for _, cmd := range commands() {
		ours := slices.DeleteFunc(slices.Clone(calls), func(call string) bool { return !strings.HasPrefix(call, cmd.CommandPath()) })
		if len(ours) == 0 {
			t.Errorf("no script calls %s", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			used := regexp.MustCompile(`\s--` + regexp.QuoteMeta(f.Name) + `(\s|=)`)
			short := regexp.MustCompile(`\s-` + regexp.QuoteMeta(f.Shorthand) + `(\s|=)`)
			if !slices.ContainsFunc(ours, func(call string) bool {
				return used.MatchString(call) || f.Shorthand != "" && short.MatchString(call)
			}) {
				t.Errorf("no script uses --%s of %s", f.Name, cmd.CommandPath())
			}
		})
	}
}
