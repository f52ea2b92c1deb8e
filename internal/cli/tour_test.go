//go:build unix

package cli

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// A step of a tour is one command and what a person sees of it.
type step struct{ command, shows string }

// tour returns the steps of the console blocks of a page. A line "$ command" may go on in lines that begin with "> ".
func tour(page string) (steps []step) {
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(block[1]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: command})
			} else if more, ok := strings.CutPrefix(line, "> "); ok {
				steps[len(steps)-1].command += more
			} else {
				steps[len(steps)-1].shows += line
			}
		}
	}
	return steps
}

// matchesShown reports whether text is what a page shows, where … stands for anything within a line.
func matchesShown(shown, text string) bool {
	return matches(strings.ReplaceAll(regexp.QuoteMeta(shown), "…", `[^\n]*`), text)
}

// The tour of README shows what a person sees who follows it, in one folder from the first command to the last.
func TestREADME_TourShowsWhatAPersonSees(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := tour(string(page))
	if len(steps) < 8 {
		t.Fatalf("README has a tour of %d commands", len(steps))
	}
	folder := t.TempDir()
	for _, s := range steps {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", s.command)
		cmd.Dir = folder
		out, _ := cmd.CombinedOutput()
		if !matchesShown(s.shows, string(out)) {
			t.Errorf("$ %sREADME shows:\n%s\nbut a person sees:\n%s", s.command, s.shows, out)
		}
	}
}
