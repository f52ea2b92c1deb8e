package pebblestore

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// syncInterval is how long after it was acknowledged a write without sync reaches the disk at the latest.
const syncInterval = time.Second

// A syncer brings writes without sync to the disk. It is a timer set by the first write after it went off.
type syncer struct {
	d *Driver

	mu      sync.Mutex
	timer   *time.Timer
	set     bool
	stopped bool
	running sync.WaitGroup
}

// wrote makes sure that what was written is on disk soon.
func (s *syncer) wrote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set || s.stopped {
		return
	}
	s.set = true
	if s.timer == nil {
		s.timer = time.AfterFunc(syncInterval, s.run)
	} else {
		s.timer.Reset(syncInterval)
	}
}

func (s *syncer) run() {
	s.mu.Lock()
	s.set = false
	stopped := s.stopped
	if !stopped {
		s.running.Add(1)
	}
	s.mu.Unlock()
	if !stopped {
		defer s.running.Done()
		_ = s.d.db.LogData(nil, pebble.Sync) // the fence sees what fails
	}
}

// stop stops the timer and waits for it. Closing Pebble syncs what is left.
func (s *syncer) stop() {
	s.mu.Lock()
	s.stopped = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.running.Wait()
}
