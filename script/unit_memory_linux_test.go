//go:build !race

package script_test

import "testing"

// TestUnits_AMillion_LeaveNoMemory: the process is as large after a million units as after a hundred thousand.
func TestUnits_AMillion_LeaveNoMemory(t *testing.T) {
	unit := pooled(t)
	for range 100_000 {
		unit()
	}
	before := resetPeak(t)
	for range 900_000 {
		unit()
	}
	if grown := peak(t) - before; grown > 64<<20 {
		t.Errorf("the process grew by %d KB", grown>>10)
	} else {
		t.Logf("the process grew by %d KB", grown>>10)
	}
}
