package cli

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store/internal/luaunit"
)

// The elements of a report, as JUnit's task for Ant made them and continuous integration reads them. Times are in seconds. Characters
// that XML cannot hold are replaced when the report is written.
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		junitCounts
		Suites []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name string `xml:"name,attr"`
		junitCounts
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCounts struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		File      string        `xml:"file,attr"`
		Line      int           `xml:"line,attr,omitempty"`
		Time      string        `xml:"time,attr"`
		Failure   *junitProblem `xml:"failure"`
		Error     *junitProblem `xml:"error"`
		Skipped   *junitProblem `xml:"skipped"`
		Output    string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// A junit is where the report of a run goes.
type junit struct {
	out  io.Writer // nil where it goes to a file, or nowhere
	name string    // of the file, which is replaced by a whole report or not at all; "" for none
}

// newJUnit takes what --junit asks for. A file that cannot be written is told before the tests run.
func newJUnit(name string, stdout io.Writer) (junit, error) {
	switch name {
	case "":
		return junit{}, nil
	case "-":
		return junit{out: stdout}, nil
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return junit{}, usageError("--junit %s: want a file, or - for standard output", name)
	case err == nil:
		name, err = filepath.EvalSymlinks(name) // what a link leads to is replaced, not the link
	case errors.Is(err, fs.ErrNotExist):
		_, err = os.Stat(filepath.Dir(name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return junit{}, usageError("--junit %s: its folder does not exist", name)
	}
	if err != nil {
		return junit{}, usageError("--junit %s: %w", name, err)
	}
	return junit{name: name}, nil
}

// write writes the report of the files that were run.
func (j junit) write(files []fileResult, start time.Time) error {
	if j.out == nil && j.name == "" {
		return nil
	}
	b, err := xml.MarshalIndent(junitReport(files, start), "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	text := xml.Header + string(b) + "\n"
	if j.out != nil {
		_, err := io.WriteString(j.out, text)
		return err
	}
	if err := replaceFile(j.name, []byte(text)); err != nil {
		return fmt.Errorf("write the report %s: %w", j.name, err)
	}
	return nil
}

// junitReport returns the report of the files that were run.
func junitReport(files []fileResult, start time.Time) junitSuites {
	report := junitSuites{Name: "luastore test"}
	var took time.Duration
	for _, f := range files {
		suite := junitSuite{Name: f.name, Timestamp: start.UTC().Format("2006-01-02T15:04:05")}
		start = start.Add(f.took)
		took += f.took
		suite.Time = junitTime(f.took)
		for _, r := range f.results {
			c := newJUnitCase(f.name, r)
			suite.Cases = append(suite.Cases, c)
			suite.add(c)
			report.add(c)
		}
		report.Suites = append(report.Suites, suite)
	}
	report.Time = junitTime(took)
	return report
}

// add counts a case.
func (n *junitCounts) add(c junitCase) {
	n.Tests++
	switch {
	case c.Failure != nil:
		n.Failures++
	case c.Error != nil:
		n.Errors++
	case c.Skipped != nil:
		n.Skipped++
	}
}

// newJUnitCase returns the element of a case.
func newJUnitCase(file string, r luaunit.Result) junitCase {
	c := junitCase{
		Name:      r.Case.Name,
		ClassName: strings.ReplaceAll(strings.TrimSuffix(file, ".lua"), "/", "."),
		File:      file, Line: r.Case.Line, Time: junitTime(r.Took), Output: r.Output,
	}
	if c.Name == "" {
		c.Name = "(top level)"
	}
	details := slices.DeleteFunc([]string{r.Message, strings.TrimSuffix(r.Diff, "\n"), r.Traceback}, func(s string) bool { return s == "" })
	problem := &junitProblem{Message: r.Message, Text: strings.Join(details, "\n")}
	switch r.Status {
	case luaunit.Failed:
		problem.Type = "assertion"
		c.Failure = problem
	case luaunit.Broken:
		problem.Type = "error"
		c.Error = problem
	case luaunit.Skipped:
		c.Skipped = &junitProblem{Message: r.Message}
	}
	return c
}

// junitTime returns a duration in seconds.
func junitTime(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
