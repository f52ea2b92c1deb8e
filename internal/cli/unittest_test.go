package cli

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store/internal/luaunit"
)

var times = regexp.MustCompile(`\d+\.\d\ds`)

// untimed returns what a command printed with every time as 0.00s.
func untimed(text string) string { return times.ReplaceAllString(text, "0.00s") }

// expect fails unless a call ended with a code and printed each of some texts.
func (o outcome) expect(t *testing.T, code int, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("%q is missing in %+v", text, o)
		}
	}
	if o.code != code {
		t.Errorf("want exit code %d, got %+v", code, o)
	}
}

// TestTest_Report looks at the whole of what a person reads.
func TestTest_Report(t *testing.T) {
	folder(t, "cart_test.lua", `local test = require("test")
test.case("passes", function() print("nobody reads this") end)
test.case("compares", function()
    print("two\n  lines")
    test.equal(
        { name = "Ada Lovelace", roles = { "reader" }, address = { city = "London" } },
        { name = "Ada Lovelace", roles = { "reader", "editor" }, address = { city = "Paris" } }, "the user")
end)
test.case("raises", function()
    local n = require("lib.cart").raise()
    return n
end)
test.case("sends nothing to a terminal", function() error("\27[2J") end)
test.case("is skipped", function() test.skip("no network") end)
`,
		"lib/cart.lua", `return { raise = function() error("boom") end }`,
		"other_test.lua", `require("test").skip("all of it, for now")`,
		"wrong_test.lua", `x = = 1`)
	got := luastore(t, "test")
	want := `FAIL  cart_test.lua   5 cases, 3 failed, 1 skipped  0.00s
  FAIL  compares  0.00s
        cart_test.lua:5: the user: at .roles[2]: got nil, want "editor"
        --- want
        +++ got
         {
        -  address = { city = "Paris" },
        +  address = { city = "London" },
           name = "Ada Lovelace",
        -  roles = { "reader", "editor" },
        +  roles = { "reader" },
         }
        printed:
          two
            lines
  FAIL  raises  0.00s
        lib/cart.lua:1: boom
        called from
          cart_test.lua:10: in function <cart_test.lua:9>
  FAIL  sends nothing to a terminal  0.00s
        cart_test.lua:13: \x1b[2J
skip  other_test.lua  skipped  0.00s
  other_test.lua:1: all of it, for now
FAIL  wrong_test.lua  cannot be run  0.00s
  wrong_test.lua:1: syntax error near "="

6 cases in 3 files: 3 failed, 1 passed, 2 skipped; 1 file cannot be run  0.00s
`
	if out := untimed(got.stdout); got.code != 1 || got.stderr != "" || out != want {
		t.Errorf("got %d %s\n%s\nwant\n%s", got.code, got.stderr, out, want)
	}
}

func TestTest_ReportHasColours_WhereItsStreamTakesThem(t *testing.T) {
	for on, want := range map[bool]string{
		true: "\x1b[31mFAIL\x1b[0m  x_test.lua  3 cases, 1 failed, 1 skipped  0.00s\n" +
			"  \x1b[32mok  \x1b[0m  a  0.00s\n" +
			"  \x1b[31mFAIL\x1b[0m  b  0.00s\n        x_test.lua:1: differs\n        \x1b[31m-1\x1b[0m\n        \x1b[32m+2\x1b[0m\n         3\n" +
			"  \x1b[33mskip\x1b[0m  c  0.00s\n        later\n",
		false: "FAIL  x_test.lua  3 cases, 1 failed, 1 skipped  0.00s\n" +
			"  ok    a  0.00s\n" +
			"  FAIL  b  0.00s\n        x_test.lua:1: differs\n        -1\n        +2\n         3\n" +
			"  skip  c  0.00s\n        later\n",
	} {
		var b bytes.Buffer
		f := fileResult{name: "x_test.lua", results: []luaunit.Result{
			{Case: luaunit.Case{Name: "a"}, Status: luaunit.Passed},
			{Case: luaunit.Case{Name: "b"}, Status: luaunit.Failed, Message: "x_test.lua:1: differs", Diff: "-1\n+2\n 3\n"},
			{Case: luaunit.Case{Name: "c"}, Status: luaunit.Skipped, Message: "later"},
		}, tally: tally{passed: 1, failed: 1, skipped: 1}}
		if err := newTestPrinter(&b, palette{on}, true, nil).file(f); err != nil || b.String() != want {
			t.Errorf("got %q, %v\nwant %q", &b, err, want)
		}
	}
}

