package natsstore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/luastore/store"
)

const (
	// reclaimAfter is how long after its end the server may drop an entry by itself: the clocks of its servers may differ, and any of
	// them may become the leader.
	reclaimAfter = 5 * time.Second
	// reclaimDeleted is when it may drop what is left of a deleted one: nobody needs it.
	reclaimDeleted = time.Second
)

// message is the message that makes an entry of a key, which expires in a moment of the leader's clock, 0 for never.
func message(subject string, value []byte, expires int64, ttl time.Duration) *nats.Msg {
	m := &nats.Msg{Subject: subject, Data: value, Header: nats.Header{headerRollup: {rollupSubject}}}
	if expires != 0 {
		m.Header[headerExpires] = []string{strconv.FormatInt(expires, 10)}
		m.Header[headerTTL] = []string{strconv.FormatInt(seconds(ttl+reclaimAfter), 10)}
	}
	return m
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// tombstone is the message that ends the entry of a key. It is written where a message could be deleted as well, because nothing orders a
// deletion of the server after the writes of the same moment.
func tombstone(subject string) *nats.Msg {
	return &nats.Msg{Subject: subject, Header: nats.Header{
		headerRollup:    {rollupSubject},
		headerOperation: {operationDelete},
		headerTTL:       {strconv.FormatInt(seconds(reclaimDeleted), 10)},
	}}
}

func isTombstone(m *nats.Msg) bool { return m.Header.Get(headerOperation) == operationDelete }

// expecting lets m be stored only where the subject has a message last, or none if sequence is 0.
func expecting(m *nats.Msg, sequence uint64) *nats.Msg {
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header[headerExpected] = []string{strconv.FormatUint(sequence, 10)}
	return m
}

// lost reports whether another write came first.
func lost(err error) bool {
	var api *apiError
	return errors.As(err, &api) && (api.Code == codeWrongSequence || api.Code == codeBusySequence)
}

// put is the message that gives a key a value for a time to live, or for ever.
func (d *Driver) put(ctx context.Context, subject string, value []byte, ttl time.Duration) (*nats.Msg, error) {
	if ttl <= 0 {
		return message(subject, value, 0, 0), nil
	}
	now, err := d.clock.now(ctx)
	if err != nil {
		return nil, asUnsent(d, ctx, err)
	}
	ms := int64((ttl + time.Millisecond - 1) / time.Millisecond)
	return message(subject, value, now.latest+ms, ttl), nil
}

// keep is put with the expiry of a live entry.
func (d *Driver) keep(subject string, value []byte, e entry, now moment) *nats.Msg {
	return message(subject, value, e.expires, max(time.Duration(e.expires-now.earliest)*time.Millisecond, 0))
}

// asUnsent makes the error of a read that went before a write: nothing was written.
func asUnsent(d *Driver, ctx context.Context, err error) error {
	return &notSent{d.readError(ctx, err)}
}

// Set writes value and expiry together.
func (d *Driver) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl == store.KeepTTL {
		_, err := d.change(ctx, key, func(e entry, now moment) (*nats.Msg, error) {
			if e.value == nil {
				return message(d.subject(key), value, 0, 0), nil
			}
			return d.keep(d.subject(key), value, e, now), nil
		})
		return err
	}
	m, err := d.put(ctx, d.subject(key), value, ttl)
	if err == nil {
		err = d.store(ctx, m)
	}
	if err != nil {
		return d.writeError(ctx, err)
	}
	return nil
}

// store stores a message, and remembers it.
func (d *Driver) store(ctx context.Context, m *nats.Msg) error {
	sequence, err := d.publish(ctx, m)
	if err != nil {
		return err
	}
	if e, err := (entry{sequence: sequence, value: m.Data}).with(m.Header); err == nil {
		d.recent.put(m.Subject, e)
	}
	d.walks.note(m.Subject[len(d.subjects):])
	return nil
}

// Delete removes key.
func (d *Driver) Delete(ctx context.Context, key string) (bool, error) {
	return d.change(ctx, key, func(e entry, _ moment) (*nats.Msg, error) {
		if e.value == nil {
			return nil, nil
		}
		return tombstone(d.subject(key)), nil
	})
}

// Touch sets the expiry of key.
func (d *Driver) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if ttl == store.KeepTTL {
		return d.Has(ctx, key)
	}
	return d.change(ctx, key, func(e entry, _ moment) (*nats.Msg, error) {
		if e.value == nil {
			return nil, nil
		}
		return d.put(ctx, d.subject(key), e.value, ttl)
	})
}

