package natsstore

import (
	"context"
	"sync"
	"time"
)

const (
	// refreshClock is how old an estimate of the leader's clock may be before a call that uses it asks again, beside its own work.
	refreshClock = 5 * time.Second
	// maxClockAge is how old it may be before a call that needs it waits for a new one.
	maxClockAge = time.Minute
	// drift is by how much two clocks may run apart, in parts: 200 in a million, more than any crystal is off.
	drift = 5_000
)

// A clock estimates the clock of the bucket's leader, which tells the time in replies. Of an exchange it knows that the leader looked
// at its clock between the request and the reply: half of the time between them is the error.
type clock struct {
	driver *Driver

	mu     sync.Mutex
	known  *sample
	latest int64 // of the moments given, so that a better estimate does not make times to live longer
	asking *asking
}

// A sample is one look at the leader's clock.
type sample struct {
	link   *link
	at     time.Time     // of ours
	leader time.Time     // of the leader's
	half   time.Duration // by how much they may be apart
}

// An asking is a request for the time that several calls may wait for.
type asking struct {
	done chan struct{}
	err  error
}

// observe takes the time that a leader told between sent and received.
func (c *clock) observe(l *link, sent, received, leader time.Time) {
	half := received.Sub(sent) / 2
	s := &sample{link: l, at: sent.Add(half), leader: leader, half: half}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.known == nil || c.known.contradicts(s):
		c.known, c.latest = s, 0
	case c.known.link != l || s.half <= c.known.errorAt(s.at):
		c.known = s
	}
}

// errorAt is by how much the estimate may be wrong at a moment.
func (s *sample) errorAt(now time.Time) time.Duration { return s.half + now.Sub(s.at)/drift }

// contradicts reports whether the clock was set, or is another's, since s.
func (s *sample) contradicts(later *sample) bool {
	expected := s.leader.Add(later.at.Sub(s.at))
	return later.leader.Sub(expected).Abs() > later.half+s.errorAt(later.at)
}

// A moment is what is known of the present time of the leader, in ms since 1970.
type moment struct{ earliest, latest int64 }

// now returns the present moment by the leader's clock. It waits for an estimate where there is none that is good.
func (c *clock) now(ctx context.Context) (moment, error) {
	for {
		m, wait := c.estimate()
		if wait == nil {
			return m, nil
		}
		select {
		case <-wait.done:
		case <-ctx.Done():
			return moment{}, errUnanswered
		}
		if wait.err != nil {
			return moment{}, wait.err
		}
	}
}

// moment rounds outwards.
func (s *sample) moment(now time.Time) moment {
	leader, e := s.leader.Add(now.Sub(s.at)), s.errorAt(now)
	return moment{earliest: leader.Add(-e).UnixMilli(), latest: leader.Add(e + time.Millisecond - 1).UnixMilli()}
}

// estimate returns the present moment, or what to wait for before it is known. It lets an old estimate be renewed.
func (c *clock) estimate() (moment, *asking) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.known
	age := maxClockAge
	if s != nil && s.link == c.driver.live.Load() {
		age = time.Since(s.at)
	}
	if age >= refreshClock && c.asking == nil {
		c.asking = &asking{done: make(chan struct{})}
		if !c.driver.begin() {
			c.asking.err = &notSent{errClosed}
			close(c.asking.done)
		} else {
			go c.ask(c.asking)
		}
	}
	if age >= maxClockAge {
		return moment{}, c.asking
	}
	m := s.moment(time.Now())
	c.latest = max(c.latest, m.latest)
	m.latest = c.latest
	return m, nil
}

// ask asks for the time.
func (c *clock) ask(a *asking) {
	defer c.driver.working.Done()
	ctx, cancel := context.WithTimeout(c.driver.closing, maxAsking)
	defer cancel()
	_, a.err = c.driver.askInfo(ctx)
	if ctx.Err() != nil {
		a.err = errUnanswered // the contexts of those who wait are others
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = nil
	close(a.done)
}

// maxAsking bounds what the driver asks for on behalf of several calls.
const maxAsking = 5 * time.Second