func TestTest_InASubfolder_FindsModulesUpToTheCurrentOne(t *testing.T) {
	const uses = `local test = require("test")
		test.case("finds", function() test.equal({ require("near"), require("lib.far") }, { "near", "far" }) end)`
	folder(t,
		"a/b/x_test.lua", uses, "a/b/near.lua", `return "near"`, "near.lua", `return "far away"`, "lib/far.lua", `return "far"`,
		"c/y_test.lua", uses, "lib/raises.lua", `error("boom")`,
		"a/z_test.lua", `require("lib.raises")`, "a/missing_test.lua", `require("missing")`)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"a/b", "a/b/x_test.lua", "./a/b/x_test.lua"} {
		luastore(t, "test", path).expect(t, 0)
		luastore(t, "test", filepath.Join(dir, path)).expect(t, 0)
	}
	luastore(t, "test", "c").expect(t, 1, `got { "far away", "far" }, want { "near", "far" }`)
	luastore(t, "test", "a/z_test.lua").expect(t, 1, "  lib/raises.lua:1: boom\n  called from\n    a/z_test.lua:1: in main chunk\n")
	luastore(t, "test", "a/missing_test.lua").expect(t, 1,
		`a/missing_test.lua:1: module "missing" not found: no file a/missing.lua, a/missing/init.lua, missing.lua, missing/init.lua`)
	// Elsewhere, the folder that is named is the highest.
	t.Chdir("c")
	luastore(t, "test", "..").expect(t, 1, "ok    ../a/b/x_test.lua ")
	luastore(t, "test", "../a/b/x_test.lua").expect(t, 1, "no file ../a/b/lib/far.lua, ../a/b/lib/far/init.lua\n")
}

// An interrupt in the middle of a case ends the run and leaves the report of the last one.
func TestTest_WhenInterrupted_EndsAndSaysHowManyRan(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	folder(t, "report.xml", "old", "x_test.lua", `local test = require("test")
		test.case("first", function() end)
		test.case("never ends", function()
			io.open("running", "w"):close()
			while true do pcall(function() while true do end end) end
		end)
		test.case("never runs", error)`, "y_test.lua", `error("never runs")`)
	ctx, cancel := context.WithCancelCause(t.Context())
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := os.Stat("running"); err == nil {
				cancel(errors.New("interrupt signal received"))
				return
			}
		}
	}()
	var stdout, stderr bytes.Buffer
	code := Main(ctx, []string{"test", "--allow", "io", "--timeout", "1h", "--junit", "report.xml"}, nil, &stdout, &stderr, nil)
	<-waiting
	if code != 1 || stderr.String() != "luastore: tests stopped: interrupt signal received; 1 case had run\n" {
		t.Errorf("got %d %s", code, &stderr)
	}
	if got := untimed(stdout.String()); got != "ok    x_test.lua  1 case  0.00s\n" {
		t.Errorf("got %s", got)
	}
	if report, err := os.ReadFile("report.xml"); err != nil || string(report) != "old" {
		t.Errorf("got %s, %v", report, err)
	}
}

func TestTest_WhenInterruptedBeforeItBegins_RunsNothing(t *testing.T) {
	folder(t, "x_test.lua", `require("test").case("x", error)`)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt signal received"))
	got := call{ctx: ctx}.run(t, "test")
	const told = "luastore: stopped while looking for tests: interrupt signal received\n"
	if got.code != 1 || got.stdout != "" || got.stderr != told {
		t.Errorf("got %+v", got)
	}
}