// CompareAndSwap writes next if the stored bytes equal old.
func (d *Driver) CompareAndSwap(ctx context.Context, key string, old, next []byte, ttl time.Duration) (bool, error) {
	if old == nil && next == nil {
		exists, err := d.Has(ctx, key)
		return !exists && err == nil, err
	}
	return d.change(ctx, key, func(e entry, now moment) (*nats.Msg, error) {
		switch {
		case (old == nil) != (e.value == nil) || !bytes.Equal(old, e.value):
			return nil, nil
		case next == nil:
			return tombstone(d.subject(key)), nil
		case ttl == store.KeepTTL && e.value != nil:
			return d.keep(d.subject(key), next, e, now), nil
		}
		return d.put(ctx, d.subject(key), next, ttl)
	})
}

// An edit makes a message of the entry that a key has, or none where there is nothing to change.
type edit func(e entry, now moment) (*nats.Msg, error)

// change stores what edit makes of the entry of key, if no other write came between; else it begins anew. Where edit makes nothing of
// it change reports false.
func (d *Driver) change(ctx context.Context, key string, edit edit) (bool, error) {
	if ctx.Err() != nil {
		return false, d.ended(ctx)
	}
	changed, err := d.attempts(ctx, d.subject(key), edit)
	if err != nil {
		return false, d.writeError(ctx, err)
	}
	return changed, nil
}

// attempts is change with errors that are not those of the store yet. What is remembered of the entry may save reading it, and a write tells
// by itself whether what was read still holds; only false has to come from a leader that is known to lead.
func (d *Driver) attempts(ctx context.Context, subject string, edit edit) (bool, error) {
	e, guessed := d.recent.get(subject)
	for sure := false; ; {
		if !guessed {
			m, err := d.look(ctx, subject, &e, edit, sure)
			switch {
			case err != nil:
				return false, asUnsent(d, ctx, err)
			case m == nil && (sure || d.trusted()):
				return false, nil
			case m == nil:
				sure = true
				continue
			}
		}
		if stored, err := d.inTurn(ctx, subject, e, edit); stored || err != nil {
			return stored, err
		}
		guessed = false
	}
}

// look reads the entry of a subject, from a leader that is sure to lead or from any, and returns what edit makes of it.
func (d *Driver) look(ctx context.Context, subject string, e *entry, edit edit, sure bool) (*nats.Msg, error) {
	load := d.load
	if sure {
		load = d.loadSure
	}
	found, err := load(ctx, subject)
	*e = found
	if err != nil && !errors.Is(err, errCorrupt) {
		return nil, err
	}
	m, edited := d.edited(ctx, found, edit)
	if err != nil && m != nil && m.Header.Get(headerOperation) == "" {
		return nil, err // what is corrupt can be deleted, but not changed
	}
	return m, edited
}

// edited returns what edit makes of an entry at this moment.
func (d *Driver) edited(ctx context.Context, e entry, edit edit) (*nats.Msg, error) {
	now, err := d.alive(ctx, &e)
	if err != nil {
		return nil, err
	}
	return edit(e, now)
}

// inTurn stores what edit makes of the entry e of a subject, or of a newer one that is remembered, while no other caller of this process
// does the like. It reports false where there is nothing to store, or another write came first.
func (d *Driver) inTurn(ctx context.Context, subject string, e entry, edit edit) (bool, error) {
	leave := d.lanes.enter(ctx, subject)
	if leave == nil {
		return false, &notSent{d.ended(ctx)}
	}
	defer leave()
	if newer, ok := d.recent.get(subject); ok && newer.sequence > e.sequence {
		e = newer
	}
	m, err := d.edited(ctx, e, edit)
	if err != nil {
		return false, asUnsent(d, ctx, err)
	}
	if m == nil {
		return false, nil
	}
	return d.replaceOrRest(ctx, m, e.sequence)
}

// replaceOrRest is replace that reports false, after a pause, where another write came first.
func (d *Driver) replaceOrRest(ctx context.Context, m *nats.Msg, last uint64) (bool, error) {
	err := d.replace(ctx, m, last)
	if isTombstone(m) && d.full(err) {
		if removed := d.remove(ctx, m, last); !errors.Is(removed, errNotPermitted) {
			err = removed
		}
	}
	if !lost(err) {
		return err == nil, err
	}
	if pause(ctx, rand.N(maxRest)) != nil {
		return false, &notSent{d.ended(ctx)}
	}
	return false, nil
}

// maxRest is the longest pause of a write that lost to one of another process, before it is tried again.
const maxRest = 2 * time.Millisecond

// replace stores a message if another, or none, is the last of its subject.
func (d *Driver) replace(ctx context.Context, m *nats.Msg, last uint64) error {
	err := d.store(ctx, expecting(m, last))
	if err != nil {
		d.recent.forget(m.Subject)
	}
	return err
}
