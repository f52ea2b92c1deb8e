package historytest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/luastore/store"
)

const (
	probeKeys   = 12 // of each client, so that hardly a part of a store of several parts is missed
	probePauses = 5  // of a worker make one of a probe
)

// A probe tells when one client can write one key. It calls with a short deadline, again and again.
type probe struct {
	client   int
	driver   store.Driver
	key      string
	start    time.Time // of the round
	deadline time.Duration

	mu      sync.Mutex
	failing bool
	last    error         // of the last call that failed
	backAt  time.Duration // when the first call after the last failure returned
	begunAt time.Duration // when the last call that succeeded began
	okAt    time.Duration // when it returned
	outage  time.Duration // longest time between two successes
}

// call writes the key and notes what came of it.
func (p *probe) call() {
	ctx, cancel := context.WithTimeout(context.Background(), p.deadline)
	defer cancel()
	begun := time.Since(p.start)
	err := p.driver.Set(ctx, p.key, []byte{0}, 0)
	p.note(begun, time.Since(p.start), err)
}

func (p *probe) note(begun, returned time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failing, p.last = true, err
		return
	}
	if p.failing {
		p.failing, p.backAt = false, returned
	}
	p.outage = max(p.outage, returned-p.okAt)
	p.begunAt, p.okAt = begun, returned
}

// steady reports whether the key could be written since a moment, and all calls have succeeded since another.
func (p *probe) steady(from, since time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.failing && p.backAt <= since && from <= since && p.begunAt >= max(from, since)
}

// recoveredAt returns when the last failure was over.
func (p *probe) recoveredAt() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.backAt
}

// longestOutage returns the longest time without a call that succeeded, until now.
func (p *probe) longestOutage(now time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failing {
		return max(p.outage, now-p.okAt)
	}
	return p.outage
}

// failure returns why the last call that failed did so.
func (p *probe) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		return errors.New("no call has returned")
	}
	return p.last
}