func TestTest_WhenTheReportCannotBeWritten_Fails(t *testing.T) {
	folder(t, "x_test.lua", `local test = require("test")
		test.case("removes the folder of the report", function() test.ok(os.remove("out")) end)`)
	if err := os.Mkdir("out", 0o700); err != nil {
		t.Fatal(err)
	}
	got := luastore(t, "test", "--allow", "os", "--junit", "out/report.xml")
	got.expect(t, 1, "1 case in 1 file: 1 passed")
	if !strings.HasPrefix(got.stderr, "luastore: write the report out/report.xml: ") {
		t.Errorf("got %+v", got)
	}
}

func TestTest_WhenTheOutputFails_SaysSoUnlessItsReaderHasGone(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	folder(t, "x_test.lua", `require("test").case("x", function() end)`)
	full := errors.New("no space left on device")
	for err, want := range map[error]string{io.ErrClosedPipe: "", full: "luastore: no space left on device\n"} {
		var stderr bytes.Buffer
		out := writerFunc(func([]byte) (int, error) { return 0, err })
		if code := Main(t.Context(), []string{"test"}, nil, out, &stderr, nil); code != 1 || stderr.String() != want {
			t.Errorf("%v: got %d %s", err, code, &stderr)
		}
	}
}

// Whoever reads the output may have stopped to, as a pager does.
func TestTest_WhoseOutputNobodyTakes_EndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	folder(t, "x_test.lua", `require("test").case("x", function() end)`)
	for _, args := range [][]string{{"test"}, {"test", "--junit", "-"}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		stuck := stuckWriter{make(chan struct{}), make(chan struct{})}
		var stderr bytes.Buffer
		ended := make(chan int)
		go func() { ended <- Main(ctx, args, nil, stuck, &stderr, nil) }()
		<-stuck.began
		cancel(errors.New("interrupt signal received"))
		if code := <-ended; code != 1 || !strings.HasSuffix(stderr.String(), "luastore: tests stopped: interrupt signal received; 1 case had run\n") {
			t.Errorf("%v: got %d %s", args, code, &stderr)
		}
		close(stuck.release)
	}
}

func TestTest_OfWhatAFailedCasePrints_ShowsTheEnd(t *testing.T) {
	folder(t, "x_test.lua", `require("test").case("x", function() for i = 1, 1000 do print("line", i) end error("boom") end)`)
	got := luastore(t, "test")
	got.expect(t, 1, "        printed:\n          ... 950 lines before these; -v shows all\n          line\t951\n", "          line\t1000\n")
	if lines := strings.Count(got.stdout, "line\t"); lines != maxPrinted {
		t.Errorf("%d lines are shown, want %d", lines, maxPrinted)
	}
	luastore(t, "test", "-v").expect(t, 1, "        printed:\n          line\t1\n", "          line\t1000\n")
}

// A suite is what readers of the format look at.
type suite struct {
	Name     string `xml:"name,attr"`
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Skipped  int    `xml:"skipped,attr"`
	Time     string `xml:"time,attr"`
	Cases    []struct {
		Name      string   `xml:"name,attr"`
		ClassName string   `xml:"classname,attr"`
		Time      string   `xml:"time,attr"`
		Failure   *problem `xml:"failure"`
		Error     *problem `xml:"error"`
		Skipped   *problem `xml:"skipped"`
		Output    string   `xml:"system-out"`
	} `xml:"testcase"`
}

type problem struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// count returns how many of the cases of a suite failed, were in error and were skipped, and what is wrong with their times.
func (s suite) count() (counts string, faults []string) {
	var failed, broken, skipped int
	for _, c := range s.Cases {
		if c.Failure != nil {
			failed++
		}
		if c.Error != nil {
			broken++
		}
		if c.Skipped != nil {
			skipped++
		}
		if _, err := strconv.ParseFloat(c.Time, 64); err != nil || c.Name == "" || c.ClassName == "" {
			faults = append(faults, fmt.Sprintf("%+v: %v", c, err))
		}
	}
	return fmt.Sprint(len(s.Cases), failed, broken, skipped), faults
}

