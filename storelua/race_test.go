//go:build race

package storelua_test

// The race detector lets everything take longer.
const (
	slowdown = 10 // how much longer
	runs     = 3  // of what wantCheap measures
)
