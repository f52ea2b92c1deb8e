package store_test

import (
	"os"
	"strings"
	"testing"
)

// What README shows of embedding is what is compiled and run.
func TestREADME_ShowsTheExampleThatRuns(t *testing.T) {
	shown := between(t, "README.md", "```go\n", "```")
	runs := between(t, "example_test.go", "func Example_embedding() {\n", "\t// Output:")
	if flat(shown) != flat(runs) {
		t.Errorf("README shows\n%s\nand Example_embedding is\n%s", shown, runs)
	}
}

// between returns what stands in a file between two marks.
func between(t *testing.T, file, from, to string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), from)
	text, _, ended := strings.Cut(rest, to)
	if !found || !ended {
		t.Fatalf("%s has nothing between %q and %q", file, from, to)
	}
	return text
}

// flat returns code without its indentation.
func flat(code string) string {
	lines := strings.Split(strings.TrimSpace(code), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
