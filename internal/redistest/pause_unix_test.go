//go:build unix && !race

package redistest

import "testing"

func TestSharedSentinel_AfterPauses_IsWell(t *testing.T) {
	s := SharedSentinel(t)
	replica := s.Servers[(s.Primary(t)+1)%dataServers]
	s.Sentinels[1].Pause(t)
	replica.Pause(t)
	if again := SharedSentinel(t); again != s || !s.Sentinels[1].Running() || !replica.Running() {
		t.Error("what was paused does not run for the next test")
	}
}
