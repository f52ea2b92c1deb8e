package natsstore

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/luastore/store"
)

// Batches are many requests under way at a time, one for each key: every key has its own answer, so that a failure has a name.

// A sending is a request of a batch that is under way.
type sending struct {
	link    *link
	request *request
	begun   time.Time
	err     error // why it is not
}

// start sends a message without waiting for its reply.
func (d *Driver) start(ctx context.Context, m *nats.Msg) sending {
	if ctx.Err() != nil {
		return sending{err: &notSent{d.ended(ctx)}}
	}
	l, err := d.connect(ctx)
	if err != nil {
		return sending{err: err}
	}
	begun := time.Now()
	r, err := d.submit(ctx, l, m)
	return sending{link: l, request: r, begun: begun, err: err}
}

// loadMany asks for the entries of all subjects, and calls each with what came. Reads that are lost are made again.
func (d *Driver) loadMany(ctx context.Context, subjects []string, each func(i int, e entry, err error)) {
	sendings := make([]sending, len(subjects))
	defer func() {
		for _, s := range sendings {
			if s.request != nil {
				s.link.forget(s.request)
			}
		}
	}()
	entries, errs := make([]entry, len(subjects)), make([]error, len(subjects))
	get := d.api + "STREAM.MSG.GET." + d.stream
	next := 0
	for i := range subjects {
		for ; next < len(subjects) && next < i+maxAhead; next++ {
			sendings[next] = d.start(ctx, &nats.Msg{Subject: get, Data: getRequest(subjects[next])})
		}
		entries[i], errs[i] = d.loaded(ctx, sendings[i], subjects[i])
	}
	sure := d.sureOf(ctx, sendings)
	for i, subject := range subjects {
		if errs[i] != nil && !errors.Is(errs[i], errCorrupt) || !sure(sendings[i]) {
			entries[i], errs[i] = d.loadSure(ctx, subject)
		}
		each(i, entries[i], errs[i])
	}
}

// sureOf asks for a majority after all requests were sent, and returns what tells whether the answer to one is that of the true leader.
func (d *Driver) sureOf(ctx context.Context, sendings []sending) func(s sending) bool {
	if d.trusted() {
		return func(sending) bool { return true }
	}
	by, err := d.quorum.confirm(ctx)
	return func(s sending) bool { return err == nil && s.request != nil && s.link == by && by.end(s.request) == 1 }
}

// maxAhead is how many requests of one batch are under way at a time.
const maxAhead = 128

// loaded waits for one of loadMany.
func (d *Driver) loaded(ctx context.Context, s sending, subject string) (entry, error) {
	if s.err != nil {
		return entry{}, s.err
	}
	msg, err := s.link.wait(ctx, s.request, readPatience-time.Since(s.begun)) // all wait at the same time
	if err != nil {
		return entry{}, err
	}
	return parseEntry(msg, subject)
}

// GetMany returns the values of keys, in order, nil for those that do not exist, and for those that failed.
func (d *Driver) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, d.ended(ctx)
	}
	values := make([][]byte, len(keys))
	var failed failures
	d.loadMany(ctx, d.subjectsOf(keys), func(i int, e entry, err error) {
		if err == nil {
			_, err = d.alive(ctx, &e)
		}
		if err != nil {
			failed.add(keys[i], d.readError(ctx, err))
			return
		}
		values[i] = e.value
	})
	return values, failed.err()
}

func (d *Driver) subjectsOf(keys []string) []string {
	subjects := make([]string, len(keys))
	for i, key := range keys {
		subjects[i] = d.subject(key)
	}
	return subjects
}

// SetMany writes entries, all with one ttl.
func (d *Driver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	if len(entries) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return d.ended(ctx)
	}
	messages := make([]*nats.Msg, len(entries))
	for i := range entries {
		m, err := d.put(ctx, d.subject(entries[i].Key), entries[i].Value, ttl)
		if err != nil {
			return d.writeError(ctx, err)
		}
		messages[i] = m
	}
	var failed failures
	d.publishMany(ctx, messages, func(i int, err error) {
		if err != nil {
			failed.add(entries[i].Key, d.writeError(ctx, err))
			return
		}
		d.walks.note(messages[i].Subject[len(d.subjects):])
	})
	return failed.err()
}

// publishMany stores all messages, and calls each with what became of it.
func (d *Driver) publishMany(ctx context.Context, messages []*nats.Msg, each func(i int, err error)) {
	sendings := make([]sending, len(messages))
	next := 0
	for i := range messages {
		for ; next < len(messages) && next < i+maxAhead; next++ {
			if err := d.checkSize(messages[next]); err != nil {
				sendings[next].err = &notSent{err}
				continue
			}
			sendings[next] = d.start(ctx, messages[next])
		}
		each(i, d.published(ctx, sendings[i], messages[i]))
	}
}

// published waits for one of publishMany, which goes out again where nobody got it.
func (d *Driver) published(ctx context.Context, s sending, m *nats.Msg) error {
	if s.err != nil {
		return s.err
	}
	_, err := d.stored(ctx, s.link, s.request, s.begun)
	if errors.Is(err, errNoResponders) && pause(ctx, handoverPause) == nil {
		_, err = d.publish(ctx, m)
	}
	return err
}

// DeleteMany removes keys and returns how many existed.
func (d *Driver) DeleteMany(ctx context.Context, keys []string) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	if ctx.Err() != nil {
		return 0, d.ended(ctx)
	}
	var failed failures
	var there []string // those keys that exist
	var tombstones []*nats.Msg
	d.loadMany(ctx, d.subjectsOf(keys), func(i int, e entry, err error) {
		if err == nil {
			_, err = d.alive(ctx, &e)
		}
		switch {
		case err != nil && !errors.Is(err, errCorrupt):
			failed.add(keys[i], d.readError(ctx, err))
		case e.value != nil:
			there = append(there, keys[i])
			tombstones = append(tombstones, expecting(tombstone(d.subject(keys[i])), e.sequence))
		}
	})
	deleted := 0
	d.publishMany(ctx, tombstones, func(i int, err error) {
		existed := err == nil
		if lost(err) || d.full(err) {
			existed, err = d.Delete(ctx, there[i])
		}
		switch {
		case err != nil:
			failed.add(there[i], d.writeError(ctx, err))
		case existed:
			deleted++
		}
	})
	return deleted, failed.err()
}

// failures collects the keys of a batch that failed.
type failures struct{ errs map[string]error }

func (f *failures) add(key string, err error) {
	if f.errs == nil {
		f.errs = make(map[string]error)
	}
	f.errs[key] = err
}

func (f *failures) err() error {
	if f.errs == nil {
		return nil
	}
	return &store.BatchError{Errs: f.errs}
}
