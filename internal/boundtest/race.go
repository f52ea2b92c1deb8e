//go:build race

package boundtest

// Race says that this build has the race detector.
const Race = true

const (
	slowdown = 10
	runs     = 3 // of what Cheap measures
)
