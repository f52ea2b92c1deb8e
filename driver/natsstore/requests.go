package natsstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/luastore/store"
)

const (
	// readPatience is how long a read waits for its reply before it is sent again: what was asked of a leader that died is answered by
	// nobody.
	readPatience = 500 * time.Millisecond
	// writePatienceMost is how long a write waits for its reply at most, whatever its context.
	writePatienceMost = time.Minute
	// otherPatience is how long it waits for the true leader's after that of an old one, which goes on for about as long.
	otherPatience = time.Second
	// handover is how long a call goes on asking while nobody serves the bucket, which is so for a moment when a leader hands over.
	handover      = 500 * time.Millisecond
	handoverPause = 20 * time.Millisecond
)

// read sends a request of the API that changes nothing, or nothing more when it is sent twice, until it is answered.
func (d *Driver) read(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	if ctx.Err() != nil {
		return nil, &notSent{d.ended(ctx)}
	}
	for begun := time.Now(); ; {
		l, err := d.connect(ctx)
		if err != nil {
			return nil, err
		}
		msg, err := d.readOn(ctx, l, subject, data)
		if !d.again(ctx, err, begun) {
			return msg, err
		}
	}
}

// readOn is one try of read.
func (d *Driver) readOn(ctx context.Context, l *link, subject string, data []byte) (*nats.Msg, error) {
	r, err := l.send(ctx, d.api+subject, nil, data)
	if err != nil {
		return nil, err
	}
	return l.wait(ctx, r, readPatience)
}

// again reports whether a read that began at begun and ended with err is to be made again, perhaps after a pause.
func (d *Driver) again(ctx context.Context, err error, begun time.Time) bool {
	var unsent *notSent
	var broken *brokenLink
	switch {
	case err == nil || ctx.Err() != nil || errors.As(err, &unsent) || storeError(err) != nil:
		return false
	case errors.As(err, &broken) && errors.Is(broken.cause, store.ErrDenied):
		return false // as it will be the next time
	case errors.Is(err, errNoResponders):
		return time.Since(begun) < handover && pause(ctx, handoverPause) == nil
	}
	return true // it was lost with its connection, or with its leader
}

// publish sends a message to be stored, once, and again only where nobody got it.
func (d *Driver) publish(ctx context.Context, m *nats.Msg) (uint64, error) {
	if err := d.checkSize(m); err != nil {
		return 0, &notSent{err}
	}
	if ctx.Err() != nil {
		return 0, &notSent{d.ended(ctx)}
	}
	for begun := time.Now(); ; {
		l, err := d.connect(ctx)
		if err != nil {
			return 0, err
		}
		sequence, err := d.publishOn(ctx, l, m)
		if !errors.Is(err, errNoResponders) || time.Since(begun) >= handover || pause(ctx, handoverPause) != nil {
			return sequence, err
		}
	}
}

// publishOn is one try of publish.
func (d *Driver) publishOn(ctx context.Context, l *link, m *nats.Msg) (uint64, error) {
	begun := time.Now()
	r, err := d.submit(ctx, l, m)
	if err != nil {
		return 0, err
	}
	return d.stored(ctx, l, r, begun)
}

// submit sends a message that is to be stored.
func (d *Driver) submit(ctx context.Context, l *link, m *nats.Msg) (*request, error) {
	if !d.quorum.needed() {
		return l.send(ctx, m.Subject, m.Header, m.Data)
	}
	r, err := l.sendPoll(ctx, m.Subject, m.Header, m.Data)
	if err == nil {
		r.expected, _ = strconv.ParseUint(m.Header.Get(headerExpected), 10, 64) // 0 where there is none
	}
	return r, err
}

// stored waits until the message of r, sent at begun or later, is stored.
func (d *Driver) stored(ctx context.Context, l *link, r *request, begun time.Time) (uint64, error) {
	defer l.forget(r)
	sequence, err := d.acknowledged(ctx, l, r)
	if err != nil && r.poll && !surelyRefused(err, r.expected) {
		sequence, err = d.settled(ctx, l, r, err)
	}
	if err == nil {
		d.quorum.follows(l, begun)
	}
	return sequence, err
}

// acknowledged waits for an answer to r that is not surely of an old leader.
func (d *Driver) acknowledged(ctx context.Context, l *link, r *request) (uint64, error) {
	for patience := writePatienceMost; ; patience = otherPatience {
		msg, err := l.wait(ctx, r, patience)
		if err != nil {
			return 0, err
		}
		sequence, err := d.parseAck(msg)
		if !r.poll || !outdated(err, r.expected) {
			return sequence, err
		}
	}
}

// checkSize refuses what the server would not take: it would end the connection.
func (d *Driver) checkSize(m *nats.Msg) error {
	if len(m.Data) > d.maxMessage-headerRoom {
		return errLarge(len(m.Data))
	}
	if len(m.Subject) > maxSubject {
		return errLongKey
	}
	return nil
}

// pause waits, or returns an error when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