func TestTest_JUnit_IsValidWhateverScriptsPrint(t *testing.T) {
	folder(t, "tests/x_test.lua", `local test = require("test")
		test.case("passes & <is> \"fine\"", function() print("]]> \0\1\27[0m \255 \239\191\191 ü 𝄞") end)
		test.case("fails", function() test.equal({ ("\0"):rep(80) }, { "]]>" }) end)
		test.case("raises", function() error("\0 <&>") end)
		test.case("skips", function() test.skip("later") end)`, "y_test.lua", `error("\255")`)
	got := luastore(t, "test", "--junit", "report.xml")
	b, err := os.ReadFile("report.xml")
	if err != nil {
		t.Fatalf("%v, %+v", err, got)
	}
	var report struct {
		XMLName xml.Name `xml:"testsuites"`
		suite
		Suites []suite `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b, &report); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	for _, s := range report.Suites {
		counts, faults := s.count()
		if told := fmt.Sprint(s.Tests, s.Failures, s.Errors, s.Skipped); counts != told || len(faults) > 0 {
			t.Errorf("%s: counted %s, told %s, %v", s.Name, counts, told, faults)
		}
		report.Cases = append(report.Cases, s.Cases...)
	}
	counts, _ := report.count()
	if told := fmt.Sprint(report.Tests, report.Failures, report.Errors, report.Skipped); counts != told || told != "5 1 2 1" {
		t.Errorf("counted %s in all, told %s", counts, told)
	}
	x := report.Suites[0]
	if x.Name != "tests/x_test.lua" || x.Cases[0].ClassName != "tests.x_test" || x.Cases[0].Name != `passes & <is> "fine"` {
		t.Errorf("got %+v", x)
	}
	if got, want := x.Cases[0].Output, "]]> \uFFFD\uFFFD\uFFFD[0m \uFFFD \uFFFD ü 𝄞\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	const message = "tests/x_test.lua:3: at [1]: got a string of 80 bytes, want one of 3 bytes that differs from byte 1 on"
	if f := x.Cases[1].Failure; f.Message != message || !strings.HasPrefix(f.Text, message+"\n--- want\n+++ got\n") {
		t.Errorf("got %+v", f)
	}
}

// What the help shows works: the test that it holds, and each of its examples.
func TestTest_Help_WorksAsItSays(t *testing.T) {
	got := luastore(t, "test", "--help")
	_, snippet, _ := strings.Cut(got.stdout, "holds cases:\n\n")
	snippet, _, _ = strings.Cut(snippet, "\n\nThe module test")
	folder(t, "tests/cart_test.lua", snippet, "staging.yaml", "stores:\n  carts:\n    url: \"mem:\"\n", "scripts/lib/cart.lua", "",
		"lib/cart.lua", `local s = require("store").get("carts")
			return {
				add = function(key, item, n) assert(s:set(key, { [item] = n })) end,
				items = function(key) return s:get(key) end,
			}`)
	_, examples, _ := strings.Cut(got.stdout, "Examples:\n")
	examples, _, _ = strings.Cut(examples, "\n\n")
	for line := range strings.Lines(examples) {
		args, _ := strings.CutPrefix(strings.TrimSpace(line), "luastore ")
		if got := luastore(t, words(args)...); got.code != 0 || !strings.Contains(got.stdout, "1 case in 1 file: 1 passed") {
			t.Errorf("%s: got %+v", line, got)
		}
	}
	for _, want := range []string{"Exit codes:", "luastore test --config staging.yaml", "--junit file", "--run text", "-v, --verbose"} {
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("%q is missing in %+v", want, got)
		}
	}
}
