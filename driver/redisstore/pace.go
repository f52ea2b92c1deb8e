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
	next    time.Time // when the next dial may begin while they fail
}

// turn waits until a dial may begin, or ctx ends.
func (p *pace) turn(ctx context.Context) {
	wait := p.take()
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// take takes the next turn and returns how long it is until then.
func (p *pace) take() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.failing || p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(redialGap)
	return wait
}

// ended tells how a dial ended.
func (p *pace) ended(well bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = !well
}
