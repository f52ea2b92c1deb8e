//go:build !race

package storelua_test

// The race detector would let everything take longer.
const (
	slowdown = 1
	runs     = 100 // of what wantCheap measures
)
