package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store/internal/luaunit"
)

// A testPrinter shows people what became of tests.
type testPrinter struct {
	out     io.Writer
	colours palette
	verbose bool
	width   int // of the longest name of a file
}

func newTestPrinter(out io.Writer, colours palette, verbose bool, files []testFile) *testPrinter {
	p := &testPrinter{out: out, colours: colours, verbose: verbose}
	const most = 50
	for _, f := range files {
		p.width = max(p.width, min(len(f.name), most))
	}
	return p
}

// file shows a file, with its failed cases or all.
func (p *testPrinter) file(f fileResult) error {
	var b strings.Builder
	status := p.colours.green("ok  ")
	if f.failed+f.unusable > 0 {
		status = p.colours.red("FAIL")
	} else if f.cases() == f.skipped {
		status = p.colours.yellow("skip")
	}
	fmt.Fprintf(&b, "%s  %-*s  %s  %s\n", status, p.width, visible(f.name), f.summary(), tookText(f.took))
	for _, r := range f.results {
		if p.verbose || r.Status != luaunit.Passed && r.Status != luaunit.Skipped || r.Case.Name == "" {
			p.result(&b, r)
		}
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

// summary counts the cases of a file.
func (f fileResult) summary() string {
	switch {
	case f.unusable > 0:
		return "cannot be run"
	case len(f.results) == 1 && f.results[0].Case.Name == "":
		return "skipped"
	}
	text := plural(f.cases(), "case")
	if f.failed > 0 {
		text += fmt.Sprintf(", %d failed", f.failed)
	}
	if f.skipped > 0 {
		text += fmt.Sprintf(", %d skipped", f.skipped)
	}
	return text
}

// result shows one case, and the top level of a file without a line of its own: that is the one above.
func (p *testPrinter) result(b *strings.Builder, r luaunit.Result) {
	indent := "  "
	if r.Case.Name != "" {
		fmt.Fprintf(b, "  %s  %s  %s\n", p.status(r.Status), visible(r.Case.Name), tookText(r.Took))
		indent = "        "
	}
	lines := func(text string) {
		for line := range strings.Lines(visible(text)) {
			b.WriteString(strings.TrimRight(indent+line, "\n") + "\n")
		}
	}
	lines(r.Message)
	if r.Missing != "" {
		lines(fmt.Sprintf("(it looks for what scripts do not have; --allow %s gives it to tests that you trust)", r.Missing))
	}
	for line := range strings.Lines(visible(r.Diff)) {
		b.WriteString(indent + p.diffLine(strings.TrimSuffix(line, "\n")) + "\n")
	}
	lines(r.Traceback)
	if r.Output != "" {
		lines("printed:")
		indent += "  "
		lines(p.printed(r.Output))
	}
}

// maxPrinted is how many lines are shown of what a case has printed, unless all were asked for.
const maxPrinted = 50

// printed returns what is shown of what a case has printed: the end is nearest to what failed.
func (p *testPrinter) printed(text string) string {
	lines := slices.Collect(strings.Lines(text))
	rest := len(lines) - maxPrinted
	if p.verbose || rest <= 0 {
		return text
	}
	return fmt.Sprintf("... %s before these; -v shows all\n%s", plural(rest, "line"), strings.Join(lines[rest:], ""))
}

// status names how a case ended.
func (p *testPrinter) status(s luaunit.Status) string {
	switch s {
	case luaunit.Passed:
		return p.colours.green("ok  ")
	case luaunit.Skipped:
		return p.colours.yellow("skip")
	default:
		return p.colours.red("FAIL")
	}
}

// diffLine colours a line of a diff.
func (p *testPrinter) diffLine(line string) string {
	switch {
	case strings.HasPrefix(line, "-"):
		return p.colours.red(line)
	case strings.HasPrefix(line, "+"):
		return p.colours.green(line)
	}
	return line
}

// total shows the last line.
func (p *testPrinter) total(n tally, files int, took time.Duration) error {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{n.failed, "failed"}, {n.passed, "passed"}, {n.skipped, "skipped"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	text := fmt.Sprintf("%s in %s", plural(n.cases(), "case"), plural(files, "file"))
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	if n.unusable > 0 {
		text += fmt.Sprintf("; %s cannot be run", plural(n.unusable, "file"))
	}
	text = p.colours.bold(text)
	_, err := fmt.Fprintf(p.out, "\n%s  %s\n", text, tookText(took))
	return err
}

// plural returns a number of things in words.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// tookText returns a duration as people compare it.
func tookText(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }
