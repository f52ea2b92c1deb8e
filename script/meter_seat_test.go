package script

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// seated reports whether a look will find the unit of a seat.
func seated(s *seat) bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return slices.Contains(s.w.seats, s)
}

// looked reports whether the heap was looked at under a unit.
func looked(m *meter) bool {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return m.known
}

// last is the turn of the look that came, or is to come, last.
func (w *meters) last() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.turn
}

func TestSeat_UnitsAreLookedAt_AndNoLookComesWithoutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &seat{w: &meters{limit: DefaultMemory}}
		for range 3 {
			m := s.begin(func(error) {}, time.Now())
			time.Sleep(2 * lookSeldom)
			if !looked(m) {
				t.Fatal("nobody looked at the heap under the unit")
			}
			s.end()
			time.Sleep(2 * lookSeldom)
			last := s.w.last()
			time.Sleep(time.Minute)
			if seated(s) || s.w.last() != last {
				t.Fatal("looks come, and no unit runs")
			}
		}
	})
}

func TestSeat_TheNextUnitIsLookedAt_ThoughTheOneBeforeWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &seat{w: &meters{limit: DefaultMemory}}
		for range 3 {
			m := s.begin(func(error) {}, time.Now())
			time.Sleep(2 * lookSeldom)
			if !looked(m) {
				t.Fatal("nobody looked at the heap under the unit")
			}
			s.end()
		}
		time.Sleep(2 * lookSeldom)
	})
}

// A test may end before the look does that a unit in it has waiting, on the clock of the test.
func TestSeat_AfterATestWithAClockOfItsOwn(t *testing.T) {
	s := &seat{w: &meters{limit: DefaultMemory}}
	synctest.Test(t, func(*testing.T) {
		s.begin(func(error) {}, time.Now())
		s.end()
	})
	m := s.begin(func(error) {}, time.Now())
	defer s.end()
	for end := time.Now().Add(10 * time.Second); !looked(m); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("nobody looked at the heap under the unit")
		}
	}
}

// Units begin while a look takes out the seats that have none.
func TestSeat_UnitsThatBeginDuringALook(t *testing.T) {
	w := &meters{limit: DefaultMemory}
	stop := make(chan struct{})
	var looks, units sync.WaitGroup
	looks.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.look(w.last())
			}
		}
	})
	for range 2 {
		s := &seat{w: w}
		units.Go(func() {
			for range 100_000 {
				s.begin(func(error) {}, time.Now())
				if !seated(s) {
					t.Error("no look will find a unit")
					return
				}
				s.end()
			}
		})
	}
	units.Wait()
	close(stop)
	looks.Wait()
}
