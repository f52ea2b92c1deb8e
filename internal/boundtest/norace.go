//go:build !race

package boundtest

// Race says that this build has the race detector.
const Race = false

const (
	slowdown = 1
	runs     = 100 // of what Cheap measures
)
