package natsstore

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

// newTestClock returns the clock of a driver that has a connection.
func newTestClock() (*clock, *link) {
	d := newDriver((&Options{}).target())
	l := &link{driver: d}
	d.live.Store(l)
	return &d.clock, l
}

func TestClock_KnowsTheTimeToHalfAnExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := newTestClock()
		const ahead = 7 * time.Hour
		sent := time.Now()
		time.Sleep(30 * time.Millisecond)
		leader := time.Now().Add(ahead)
		time.Sleep(10 * time.Millisecond)
		c.observe(l, sent, time.Now(), leader)
		for range 4 {
			m, err := c.now(context.Background())
			truth := time.Now().Add(ahead).UnixMilli()
			if err != nil || m.earliest > truth || m.latest < truth || m.latest-m.earliest > 45 {
				t.Errorf("from %d to %d, want %d in between, %v", m.earliest, m.latest, truth, err)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestClock_KeepsTheBetterEstimateUntilDriftOutweighsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := newTestClock()
		observe := func(half time.Duration) {
			now := time.Now()
			c.observe(l, now.Add(-2*half), now, now.Add(-half))
		}
		observe(time.Millisecond)
		observe(2 * time.Millisecond)
		if c.known.half != time.Millisecond {
			t.Error("a worse estimate replaced a better one")
		}
		observe(time.Microsecond)
		if c.known.half != time.Microsecond {
			t.Error("a better estimate was not taken")
		}
		time.Sleep(11 * time.Second)
		observe(2 * time.Millisecond)
		if c.known.half != 2*time.Millisecond {
			t.Errorf("an old estimate that may be %v off outlives one of 2ms", c.known.errorAt(time.Now()))
		}
	})
}

func TestClock_ThatIsSet_IsFollowedAtOnce(t *testing.T) {
	c, l := newTestClock()
	now := time.Now()
	c.observe(l, now, now, now)
	c.observe(l, now, now.Add(time.Second), now.Add(time.Hour))
	m, err := c.now(context.Background())
	if err != nil || m.latest < now.Add(time.Hour-time.Second).UnixMilli() {
		t.Errorf("the clock stands at %d", m.latest)
	}
	c.observe(l, now, now.Add(time.Second), now.Add(-time.Hour))
	if m, err := c.now(context.Background()); err != nil || m.latest > now.UnixMilli() {
		t.Errorf("the clock stands at %d", m.latest)
	}
}

func TestClock_ABetterEstimate_MakesNoTimeToLiveLonger(t *testing.T) {
	c, l := newTestClock()
	now := time.Now()
	c.observe(l, now.Add(-time.Second), now, now.Add(-500*time.Millisecond))
	before, _ := c.now(context.Background())
	c.observe(l, now, now, now)
	after, _ := c.now(context.Background())
	if after.latest < before.latest || after.earliest < before.earliest {
		t.Errorf("the clock went back from %v to %v", before, after)
	}
}

func TestExpiry_IsByTheClockOfTheServer(t *testing.T) {
	var ahead atomic.Int64
	ahead.Store(int64(30 * 24 * time.Hour))
	var stored atomic.Pointer[string]
	p := startPuppet(t, func(came post) string {
		switch {
		case came.is("STREAM.INFO"):
			return infoAt(time.Now().Add(time.Duration(ahead.Load())))
		case came.is("STREAM.MSG.GET") && stored.Load() != nil:
			return messageOf("$KV.b.t.k", 7, *stored.Load(), "v")
		case came.header != "":
			header := came.header[len("NATS/1.0\r\n") : len(came.header)-4]
			stored.Store(&header)
		}
		return ""
	})
	d, ctx := openURL(t, "nats://"+p.addr+"/b"), testContext(t)
	if err := d.Set(ctx, "t:k", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, ttl, err := d.Entry(ctx, "t:k"); ttl > time.Hour || ttl < time.Hour-time.Minute || err != nil {
		t.Errorf("%v left, %v", ttl, err)
	}
	ahead.Add(int64(2 * time.Hour))
	if _, err := d.askInfo(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(ctx, "t:k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("two hours later: %v", err)
	}
	if existed, err := d.Touch(ctx, "t:k", time.Hour); existed || err != nil {
		t.Errorf("Touch = %v, %v", existed, err)
	}
}

func TestExpiry_WithoutAClock_IsUnavailableAndNothingIsWritten(t *testing.T) {
	var mute atomic.Bool
	var published atomic.Int64
	p := startPuppet(t, func(came post) string {
		switch {
		case came.is("STREAM.INFO") && mute.Load():
			return silence
		case came.is("STREAM.MSG.GET"):
			return messageOf("$KV.b.t.k", 7, "Luastore-Expires: 99999999999999", "v")
		case !came.is("STREAM.INFO"):
			published.Add(1)
		}
		return ""
	})
	d := openURL(t, "nats://"+p.addr+"/b")
	mute.Store(true)
	d.clock.known = nil
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, get := d.Get(ctx, "t:k")
	_, swap := d.CompareAndSwap(ctx, "t:k", []byte("v"), []byte("w"), time.Hour)
	for op, err := range map[string]error{
		"get": get, "set": d.Set(ctx, "t:k", nil, time.Hour), "swap": swap, "set many": d.SetMany(ctx, []store.Item{{Key: "t:k"}}, time.Hour),
	} {
		if store.Kind(err) != "timeout" {
			t.Errorf("%s: %v, want a timeout", op, err)
		}
	}
	if published.Load() != 0 {
		t.Error("something was written")
	}
}
