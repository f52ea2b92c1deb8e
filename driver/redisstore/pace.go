package redisstore

import (
	"context"
	"sync"
	"time"
)

// A pace spaces the dials of one driver out, over all its servers, from one that failed until one succeeds.
type pace struct {
	mu      sync.Mutex
	failing bool
	next    time.Time     // when the next dial may begin while they fail
	well    chan struct{} // closed when a dial succeeds, for those that wait for their turn; nil: none does
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

// await waits for the turn that take gave, or until a dial succeeds: servers that are back are not to wait for the turns of all others.
func (p *pace) await(ctx context.Context, turn time.Duration) {
	p.mu.Lock()
	if !p.failing {
		p.mu.Unlock()
		return
	}
	if p.well == nil {
		p.well = make(chan struct{})
	}
	well := p.well
	p.mu.Unlock()
	timer := time.NewTimer(turn)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-well:
	case <-ctx.Done():
	}
}

// ended tells how a dial ended.
func (p *pace) ended(well bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failing = !well; well && p.well != nil {
		close(p.well)
		p.well = nil
	}
}
