package boundtest

import (
	"cmp"
	"testing"
)

// tries is how often AtMost measures: a bound that holds once tells a slow product from a busy machine.
const tries = 6

// AtMost fails the test if what measure finds is more than most, each time of several. It is for what takes long, or happens often, where
// the machine is busy with something else too; [Scale] is for the caller.
func AtMost[N cmp.Ordered](t testing.TB, what string, most N, measure func() N) {
	t.Helper()
	var found N
	for range tries {
		if found = measure(); found <= most || t.Failed() {
			return
		}
	}
	t.Errorf("%s: %v, want at most %v", what, found, most)
}
