package redisstore

import (
	"sync"
	"time"
)

// A pace spaces the dials of one driver out, over all its servers, from one that failed until one succeeds.
type pace struct {
	mu      sync.Mutex
	failing bool
	next    time.Time // when the next dial may begin while they fail
}

// take takes the next turn to dial and returns how long it is until then, which is not now only while dials fail. Who is not patient
// gets only a turn that is now.
func (p *pace) take(patient bool) (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.failing || p.next.Before(now) {
		p.next = now
	}
	wait = p.next.Sub(now)
	if wait > 0 && !patient {
		return 0, false
	}
	p.next = p.next.Add(redialGap)
	return wait, true
}

// ended tells how a dial ended.
func (p *pace) ended(well bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = !well
}
