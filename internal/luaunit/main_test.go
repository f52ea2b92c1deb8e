package luaunit

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// head is the first line of every file that tests make: what they add begins in line 2.
const head = `local test, store = require("test"), require("store") `

// file returns a file, with the modules that pairs of name and content make.
func file(source string, modules ...string) *File {
	files := fstest.MapFS{}
	for i := 0; i < len(modules); i += 2 {
		files[modules[i]] = &fstest.MapFile{Data: []byte(modules[i+1])}
	}
	return &File{Name: "x_test.lua", Source: head + "\n" + source, Modules: []Folder{{Name: ".", Files: files}}}
}

// runAll runs the cases of a file and returns their results by name.
func runAll(t *testing.T, o *Options, f *File) map[string]Result {
	t.Helper()
	runner := New(o)
	cases, unusable := runner.Collect(t.Context(), f)
	if unusable != nil {
		t.Fatalf("the file cannot be run: %+v", *unusable)
	}
	results := map[string]Result{}
	for _, c := range cases {
		results[c.Name] = runner.Run(t.Context(), f, c)
	}
	return results
}

// runBody runs one case with a body that begins in line 3.
func runBody(t *testing.T, o *Options, body string) Result {
	t.Helper()
	return runAll(t, o, file("test.case('x', function()\n"+body+"\nend)"))["x"]
}

// collect returns why a file cannot be run.
func collect(ctx context.Context, t *testing.T, f *File) Result {
	t.Helper()
	cases, unusable := New(nil).Collect(ctx, f)
	if unusable == nil {
		t.Fatalf("the file has cases: %+v", cases)
	}
	return *unusable
}

// trimmed returns the lines of a text without the tabs that it is indented by here.
func trimmed(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimPrefix(text, "\n")) {
		b.WriteString(strings.TrimLeft(line, "\t"))
	}
	return b.String()
}
