package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

func TestSilentServer_DeadlineAndCancellation_AreAnsweredInTime(t *testing.T) {
	// The first reply lets makePiped pass.
	p := startPuppet(t, nil, func(command []string) string {
		if len(command) > 1 && command[1] == "k:pipe" {
			return ":0\r\n"
		}
		return silence
	})
	eachWay(t, func(t *testing.T) *Driver { return openURL(t, "redis://"+p.addr) }, func(t *testing.T, d *Driver) {
		var lates []time.Duration
		for kind, with := range ends {
			for name, op := range reads {
				late, err := endedCall(t, d, op, with)
				if lates = append(lates, late); store.Kind(err) != kind || !errors.Is(err, causes[kind]) {
					t.Errorf("%s: %v, want %s", name, err, kind)
				}
			}
			for name, op := range writes {
				late, err := endedCall(t, d, op, with)
				if lates = append(lates, late); store.Kind(err) != "unknown_outcome" || !errors.Is(err, causes[kind]) {
					t.Errorf("%s, %s: %v, want unknown outcome", name, kind, err)
				}
			}
		}
		slices.Sort(lates)
		if median := lates[len(lates)/2]; median > boundtest.Scale(answerBound) {
			t.Errorf("half of the calls answered later than %v after the end of the context", median)
		}
	})
}

type withEnd func(context.Context, time.Duration) (context.Context, context.CancelFunc)

// ends are the ways in which a context ends, by the kind of a call that was not sent or changes nothing.
var (
	ends   = map[string]withEnd{"timeout": context.WithTimeout, "canceled": cancelAfter}
	causes = map[string]error{"timeout": context.DeadlineExceeded, "canceled": context.Canceled}
)

// cancelAfter is a context with a deadline far away, as a handle makes it, that is cancelled after d.
func cancelAfter(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(parent, time.Hour)
	timer := time.AfterFunc(d, cancel)
	return ctx, func() { timer.Stop(); cancel() }
}

// answerBound is how late a call may answer after the end of its context. Close has no such bound: closeBound is less than the second
// that the client alone would wait for a reply, and leaves room for a busy machine. It must hold in one of three attempts.
const (
	answerBound = 50 * time.Millisecond
	closeBound  = 900 * time.Millisecond
)

// endedCall makes a call whose context ends after 20 ms, and returns how late its answer came, and its error. A busy machine may end
// the context before the command is sent: then once more. Each call has a link of its own: on that of the calls before, their commands may
// be sent as late as during this one, and a second after the first of them it is given up.
func endedCall(t *testing.T, d *Driver, op func(context.Context, *Driver) error, with withEnd) (late time.Duration, err error) {
	t.Helper()
	const after = 20 * time.Millisecond
	for range 10 {
		if before := only(d).live.Load(); before != nil {
			before.cut()
		}
		if only(d).crowded.Load() {
			makePiped(t, d)
		}
		link := must(only(d).connect(testContext(t)))(t)
		written := link.written.Load()
		ctx, cancel := with(context.Background(), after)
		end := time.Now().Add(after)
		err = op(ctx, d)
		late = time.Since(end)
		cancel()
		if link.written.Load() > written {
			return late, err
		}
	}
	return late, err
}

func TestSilentServer_ManyCallers_AreAnsweredInTime(t *testing.T) {
	p := startPuppet(t, nil, always(silence))
	for _, c := range []struct{ callers, rounds int }{{1, 100}, {64, 20}, {1500, 2}} {
		for name, with := range ends {
			t.Run(fmt.Sprint(c.callers, " callers, ", name), func(t *testing.T) {
				before := goleak.IgnoreCurrent()
				d := must(open(testContext(t), must(ParseURL("redis://"+p.addr))(t).target()))(t)
				// A bound that holds in one of five attempts tells a slow driver from a busy machine.
				var late, control time.Duration
				for range 5 {
					late, control = lateness(c.callers, c.rounds, with, func(ctx context.Context) {
						if err := d.Set(ctx, "k:1", []byte("v"), 0); err == nil {
							t.Error("a silent server confirmed a write")
						}
					})
					if late <= control+boundtest.Scale(answerBound) {
						break
					}
				}
				if late > control+boundtest.Scale(answerBound) {
					t.Errorf("p99 is %v after the end of the context, want under %v more than the %v of no call at all", late, boundtest.Scale(answerBound), control)
				}
				start := time.Now()
				d.Close()
				if took := time.Since(start); took > boundtest.Scale(closeBound) {
					t.Errorf("Close took %v", took)
				}
				if held := len(only(d).slots); held > 0 {
					t.Errorf("%d slots are held after Close", held)
				}
				goleak.VerifyNone(t, before)
			})
		}
	}
}

