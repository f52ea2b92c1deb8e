package natsstore

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// counters add up what several callers of this process want to add to one key: while one message is on its way, all that are added
// meanwhile wait, and go out together with the next. Each caller gets its own sum, as if one had come after the other.
type counters struct {
	driver *Driver

	mu    sync.Mutex
	byKey map[string][]*increment // that wait; a key is there while somebody works on it
}

// States of an increment. One that waits is not part of any message yet.
const (
	waiting int32 = iota
	sent          // it may be stored
	left          // nobody wants the sum any more
)

// An increment is one call of Incr.
type increment struct {
	ctx            context.Context
	delta, initial float64
	ttl            time.Duration
	state          atomic.Int32
	done           chan sum
}

// A sum is what a call of Incr answers. A failed one has an error that is not one of the store yet, unless it says that nothing was
// stored.
type sum struct {
	value float64
	err   error
}

// Incr adds delta to the number under key.
func (d *Driver) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	if ctx.Err() != nil {
		return 0, d.ended(ctx)
	}
	i := &increment{ctx: ctx, delta: delta, initial: initial, ttl: ttl, done: make(chan sum, 1)}
	if !d.counters.add(key, i) {
		return 0, errClosed
	}
	select {
	case got := <-i.done:
		return d.sumOf(ctx, got)
	case <-ctx.Done():
	}
	switch {
	case i.state.CompareAndSwap(waiting, left):
		return 0, d.ended(ctx)
	case i.state.CompareAndSwap(sent, left):
		return 0, d.writeError(ctx, errUnanswered)
	}
	return d.sumOf(ctx, <-i.done)
}

func (d *Driver) sumOf(ctx context.Context, got sum) (float64, error) {
	if got.err != nil {
		return 0, d.writeError(ctx, got.err)
	}
	return got.value, nil
}

// add queues an increment, and lets somebody work on its key.
func (c *counters) add(key string, i *increment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue, working := c.byKey[key]
	if !working && !c.driver.begin() {
		return false
	}
	if c.byKey == nil {
		c.byKey = map[string][]*increment{}
	}
	c.byKey[key] = append(queue, i)
	if !working {
		go c.work(key)
	}
	return true
}

// take returns those that wait for key. Where there are none the work on it is over.
func (c *counters) take(key string) []*increment {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue := c.byKey[key]
	if len(queue) == 0 {
		delete(c.byKey, key)
		return nil
	}
	c.byKey[key] = nil
	return queue
}

// work adds to one key until there is nothing to add.
func (c *counters) work(key string) {
	defer c.driver.working.Done()
	t := &tally{driver: c.driver, subject: c.driver.subject(key)}
	for {
		batch := c.take(key)
		if batch == nil {
			return
		}
		t.batch = batch
		ctx, cancel := t.context()
		if leave := c.driver.lanes.enter(ctx, t.subject); leave != nil {
			t.add(ctx)
			leave()
		} else {
			t.fail(&notSent{c.driver.ended(ctx)})
		}
		cancel()
	}
}

// A tally is the sum of one key while it grows.
type tally struct {
	driver  *Driver
	subject string
	batch   []*increment
}

// context returns one that ends with the last of those of the batch, or of the driver.
func (t *tally) context() (context.Context, context.CancelFunc) {
	var latest time.Time
	for _, i := range t.batch {
		deadline, ok := i.ctx.Deadline()
		if !ok {
			return context.WithCancel(t.driver.closing)
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return context.WithDeadline(t.driver.closing, latest)
}

// add adds the batch.
func (t *tally) add(ctx context.Context) {
	sure := false
	e, guessed := t.driver.recent.get(t.subject)
	for {
		m, sums, err := t.attempt(ctx, &e, guessed, sure)
		switch {
		case err != nil:
			t.fail(asUnsent(t.driver, ctx, err))
			return
		case m == nil && !guessed && (sure || t.driver.trusted()):
			t.deliver(sums)
			return
		case m == nil && !guessed:
			sure = true
		case m != nil:
			switch err = t.driver.replace(ctx, m, e.sequence); {
			case err == nil:
				t.deliver(sums)
				return
			case !lost(err):
				t.fail(err)
				return
			case !guessed && pause(ctx, rand.N(maxRest)) != nil:
				t.fail(&notSent{t.driver.ended(ctx)})
				return
			}
		}
		guessed = false
		t.retract()
	}
}

// attempt makes a message of the entry e, which is read unless it is a guess, from a leader that is sure to lead or from any, and all that is to
// be added. It is nil where nothing can be.
func (t *tally) attempt(ctx context.Context, e *entry, guessed, sure bool) (m *nats.Msg, sums []sum, err error) {
	if !guessed {
		load := t.driver.load
		if sure {
			load = t.driver.loadSure
		}
		if *e, err = load(ctx, t.subject); err != nil {
			return nil, nil, err
		}
	}
	now, err := t.driver.alive(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	if now == (moment{}) {
		if now, err = t.driver.clockFor(ctx, t.batch); err != nil {
			return nil, nil, err
		}
	}
	batch, grown := t.batch[:0:0], *e
	for _, i := range t.batch {
		if !i.state.CompareAndSwap(waiting, sent) {
			continue // it has left
		}
		s, next := i.addTo(grown, now)
		if s.err == nil {
			grown = next
			m = t.driver.keep(t.subject, grown.value, grown, now)
		}
		batch, sums = append(batch, i), append(sums, s)
	}
	t.batch = batch
	return m, sums, nil
}

// clockFor returns the present moment where one of a batch needs it.
func (d *Driver) clockFor(ctx context.Context, batch []*increment) (moment, error) {
	for _, i := range batch {
		if i.ttl > 0 {
			return d.clock.now(ctx)
		}
	}
	return moment{}, nil
}

// addTo returns the sum of an entry and what is to be added, and the entry that holds it.
func (i *increment) addTo(e entry, now moment) (sum, entry) {
	base := i.initial
	if e.value == nil {
		e.expires = 0
		if i.ttl > 0 {
			e.expires = now.latest + int64((i.ttl+time.Millisecond-1)/time.Millisecond)
		}
	} else if number, ok := value.ParseNumber(e.value); ok {
		base = number
	} else {
		return sum{err: &notSent{store.ErrNotNumber}}, e
	}
	f, exact := value.Add(base, i.delta)
	if !exact {
		return sum{err: &notSent{store.ErrOutOfRange}}, e
	}
	e.value = value.AppendNumber(nil, f)
	return sum{value: f}, e
}

// retract lets those of the batch wait again whose message was not stored. Those who left meanwhile do not come back.
func (t *tally) retract() {
	for _, i := range t.batch {
		i.state.CompareAndSwap(sent, waiting)
	}
}

// deliver answers each of the batch.
func (t *tally) deliver(sums []sum) {
	for n, i := range t.batch {
		i.done <- sums[n]
	}
}

func (t *tally) fail(err error) {
	for _, i := range t.batch {
		i.done <- sum{err: err}
	}
}
