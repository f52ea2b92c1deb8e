package storetest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/storetest"
)

// faultToRun names the fault that a child of this test binary runs the suite on.
const faultToRun = "STORETEST_FAULT"

// TestFault is the suite on a wrong driver: it fails in the children that TestRun_EveryFault_IsCaughtByItsRule starts, and runs
// nowhere else.
func TestFault(t *testing.T) {
	name := os.Getenv(faultToRun)
	if name == "" {
		return
	}
	i := slices.IndexFunc(faults, func(f fault) bool { return f.name == name })
	h := opening(func() store.Driver { return faults[i].driver(newPlain()) })
	h.Persistent = slices.Contains(persistent, name)
	storetest.Run(t, h)
}

// TestRun_EveryFault_IsCaughtByItsRule runs the suite on each wrong driver, in a child process because it must fail there, and
// prints which rules caught it. A child runs the group of the rule and the model, which may catch the fault too.
func TestRun_EveryFault_IsCaughtByItsRule(t *testing.T) {
	var mu sync.Mutex
	table := make([]string, len(faults))
	t.Run("fault", func(t *testing.T) {
		for i, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				failed := runFault(t, f)
				if !slices.Contains(failed, f.caught) {
					t.Errorf("not caught by %s, but by %q", f.caught, failed)
				}
				model := ""
				if slices.ContainsFunc(failed, func(name string) bool { return strings.HasPrefix(name, "Model/") }) {
					model = ", the model too"
				}
				mu.Lock()
				defer mu.Unlock()
				table[i] = fmt.Sprintf("%-40s %s%s", f.name, f.caught, model)
			})
		}
	})
	t.Logf("fault, and the rule that caught it\n%s", strings.Join(table, "\n"))
}

// runFault runs the suite on a wrong driver in a child process and returns the rules that failed.
func runFault(t *testing.T, f fault) []string {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run="+pattern(f.caught), "-test.timeout=2m", "-rapid.nofailfile", "-rapid.shrinktime=0s")
	child.Env = append(os.Environ(), faultToRun+"="+f.name)
	out, err := child.CombinedOutput()
	if err == nil {
		t.Fatal("the suite passes on a driver that is wrong")
	}
	if bytes.Contains(out, []byte("panic: ")) {
		t.Errorf("the suite panics rather than fails:\n%s", out)
	}
	var failed []string
	for _, m := range failedRule.FindAllSubmatch(out, -1) {
		failed = append(failed, string(m[1]))
	}
	return failed
}

// pattern selects the group of a rule, and the model of a driver, which may catch the fault too.
func pattern(rule string) string {
	parts := strings.Split(path.Dir(rule), "/")
	if len(parts) == 1 {
		return "^TestFault$/^(" + parts[0] + "|Model)$"
	}
	return "^TestFault$/^" + strings.Join(parts, "$/^") + "$"
}

// failedRule finds the name of a rule in the output of a test binary: below its group, which may be below a view.
var failedRule = regexp.MustCompile(`--- FAIL: TestFault/((?:Handle/|Fallback/)?\w+/\w+) \(`)
