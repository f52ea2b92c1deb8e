package mysql

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
)

func TestLostReply_OfAWrite_IsAnUnknownOutcome(t *testing.T) {
	server := mariadbtest.Shared(t)
	d, b := openBroken(t, server)
	beside := openURL(t, server.URL())
	one, two := []byte("one"), []byte("two")
	for name, w := range map[string]struct {
		do    func(context.Context) error
		left  string // what is stored after it
		found bool
	}{
		"Set":        {func(ctx context.Context) error { return d.Set(ctx, "t:k", two, 0) }, "two", true},
		"SetKeep":    {func(ctx context.Context) error { return d.Set(ctx, "t:k", two, store.KeepTTL) }, "two", true},
		"Delete":     {func(ctx context.Context) error { _, err := d.Delete(ctx, "t:k"); return err }, "", false},
		"Touch":      {func(ctx context.Context) error { _, err := d.Touch(ctx, "t:k", store.MaxTTL); return err }, "one", true},
		"Swap":       {func(ctx context.Context) error { _, err := d.CompareAndSwap(ctx, "t:k", one, two, 0); return err }, "two", true},
		"SwapDelete": {func(ctx context.Context) error { _, err := d.CompareAndSwap(ctx, "t:k", one, nil, 0); return err }, "", false},
		"Create":     {func(ctx context.Context) error { _, err := d.CompareAndSwap(ctx, "t:new", nil, two, 0); return err }, "one", true},
		"SetMany":    {func(ctx context.Context) error { return d.SetMany(ctx, []store.Item{{Key: "t:k", Value: two}}, 0) }, "two", true},
		"DeleteMany": {func(ctx context.Context) error { _, err := d.DeleteMany(ctx, []string{"t:k"}); return err }, "", false},
		"SetEmpty":   {func(ctx context.Context) error { return d.Set(ctx, "t:k", nil, 0) }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			prime(t, d, one)
			b.armed.Store(1)
			if err := w.do(ctx); store.Kind(err) != "unknown_outcome" {
				t.Fatalf("got %v, want an unknown outcome", err)
			}
			v, err := beside.Get(ctx, "t:k")
			if string(v) != w.left || errors.Is(err, store.ErrNotFound) == w.found {
				t.Errorf("then the key holds %q, %v; want %q", v, err, w.left)
			}
		})
	}
}

// prime stores v under t:k, and sees to it that the statements of the driver are prepared on its one connection.
func prime(t testing.TB, d *Driver, v []byte) {
	t.Helper()
	ctx := testContext(t)
	for range 2 {
		must(d.DeleteMany(ctx, []string{"t:new", "t:n"}))(t)
		d.Set(ctx, "t:k", v, 0)
		d.Set(ctx, "t:k", v, store.KeepTTL)
		d.Touch(ctx, "t:k", 0)
		d.CompareAndSwap(ctx, "t:k", v, v, 0)
		d.CompareAndSwap(ctx, "t:k", []byte("other"), nil, 0)
		d.CompareAndSwap(ctx, "t:new", nil, v, 0)
		d.Delete(ctx, "t:new")
		must(d.Incr(ctx, "t:n", 1, 0, 0))(t)
		must(d.Incr(ctx, "t:n", 1, 0, 0))(t)
		must(d.Get(ctx, "t:k"))(t)
	}
}

// The last reply of an increment is that to its write. Whatever is lost before it was not applied, and is done again.
func TestLostReply_OfEachStepOfAnIncr_IsAppliedOnceOrUnknown(t *testing.T) {
	for name, metAt := range map[string]int64{"Swapping": 0, "Locking": math.MaxInt64} {
		t.Run(name, func(t *testing.T) {
			server := mariadbtest.Shared(t)
			d, b := openBroken(t, server)
			d.metAt.Store(metAt)
			beside, ctx := openURL(t, server.URL()), testContext(t)
			seen := map[string]int{}
			for step := int64(1); step <= 4; step++ {
				for range 5 {
					prime(t, d, nil)
					before := must(beside.Incr(ctx, "t:n", 0, 0, 0))(t)
					b.armed.Store(step)
					_, err := d.Incr(ctx, "t:n", 1, 0, 0)
					b.armed.Store(0)
					added := must(beside.Incr(ctx, "t:n", 0, 0, 0))(t) - before
					kind := store.Kind(err)
					seen[kind]++
					if kind == "" && added != 1 || kind == "unknown_outcome" && added != 0 && added != 1 || kind != "" && kind != "unknown_outcome" {
						t.Errorf("step %d: %v, and %v was added", step, err, added)
					}
				}
			}
			if seen[""] == 0 || seen["unknown_outcome"] == 0 {
				t.Errorf("outcomes %v, want some of each", seen)
			}
		})
	}
}

func TestLostReply_OfARead_IsAskedAgain(t *testing.T) {
	d, b := openBroken(t, mariadbtest.Shared(t))
	ctx := testContext(t)
	for range 5 {
		prime(t, d, []byte("v"))
		b.armed.Store(1)
		if v, err := d.Get(ctx, "t:k"); string(v) != "v" || err != nil {
			t.Errorf("Get: %q, %v", v, err)
		}
		b.armed.Store(1)
		if v, err := d.GetMany(ctx, []string{"t:k"}); err != nil || string(v[0]) != "v" {
			t.Errorf("GetMany: %q, %v", v, err)
		}
		b.armed.Store(1)
		if page, err := d.List(ctx, "t:", "", 10); err != nil || len(page.Keys) != 2 {
			t.Errorf("List: %v, %v", page, err)
		}
	}
}

func TestLostReply_OfABatch_NamesItsKeys(t *testing.T) {
	d, b := openBroken(t, mariadbtest.Shared(t))
	prime(t, d, nil)
	b.armed.Store(1)
	err := d.SetMany(testContext(t), []store.Item{{Key: "k:1"}, {Key: "k:2"}}, 0)
	var batch *store.BatchError
	if !errors.As(err, &batch) || !slices.Equal(batch.Keys(), []string{"k:1", "k:2"}) || store.Kind(err) != "unknown_outcome" {
		t.Errorf("got %v", err)
	}
}
