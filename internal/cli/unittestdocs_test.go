package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/luastore/store/internal/luaunit"
)

// A block of docs/testing.md is a file, "```lua cart_test.lua", or a call of the command with what it prints.
var block = regexp.MustCompile("(?ms)^```(\\w+)(?: (\\S+))?\n(.*?)^```$")

// testingPage returns docs/testing.md.
func testingPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// Whoever copies the files of the page one after another, and runs what it tells to run, sees what it shows. Tests whose failures are
// not shown pass.
func TestTestingPage_ShowsWhatAPersonSees(t *testing.T) {
	page := testingPage(t)
	folder(t)
	files, calls := 0, 0
	for _, m := range block.FindAllStringSubmatch(page, -1) {
		language, name, text := m[1], m[2], m[3]
		call, output, _ := strings.Cut(text, "\n")
		switch args, isCall := strings.CutPrefix(call, "$ luastore "); {
		case language == "lua":
			files++
			writeFile(t, name, text)
			fails := strings.Contains(page, "\n$ luastore test "+name+"\nFAIL")
			if strings.HasSuffix(name, "_test.lua") && !fails {
				luastore(t, "test", name).expect(t, 0)
			}
		case isCall:
			calls++
			if got := luastore(t, words(args)...); untimed(got.stdout) != output || got.stderr != "" {
				t.Errorf("%s: got %d %s\n%s\nwant\n%s", call, got.code, got.stderr, untimed(got.stdout), output)
			}
		}
	}
	if files < 15 || calls < 4 {
		t.Errorf("only %d files and %d calls found", files, calls)
	}
}

// writeFile writes a file below the current folder.
func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// words splits a command line as a shell does, as far as the page needs it.
func words(line string) []string {
	all := regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1)
	for i := range all {
		all[i] = strings.Trim(all[i], `"`)
	}
	return all
}

// Each function of the module has a heading, with an example that uses it, and a line in the table.
func TestTestingPage_TellsOfEveryFunction(t *testing.T) {
	page := testingPage(t)
	var exist, told []string
	for _, m := range regexp.MustCompile(`(?m)^function (test\.\w+)\(`).FindAllStringSubmatch(luaunit.Annotations(), -1) {
		exist = append(exist, m[1])
	}
	for section := range strings.SplitSeq(page, "\n### ") {
		name, text, _ := strings.Cut(section, "\n")
		if !strings.HasPrefix(name, "test.") {
			continue
		}
		told = append(told, name)
		if !regexp.MustCompile("(?ms)^```lua .*\\b" + regexp.QuoteMeta(name) + `\(`).MatchString(text) {
			t.Errorf("%s has no example", name)
		}
		if !strings.Contains(page, "](#"+strings.ReplaceAll(name, ".", "")+")") {
			t.Errorf("nothing links to %s", name)
		}
	}
	slices.Sort(exist)
	slices.Sort(told)
	if !slices.Equal(exist, told) {
		t.Errorf("there are %v, told of %v", exist, told)
	}
}
