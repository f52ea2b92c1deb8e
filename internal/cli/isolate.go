package cli

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// defaultMemory is what --isolate leaves a script without --memory.
const defaultMemory size = 512 << 20

// limits are what the kernel holds an isolated process to.
type limits struct {
	Memory    size          // beyond what the process takes before it runs the script
	Processor time.Duration // of all its threads together, in whole seconds; 0: as much as it likes
}

// limits returns those that the flags ask for. A script that computes until its timeout has a second for everything else, such as
// the collection of garbage on other processors.
func (o runOptions) limits() limits {
	l := limits{Memory: o.heap()}
	if o.timeout > 0 && o.timeout < math.MaxInt64-2*time.Second {
		l.Processor = (o.timeout + time.Second - 1).Truncate(time.Second) + time.Second
	}
	return l
}

// heap returns by how much the heap may grow, 0 for no bound. In an isolated process that bound is met first where it
// can be, and shows where in the script that was.
func (o runOptions) heap() size {
	if o.isolate {
		return cmp.Or(o.memory, defaultMemory)
	}
	return o.memory
}

func (l limits) outOfMemory() string {
	return fmt.Sprintf("it needed more than %v of memory", &l.Memory)
}

func (l limits) outOfTime() string {
	return fmt.Sprintf("it used more than %v of processor time", l.Processor)
}
