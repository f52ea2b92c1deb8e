package store_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/luastore/store"
)

func TestHandle_ReadOnly_RefusesWritesAndServesReads(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		asked := 0
		ctx, h := openStore(t, b, store.Definition{ReadOnly: true}, &store.Options{
			Policy: func(context.Context, store.Access) error { asked++; return nil },
		})
		err := o.call(ctx, h)
		if !o.writes {
			ok(t, err)
			return
		}
		kindIs(t, err, "denied")
		if got := store.Message(err); got != `permission denied: store "s": it is read-only` {
			t.Errorf("message %q", got)
		}
		if len(b.calls) > 0 || asked > 0 {
			t.Errorf("the driver saw %v, the policy was asked %d times", b.calls, asked)
		}
	})
}

func TestHandle_Policy_SeesWhoDoesWhatToWhich(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		var seen []store.Access
		ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, &store.Options{
			Policy: func(_ context.Context, a store.Access) error { seen = append(seen, a); return nil },
		})
		ok(t, o.call(ctx, h))
		var want []store.Access
		for _, key := range o.keys {
			want = append(want, store.Access{Unit: "test", Store: "s", Op: o.op, Key: key})
		}
		if o.op == store.OpList { // and about what it found
			want[0].Prefix = true
			want = append(want, store.Access{Unit: "test", Store: "s", Op: o.op, Key: "a:b"})
		}
		if !slices.Equal(seen, want) {
			t.Errorf("the policy saw %v, want %v", seen, want)
		}
	})
}

func TestHandle_Denied_SendsNothing(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		last := o.keys[len(o.keys)-1] // of a batch, all but one are allowed
		ctx, h := openStore(t, b, store.Definition{}, &store.Options{
			Policy: func(_ context.Context, a store.Access) error {
				if a.Key == last {
					return errors.New("not yours")
				}
				return nil
			},
		})
		err := o.call(ctx, h)
		kindIs(t, err, "denied")
		if got := store.Message(err); !strings.HasPrefix(got, `permission denied: store "s": not yours`) {
			t.Errorf("message %q", got)
		}
		if len(o.keys) > 1 && !strings.Contains(err.Error(), last) {
			t.Errorf("%v does not name the key", err)
		}
		if len(b.calls) > 0 {
			t.Errorf("the driver saw %v", b.calls)
		}
	})
}

// A policy may well ask another store, and pass on what that answered.
func TestHandle_PolicyThatFails_IsADenialWhateverItWraps(t *testing.T) {
	for _, c := range sentinels {
		ctx, h := openStore(t, newBackend(), store.Definition{}, &store.Options{
			Policy: func(context.Context, store.Access) error { return c.err },
		})
		_, err := h.Get(ctx, "a:b")
		kindIs(t, err, "denied")
		if got := store.Message(err); !strings.HasPrefix(got, "permission denied") || strings.Count(got, "permission denied") > 1 {
			t.Errorf("message %q", got)
		}
	}
}

func TestHandle_InvalidArguments_DoNotReachThePolicy(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{
		Policy: func(_ context.Context, a store.Access) error { t.Errorf("asked about %v", a); return nil },
	})
	big := str(strings.Repeat("x", 1<<20))
	for _, err := range []error{
		h.Set(ctx, "a:b", nil, 0), h.Set(ctx, "a:b", num(1), -5), h.Set(ctx, "ab", num(1), 0), h.Set(ctx, "a:b", big, 0),
		h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}, {Key: "a:c"}}, 0),
		h.SetMany(ctx, []store.Item{{Key: "a:b", Value: num(1)}, {Key: "a:b", Value: num(2)}}, 0),
		second(h.GetMany(ctx, []string{"a:b", "ab"})), second(h.DeleteMany(ctx, []string{"a:b", ":b"})),
		second(h.Touch(ctx, "a:b", -5)), second(h.List(ctx, "\xff", "", 1)), second(h.List(ctx, "", "", 1001)),
		second(h.Incr(ctx, "a:b", math.NaN(), 0, 0)), second(h.Incr(ctx, "a:b", 1, math.Inf(-1), 0)),
		second(h.CompareAndSwap(ctx, "a:b", nil, []byte{}, 0)), second(h.CompareAndSwap(ctx, "a:b", nil, num(1), -5)),
	} {
		if kind := store.Kind(err); kind != "invalid" && kind != "too_large" {
			t.Errorf("%v is of kind %q", err, kind)
		}
	}
	if len(b.calls) > 0 {
		t.Errorf("the driver saw %v", b.calls)
	}
}
