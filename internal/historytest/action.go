package historytest

import (
	"context"
	"errors"
	"fmt"

	"github.com/luastore/store"
)

// An answer is what a call returned beside an error.
type answer struct {
	ok   bool   // an entry existed, or was swapped
	seen string // what was read, or the sum; "" where there was nothing
}

// String describes the answer in a message.
func (a answer) String() string {
	if a.seen != "" {
		return show(a.seen)
	}
	return fmt.Sprint(a.ok)
}

// An action is one method of a driver, on one entry.
type action struct {
	name  string
	reads bool // and does not write
	call  func(ctx context.Context, d store.Driver, c *call) (answer, error)
	// effect returns what there is after the call where there was now, "" for nothing, and what it answers then.
	effect func(now string, c *call) (next string, want answer)
}

var (
	actGet = &action{name: "get", reads: true, call: func(ctx context.Context, d store.Driver, c *call) (answer, error) {
		return read(d.Get(ctx, c.cell.key))
	}, effect: see}
	actEntry = &action{name: "entry", reads: true, call: func(ctx context.Context, d store.Driver, c *call) (answer, error) {
		v, ttl, err := d.Entry(ctx, c.cell.key)
		if ttl != 0 {
			v = fmt.Appendf(v, " for %v", ttl)
		}
		return read(v, err)
	}, effect: see}
	actSet = &action{name: "set", call: func(ctx context.Context, d store.Driver, c *call) (answer, error) {
		return answer{ok: true}, d.Set(ctx, c.cell.key, []byte(c.value), 0)
	}, effect: func(_ string, c *call) (string, answer) { return c.value, answer{ok: true} }}
	actCreate = &action{name: "set if absent", call: func(ctx context.Context, d store.Driver, c *call) (got answer, err error) {
		got.ok, err = d.CompareAndSwap(ctx, c.cell.key, nil, []byte(c.value), 0)
		return got, err
	}, effect: swap}
	actSwap = &action{name: "swap", call: func(ctx context.Context, d store.Driver, c *call) (got answer, err error) {
		got.ok, err = d.CompareAndSwap(ctx, c.cell.key, []byte(c.old), []byte(c.value), 0)
		return got, err
	}, effect: swap}
	actDeleteIf = &action{name: "delete if", call: func(ctx context.Context, d store.Driver, c *call) (got answer, err error) {
		got.ok, err = d.CompareAndSwap(ctx, c.cell.key, []byte(c.old), nil, 0)
		return got, err
	}, effect: swap}
	actDelete = &action{name: "delete", call: func(ctx context.Context, d store.Driver, c *call) (got answer, err error) {
		got.ok, err = d.Delete(ctx, c.cell.key)
		return got, err
	}, effect: func(now string, _ *call) (string, answer) { return "", answer{ok: now != ""} }}
	actIncr = &action{name: "incr", call: func(ctx context.Context, d store.Driver, c *call) (answer, error) {
		sum, err := d.(store.Counter).Incr(ctx, c.cell.key, 1, 0, 0)
		return answer{ok: true, seen: numeral(sum)}, err
	}, effect: func(now string, _ *call) (string, answer) {
		f, _ := number(now)
		return numeral(f + 1), answer{ok: true, seen: numeral(f + 1)}
	}}
)

// read returns the answer of a read.
func read(v []byte, err error) (answer, error) {
	if errors.Is(err, store.ErrNotFound) {
		return answer{}, nil
	}
	return answer{ok: true, seen: string(v)}, err
}

// see is the effect of a read.
func see(now string, _ *call) (string, answer) { return now, answer{ok: now != "", seen: now} }

// swap is the effect of a compare-and-swap, whose call has "" where the driver takes nil.
func swap(now string, c *call) (string, answer) {
	if now != c.old {
		return now, answer{}
	}
	return c.value, answer{ok: true}
}
