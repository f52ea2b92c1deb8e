package table

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errDeadlock, errOther = errors.New("deadlock"), errors.New("other")

func isDeadlock(err error) bool { return errors.Is(err, errDeadlock) }

func TestRetry_UntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := Retry(t.Context(), func() error {
			if tries++; tries < 20 {
				return errDeadlock
			}
			return nil
		}, isDeadlock)
		if err != nil || tries != 20 {
			t.Errorf("got %v after %d tries", err, tries)
		}
	})
}

func TestRetry_AnotherError_IsReturnedAtOnce(t *testing.T) {
	tries := 0
	err := Retry(t.Context(), func() error { tries++; return errOther }, isDeadlock)
	if !errors.Is(err, errOther) || tries != 1 {
		t.Errorf("got %v after %d tries", err, tries)
	}
}

func TestRetry_EndOfContext_EndsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start, tries := time.Now(), 0
		err := Retry(ctx, func() error { tries++; return errDeadlock }, isDeadlock)
		if took := time.Since(start); !isDeadlock(err) || took > time.Second {
			t.Errorf("got %v after %v", err, took)
		}
		// Full jitter up to 100 ms: some 20 in a second, thousands without pauses that grow.
		if tries < 10 || tries > 200 {
			t.Errorf("%d tries in a second", tries)
		}
	})
}
