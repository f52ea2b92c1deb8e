package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

// sentinels pairs each sentinel with its kind.
var sentinels = []struct {
	err  error
	kind string
}{
	{store.ErrNotFound, "not_found"}, {store.ErrStoreNotFound, "store_not_found"}, {store.ErrInvalid, "invalid"},
	{store.ErrDenied, "denied"}, {store.ErrTooLarge, "too_large"}, {store.ErrFull, "full"}, {store.ErrConflict, "conflict"},
	{store.ErrAborted, "aborted"}, {store.ErrReleased, "released"}, {store.ErrUnavailable, "unavailable"},
	{store.ErrTimeout, "timeout"}, {store.ErrCanceled, "canceled"}, {store.ErrUnknownOutcome, "unknown_outcome"},
	{store.ErrCorrupt, "corrupt"}, {store.ErrNotNumber, "invalid"}, {store.ErrOutOfRange, "invalid"},
	{context.DeadlineExceeded, "timeout"}, {context.Canceled, "canceled"}, {errors.New("something else"), "internal"},
}

func TestKind_NamesEverySentinelHoweverWrapped(t *testing.T) {
	for _, c := range sentinels {
		for _, err := range []error{
			c.err,
			fmt.Errorf("context: %w", c.err),
			&store.Error{Store: "s", Op: store.OpGet, Err: c.err},
			&store.BatchError{Errs: map[string]error{"a:b": c.err}},
			errors.Join(c.err, errors.New("another")),
		} {
			if got := store.Kind(err); got != c.kind {
				t.Errorf("Kind(%T of %v) = %q, want %q", err, c.err, got, c.kind)
			}
		}
	}
	if got := store.Kind(nil); got != "" {
		t.Errorf("Kind(nil) = %q", got)
	}
}

func TestErrorf_IsItsCauseWhateverItSays(t *testing.T) {
	for _, cause := range []error{store.ErrNotFound, store.ErrDenied, store.ErrFull, store.ErrInvalid, store.ErrCorrupt} {
		err := store.Errorf(cause, "in other words: %w", context.Canceled)
		if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) || err.Error() != "in other words: context canceled" {
			t.Errorf("%v is no %v", err, cause)
		}
	}
}

func TestKind_OfSeveralCauses_IsTheTellingOne(t *testing.T) {
	for want, err := range map[string]error{
		"unknown_outcome": fmt.Errorf("%w: %w", store.ErrUnknownOutcome, context.DeadlineExceeded),
		"timeout":         fmt.Errorf("%w: %w", store.ErrUnavailable, context.DeadlineExceeded),
		"denied":          fmt.Errorf("%w: %w", store.ErrDenied, context.Canceled),
	} {
		if got := store.Kind(err); got != want {
			t.Errorf("Kind(%v) = %q, want %q", err, got, want)
		}
	}
}

func TestHandle_DriverErrors_AreWrappedOnce(t *testing.T) {
	for _, c := range sentinels {
		t.Run(c.err.Error(), func(t *testing.T) {
			b := newBackend()
			ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, nil)
			b.before = func(context.Context, fakeCall) error { return fmt.Errorf("from the driver: %w", c.err) }
			_, err := h.Get(ctx, "a:b")
			kindIs(t, err, c.kind)
			switch c.kind {
			case "not_found":
				if !bare(err, store.ErrNotFound) {
					t.Errorf("%v is not bare", err)
				}
				return
			case "released":
				return
			}
			var e *store.Error
			if !errors.As(err, &e) || e.Store != "s" || e.Op != store.OpGet || e.Key != "a:b" {
				t.Fatalf("error %#v does not say where", err)
			}
			if errors.As(e.Err, new(*store.Error)) {
				t.Errorf("%v is wrapped twice", err)
			}
			if !strings.HasPrefix(err.Error(), `store "s": get "a:b": `) || strings.Contains(err.Error(), "pre:") {
				t.Errorf("text %q", err)
			}
			if !errors.Is(err, c.err) {
				t.Errorf("%v is no %v", err, c.err)
			}
		})
	}
}

func TestHandle_ErrorsOfContext_GetASentinel(t *testing.T) {
	ctx, h := openStore(t, newBackend(), store.Definition{}, nil)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := h.Get(ended, "a:b")
	if !errors.Is(err, store.ErrCanceled) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	late, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
	defer cancel()
	_, err = h.Has(late, "a:b")
	if !errors.Is(err, store.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("late: %v", err)
	}
}

func TestMessage_TellsTheContextWhereItHelps(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{store.ErrNotFound, "key not found"},
		{errors.New("plain"), "plain"},
		{&store.Error{Store: "s", Op: store.OpSet, Key: "a:b", Err: store.ErrFull}, "store full"},
		{&store.Error{Store: "s", Op: store.OpSet, Key: "a:b", Err: store.ErrTimeout}, `store "s": set "a:b": timeout`},
		{&store.Error{Store: "s", Op: store.OpOpen, Err: store.ErrUnavailable}, `store "s": open: store unavailable`},
		{&store.Error{Store: "s", Op: store.OpGet, Key: "a:b", Err: errors.New("odd")}, `store "s": get "a:b": odd`},
		{fmt.Errorf("outside: %w", &store.Error{Store: "s", Op: store.OpGet, Key: "a:b", Err: store.ErrCorrupt}), "corrupt value"},
	} {
		if got := store.Message(c.err); got != c.want {
			t.Errorf("Message(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

func TestBatchError_NamesKeysInOrder(t *testing.T) {
	full, lost := store.ErrFull, fmt.Errorf("lost: %w", store.ErrUnknownOutcome)
	for _, c := range []struct {
		errs map[string]error
		text string
		kind string
	}{
		{map[string]error{"a:b": full}, `1 key failed: "a:b": store full`, "full"},
		{map[string]error{"b:b": full, "a:b": store.ErrTimeout}, `2 keys failed: "a:b", "b:b": timeout`, "timeout"},
		{
			map[string]error{"d:b": lost, "c:b": full, "b:b": full, "a:b": full},
			`4 keys failed: "a:b", "b:b", "c:b" and 1 more: lost: unknown outcome`, "unknown_outcome",
		},
	} {
		err := &store.BatchError{Errs: c.errs}
		if err.Error() != c.text || store.Kind(err) != c.kind {
			t.Errorf("%q of kind %q, want %q of kind %q", err, store.Kind(err), c.text, c.kind)
		}
	}
	if err := (&store.BatchError{}); err.Unwrap() != nil || err.Error() == "" {
		t.Errorf("of nothing: %v", err)
	}
}
