package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// A leader answers reads by itself. One that was cut off from the others goes on leading, for all that it knows, for ten seconds and
// more, while they have a new one and the world has moved on. So where there are replicas a read has to know that the leader had a
// majority after the read began: any entry of the log of that leader which was made since then and which a majority has followed
// tells so. The entry that the driver makes is the deletion of a message that cannot be there, which goes through the log as any
// other and leaves nothing in the bucket.
//
// With ReadsLease such an entry, or any write, also serves the reads of the next 50 ms. That rests on timers of nats-server: who
// followed an entry helps nobody to lead for the next four seconds, or for 100 ms after another's attempt to (minElectionTimeout and
// minCampaignTimeout in its raft.go, since 2.9), but for a leader that hands over by itself: it stops leading first.

const (
	// lease is for how long after a leader was followed reads trust it.
	lease = 50 * time.Millisecond
	// maxRounds is how many rounds are under way at a time. Those who come later wait for the next one.
	maxRounds = 2
	// maxRound bounds one round.
	maxRound = 2 * time.Second
)

// A quorum asks for the majority behind the leader, once for all reads that wait for it.
type quorum struct {
	driver *Driver

	mu      sync.Mutex
	running int
	next    *round // to begin when one ends; nil: nobody waits for it

	led atomic.Pointer[led]
}

// A led is the proof that a link led to a leader with a majority.
type led struct {
	link  *link
	since time.Time // when what the majority followed was sent
}

// A round is one question to the majority.
type round struct {
	done chan struct{}
	link *link // that it went over
	err  error
}

// follows notes that a majority followed what was sent on l at the time sent.
func (q *quorum) follows(l *link, sent time.Time) {
	l.useful()
	if q.driver.target.Reads != ReadsLease {
		return
	}
	for {
		old := q.led.Load()
		if old != nil && old.link == l && !old.since.Before(sent) {
			return
		}
		if q.led.CompareAndSwap(old, &led{link: l, since: sent}) {
			return
		}
	}
}

// leased reports whether reads may trust the leader without asking.
func (q *quorum) leased() bool {
	if q.driver.target.Reads != ReadsLease {
		return false
	}
	l := q.led.Load()
	return l != nil && l.link == q.driver.live.Load() && time.Since(l.since) < lease
}

// trusted reports whether what a leader answered needs no proof.
func (d *Driver) trusted() bool { return !d.quorum.needed() || d.quorum.leased() }

// needed reports whether there is anybody to ask.
func (q *quorum) needed() bool { return q.driver.replicas.Load() > 1 }

// confirm returns once a leader had a majority after confirm was called, and the link on which it said so.
func (q *quorum) confirm(ctx context.Context) (*link, error) {
	for {
		r := q.join()
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, errUnanswered
		}
		if !errors.Is(r.err, errUnanswered) || q.driver.closing.Err() != nil {
			return r.link, r.err
		}
	}
}

// join returns a round that has not begun yet, or has only just.
func (q *quorum) join() *round {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next != nil {
		return q.next
	}
	r := &round{done: make(chan struct{})}
	if q.running < maxRounds {
		q.begin(r)
	} else {
		q.next = r
	}
	return r
}

// begin begins a round. The lock is held.
func (q *quorum) begin(r *round) {
	if !q.driver.begin() {
		r.err = &notSent{errClosed}
		close(r.done)
		return
	}
	q.running++
	go q.run(r)
}

func (q *quorum) run(r *round) {
	defer q.driver.working.Done()
	ctx, cancel := context.WithTimeout(q.driver.closing, maxRound)
	defer cancel()
	r.link, r.err = q.ask(ctx)
	if r.err != nil && ctx.Err() != nil {
		r.err = errUnanswered // the contexts of those who wait are others
	}
	close(r.done)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	if next := q.next; next != nil {
		q.next = nil
		q.begin(next)
	}
}

// noMessage is a sequence that no message ever has.
const noMessage = math.MaxInt64

var askQuorum = fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, int64(noMessage))

// ask makes an entry in the leader's log and waits until a majority has followed it.
func (q *quorum) ask(ctx context.Context) (*link, error) {
	for begun := time.Now(); ; {
		l, err := q.driver.connect(ctx)
		if err != nil {
			return nil, err
		}
		sent := time.Now()
		msg, err := q.askOn(ctx, l)
		if err == nil {
			if err = parseRound(msg); err == nil {
				q.follows(l, sent)
				return l, nil
			}
		}
		if !q.driver.again(ctx, err, begun) {
			return nil, err
		}
	}
}

// askOn is one try of ask.
func (q *quorum) askOn(ctx context.Context, l *link) (*nats.Msg, error) {
	r, err := l.sendRound(ctx, q.driver.api+"STREAM.MSG.DELETE."+q.driver.stream, askQuorum)
	if err != nil {
		return nil, err
	}
	return l.wait(ctx, r, readPatience)
}

// parseRound accepts nothing but what the leader answers when it has applied the entry.
func parseRound(msg *nats.Msg) error {
	var got struct {
		Error *apiError `json:"error"`
	}
	switch err := json.Unmarshal(msg.Data, &got); {
	case err != nil || got.Error == nil:
		return errUnasked
	case got.Error.Code == codeNoSequence, got.Error.Code == codeDeleteFailed && strings.Contains(got.Error.Description, "EOF"):
		return nil
	}
	return got.Error
}
