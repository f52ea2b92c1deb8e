package sqlite

import (
	"errors"
	"time"

	"github.com/luastore/store"
)

// An instant is a time of this machine's clock, in nanoseconds since the Unix epoch.
type instant int64

func now() instant { return instant(time.Now().UnixNano()) }

// micros is the instant as statements compare it with what the table holds.
func (at instant) micros() int64 { return int64(at / 1000) }

// after returns when an entry that is written at that instant expires, as the table holds it: NULL for never. It rounds up:
// nothing expires early.
func (at instant) after(ttl time.Duration) any {
	if ttl <= 0 {
		return nil
	}
	return int64((at + instant(ttl) + 999) / 1000)
}

// until returns the time from that instant to an expiry of the table, 0 for never.
func (at instant) until(expires int64) time.Duration {
	if expires == 0 {
		return 0
	}
	ms := (expires - at.micros()) / 1000
	return time.Duration(min(max(ms, 1), int64(store.MaxTTL/time.Millisecond))) * time.Millisecond
}

// A turn is one transaction of the writer. All of its writes are judged by one time, which is not before from.
type turn struct {
	from instant
	over chan struct{} // closed when others see what it did, or it did nothing
}

// takeTurn begins a turn and returns what ends it. The time of the transaction must be taken after.
func (w *writer) takeTurn() (end func()) {
	t := &turn{from: now(), over: make(chan struct{})}
	w.turn.Store(t)
	return func() {
		w.turn.Store(nil)
		close(t.over)
	}
}

// A view is the time by which a read judges what has expired. An entry that expires while a transaction is under way may be alive
// to that, and be extended by it: a read that called it gone before would see it come back. So it is gone when it expired before
// the transaction began, and undecided, until that has ended, when it expired since.
type view struct {
	at   instant // the time of the call
	sure instant // what expired until then is gone for good; not after at
	turn *turn   // under way, nil for none: sure is at
}

var errUndecided = errors.New("an entry has expired since the transaction under way began")

// view returns that of a read which begins now. What it reads must be read after.
func (w *writer) view() view {
	v := view{at: now()} // before the turn is looked up: the time of one that begins later is not before at
	v.sure, v.turn = v.at, w.turn.Load()
	if v.turn != nil {
		v.sure = min(v.at, v.turn.from)
	}
	return v
}

// final is the view of a transaction itself, and of what needs no better one.
func (at instant) final() view { return view{at: at, sure: at} }

// decide returns errUndecided for an entry that had not expired by v.sure, and has by v.at. expires is 0 for never.
func (v view) decide(expires int64) error {
	if expires != 0 && expires <= v.at.micros() {
		return errUndecided
	}
	return nil
}
