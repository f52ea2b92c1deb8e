package natsstore

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/luastore/store/internal/natstest"
)

// More calls than may be under way wait for a leader that is gone. What the next one is asked must not wait for them.
func TestReads_MoreThanMayBeUnderWayWhileTheLeaderIsGone_EndSoonAfterItsReturn(t *testing.T) {
	var gone atomic.Bool
	var unanswered atomic.Int64
	d := replicated(t, func(came post) string {
		switch {
		case gone.Load():
			unanswered.Add(1)
			return silence
		case came.is("STREAM.MSG.GET"):
			return messageOf("$KV.b.t.k", 7, "", "now")
		}
		return ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	gone.Store(true)
	var calls sync.WaitGroup
	var failed atomic.Int64
	for range maxCalls + 100 {
		calls.Go(func() {
			if _, err := d.Get(ctx, "t:k"); err != nil {
				failed.Add(1)
			}
		})
	}
	began := time.Now()
	eventually(t, "all that may be are under way, and the majority was asked in vain", func() bool {
		return unanswered.Load() >= maxCalls && time.Since(began) > 2*readPatience
	})
	gone.Store(false)
	calls.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d of %d reads failed", failed.Load(), maxCalls+100)
	}
}

func TestGetMany_WhoseRepliesAreLost_AsksForAllOfThemAgainAtOnce(t *testing.T) {
	var gets atomic.Int64
	d := replicated(t, func(came post) string {
		if came.is("STREAM.MSG.GET") && gets.Add(1) <= maxAhead {
			return silence
		}
		return ""
	})
	keys := make([]string, maxAhead)
	for i := range keys {
		keys[i] = "t:" + strconv.Itoa(i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := d.GetMany(ctx, keys); err != nil {
		t.Error(err)
	}
}

// The messages of a bucket are numbered anew when its server lost them, or when it is made again.
func TestIncr_AfterTheServerLostItsMemory_AddsToWhatIsThere(t *testing.T) {
	s := natstest.Start(t, nil)
	d := openURL(t, s.URL()+"?storage=memory")
	for range 3 {
		must(d.Incr(testContext(t), "t:k", 1, 0, 0))(t)
	}
	s.Kill()
	s.Restart(t)
	addsToAnother(t, d, openURL(t, s.URL()))
}

func TestIncr_AfterTheBucketWasMadeAgain_AddsToWhatIsThere(t *testing.T) {
	s := natstest.Shared(t)
	d := openURL(t, s.URL())
	for range 3 {
		must(d.Incr(testContext(t), "t:k", 1, 0, 0))(t)
	}
	js := must(jetstream.New(s.Conn(t)))(t)
	if err := js.DeleteStream(testContext(t), d.stream); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	other := openURL(t, s.URL())
	eventually(t, "what was remembered is too old", func() bool { return time.Since(began) > maxRecentAge })
	addsToAnother(t, d, other)
}

// addsToAnother lets another driver write as many messages as d has read and written, and d add to the last.
func addsToAnother(t *testing.T, d, other *Driver) {
	t.Helper()
	for range 3 {
		if err := other.Set(testContext(t), "t:k", []byte{1}, 0); err != nil {
			t.Fatal(err)
		}
	}
	var sum float64
	eventually(t, "the driver is connected again", func() (ok bool) {
		var err error
		sum, err = d.Incr(testContext(t), "t:k", 1, 0, 0)
		return err == nil
	})
	if want := must(other.Get(testContext(t), "t:k"))(t); sum != 2 || len(want) != 1 || want[0] != 2 {
		t.Errorf("1 and 1 is %v, stored %q", sum, want)
	}
}

// A majority may answer before the true leader says that it stored what the old one refused.
func TestWrites_StoredByTheNewLeaderAfterTheMajorityAnswered_AreDoneOnce(t *testing.T) {
	for what, write := range conditional {
		var stores atomic.Int64
		d := replicated(t, func(came post) string {
			switch {
			case came.is("STREAM.MSG.GET") && stores.Load() > 0:
				return messageOf("$KV.b.t.k", 8, "", "\x02")
			case came.is("STREAM.MSG.GET"):
				return messageOf("$KV.b.t.k", 5, "", "\x01")
			case strings.HasPrefix(came.subject, "$KV."):
				stores.Add(1)
				return wrongLast + and + afterOthers + stored8
			}
			return ""
		})
		if got, err := write(t, d); got != "done" || err != nil || stores.Load() != 1 {
			t.Errorf("%s: %s, %v, %d messages", what, got, err, stores.Load())
		}
	}
}
