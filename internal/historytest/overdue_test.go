package historytest

import (
	"testing"
	"time"

	"github.com/luastore/store/internal/boundtest"
)

// late returns what is found of n calls that come a time after their deadline, of which the process could not run for another.
func late(n int, after, busy time.Duration) findings {
	l := &lag{spans: []span{{from: time.Second, to: time.Second + boundtest.Scale(busy)}}}
	var o overdue
	for range n {
		o.note(time.Second, time.Second+boundtest.Scale(after), l)
	}
	found := findings{}
	o.judge(found)
	return found
}

func TestOverdue_Calls_AreBlamedForTheirOwnTimeOnly(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name        string
		calls       int
		after, busy time.Duration
		blamed      bool
	}{
		{"in time", 100, 40 * ms, 0, false},
		{"many too late", 100, 60 * ms, 0, true},
		{"one too late", 1, 60 * ms, 0, false},
		{"one much too late", 1, 600 * ms, 0, true},
		{"many too late on a busy machine", 100, 100 * ms, 80 * ms, false},
		{"many too late, even for a busy machine", 100, 200 * ms, 80 * ms, true},
	} {
		if found := late(c.calls, c.after, c.busy); len(found) > 0 != c.blamed {
			t.Errorf("%s: %v", c.name, found)
		}
	}
}