// lateness returns the 99th percentile of how long after the end of their contexts calls return, and that of waiting for the
// contexts alone, in turns: what a busy machine adds.
func lateness(callers, rounds int, with withEnd, call func(context.Context)) (late, control time.Duration) {
	const after = 20 * time.Millisecond
	var mu sync.Mutex
	var lates, controls []time.Duration
	measure := func(all *[]time.Duration, wait func(context.Context)) {
		ctx, cancel := with(context.Background(), after)
		defer cancel()
		end := time.Now().Add(after)
		wait(ctx)
		took := time.Since(end)
		mu.Lock()
		*all = append(*all, took)
		mu.Unlock()
	}
	var wait sync.WaitGroup
	for range callers {
		wait.Go(func() {
			for range rounds {
				measure(&controls, func(ctx context.Context) { <-ctx.Done() })
				measure(&lates, call)
			}
		})
	}
	wait.Wait()
	p99 := func(all []time.Duration) time.Duration {
		slices.Sort(all)
		return all[(len(all)-1)*99/100]
	}
	return p99(lates), p99(controls)
}

// bestOfThree returns the least time that f takes in up to three attempts.
func bestOfThree(f func() time.Duration) (best time.Duration) {
	for i := range 3 {
		if took := f(); i == 0 || took < best {
			best = took
		}
		if best <= boundtest.Scale(closeBound) {
			break
		}
	}
	return best
}

func TestSilentServer_Close_EndsCallsUnderWay(t *testing.T) {
	p := startPuppet(t, nil, func(command []string) string {
		if len(command) > 1 && command[1] == "k:pipe" {
			return ":0\r\n"
		}
		return silence
	})
	for _, piped := range []bool{false, true} {
		t.Run(fmt.Sprintf("piped=%v", piped), func(t *testing.T) {
			took := bestOfThree(func() time.Duration {
				d := openURL(t, "redis://"+p.addr)
				if piped {
					makePiped(t, d)
				}
				took, err := closeUnderACall(t, d)
				if store.Kind(err) != "unknown_outcome" {
					t.Errorf("a write under way at Close: %v, want unknown outcome", err)
				}
				return took
			})
			if took > boundtest.Scale(closeBound) {
				t.Errorf("returned after %v", took)
			}
		})
	}
}

// closeUnderACall closes d beside a call that waits for its reply, and returns how long both take, and the error of the call.
func closeUnderACall(t *testing.T, d *Driver) (took time.Duration, err error) {
	t.Helper()
	outcome := make(chan error, 1)
	link := only(d).live.Load()
	written := link.written.Load()
	go func() { outcome <- writes["incr"](testContext(t), d) }()
	eventually(t, "the command was sent", func() bool { return link.written.Load() > written })
	start := time.Now()
	d.Close()
	err = <-outcome
	return time.Since(start), err
}

func TestMuteServer_Open_EndsWithItsContext(t *testing.T) {
	p := startPuppet(t, always(silence), always(silence))
	for name, with := range ends {
		before := goleak.IgnoreCurrent()
		took := bestOfThree(func() time.Duration {
			ctx, cancel := with(context.Background(), 20*time.Millisecond)
			defer cancel()
			start := time.Now()
			if _, err := Opener(must(ParseURL("redis://" + p.addr))(t)).Open(ctx); store.Kind(err) != name {
				t.Errorf("%s: %v", name, err)
			}
			return time.Since(start)
		})
		if took > boundtest.Scale(closeBound) {
			t.Errorf("%s: took %v", name, took)
		}
		goleak.VerifyNone(t, before)
	}
	took := bestOfThree(func() time.Duration {
		start := time.Now()
		_, err := Opener(must(ParseURL("redis://" + p.addr + "?dial_timeout=30ms"))(t)).Open(testContext(t))
		if store.Kind(err) != "unavailable" {
			t.Errorf("dial_timeout: %v", err)
		}
		return time.Since(start)
	})
	if took > boundtest.Scale(closeBound) {
		t.Errorf("dial_timeout: after %v", took)
	}
}

func TestServerThatStopsShakingHands_CallsEndWithTheirContext_NothingSent(t *testing.T) {
	var mute atomic.Bool
	p := startPuppet(t, func(command []string) string {
		switch {
		case mute.Load():
			return silence
		case command[0] == "HELLO":
			return helloReply
		}
		return "+OK\r\n"
	}, always("$1\r\nv\r\n"+hangUp))
	d := openURL(t, "redis://"+p.addr)
	mute.Store(true)
	eventually(t, "the connection is gone", func() bool { d.Get(testContextShort(t), "k:1"); return only(d).live.Load() == nil })
	var wait sync.WaitGroup
	for range 8 {
		for kind, with := range ends {
			wait.Go(func() {
				ctx, cancel := with(context.Background(), 20*time.Millisecond)
				defer cancel()
				start := time.Now()
				if err := d.Set(ctx, "k:1", nil, 0); store.Kind(err) != kind {
					t.Errorf("%v, want %s: nothing was sent", err, kind)
				}
				if took := time.Since(start); took > boundtest.Scale(closeBound) {
					t.Errorf("answered after %v", took)
				}
			})
		}
	}
	wait.Wait()
}

func testContextShort(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
