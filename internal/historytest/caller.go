package historytest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// A caller calls the driver all the time, on keys of its own, and counts what comes of it: it keeps nothing, because memory must not
// grow.
type caller struct {
	probe
	lag  *lag
	turn int // counts calls

	mu      sync.Mutex
	known   bool // the servers have been away for a while
	during  int  // calls since then
	slow    int  // of those
	done    int  // of those, without an error
	overdue overdue
	wrong   error // an error that there should not be
}

// act makes one call.
func (c *caller) act() {
	ctx, cancel := context.WithTimeout(context.Background(), c.deadline)
	defer cancel()
	begun := time.Since(c.start)
	c.turn++
	var err error
	reads := c.turn%3 == 0
	switch c.turn % 3 {
	case 0:
		_, err = c.driver.Has(ctx, c.key)
	case 1:
		err = c.driver.Set(ctx, c.key, []byte{0}, 0)
	case 2:
		_, err = c.driver.(store.Counter).Incr(ctx, c.key+"n", 1, 0, 0)
	}
	returned := time.Since(c.start)
	c.probe.note(begun, returned, err)
	c.count(begun, returned, reads, err)
}

func (c *caller) count(begun, returned time.Duration, reads bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overdue.note(begun+c.deadline, returned, c.lag)
	if kind := store.Kind(err); !slices.Contains([]string{"", "timeout", "unavailable", "unknown_outcome"}, kind) || reads && kind == "unknown_outcome" {
		c.wrong = err
	}
	if c.known {
		c.during++
		if err == nil {
			c.done++
		}
		if returned-begun > boundtest.Scale(atOnce) {
			c.slow++
		}
	}
}
