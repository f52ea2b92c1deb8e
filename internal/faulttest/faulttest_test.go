package faulttest_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/faulttest"
)

// target has two servers, which are one, and the driver uses the last of them: that before it must fail it, too.
func target(t *testing.T, f fault) faulttest.Target {
	server := startToy(t)
	return faulttest.Target{
		Address: server.addr + "," + server.addr,
		Open: func(_ testing.TB, addr string) store.Driver {
			addr = addr[strings.LastIndex(addr, ",")+1:]
			if addr == server.addr {
				return openToy(addr, fault{})
			}
			if f.beside {
				addr = server.addr
			}
			return openToy(addr, f)
		},
		Restart: server.restart,
	}
}

func TestRun_CorrectDriver_Passes(t *testing.T) { faulttest.Run(t, target(t, fault{})) }

// A fault is a driver that is wrong in one way, and the rule that must catch it.
type fault struct {
	name   string
	caught string // by this subtest, and perhaps by others
	scale  string // of the run; default 2, which meets most faults fifteen times or more: one that is met five times is met never now and then
	beside bool   // it does not use the proxy
	timed  bool   // it takes ten times as long under the race detector, and says nothing new there
	call   func(ctx context.Context, d *toy, r request) (reply, error)
}

var faults = []fault{
	{name: "sends a lost increment again", caught: "DropReply/IncrementsAreAppliedOnce", call: again("incr")},
	{name: "sends a lost increment again when it may have arrived", caught: "SwallowReply/IncrementsAreAppliedOnce", call: halfTime},
	{name: "sends a lost delete again", caught: "DropReply/DeletesTellTheTruth", scale: "6", call: again("delete")},
	{name: "sends a lost swap again", caught: "DropReply/SwapsTellTheTruth", scale: "6", call: again("swap")},
	{name: "reports a lost delete false", caught: "DropReply/DeletesTellTheTruth", call: lostIs("delete", reply{})},
	{name: "reports a lost swap false", caught: "Reset/SwapsTellTheTruth", call: lostIs("swap", reply{})},
	{name: "reports a lost swap true", caught: "Reset/WhatIsAcknowledgedIsThere", call: lostIs("swap", reply{OK: true})},
	{name: "reports a lost delete true", caught: "Reset/WhatIsAcknowledgedIsThere", scale: "6", call: lostIs("delete", reply{OK: true})},
	{name: "is sure that what was lost failed", caught: "DropReply/WhatFailedIsNotApplied", call: sureOfFailure},
	{name: "applies later what failed", caught: "Split/WhatFailedIsNotApplied", call: later()},
	{name: "reads something else", caught: "DropReply/ReadsTellTheTruth", call: misread},
	{name: "does not know the outcome of a read", caught: "Trickle/ReadsTellTheTruth", call: unknownRead},
	{name: "has an error of no kind", caught: "Trickle/ErrorsSayThatNobodyWasThere", call: kindless},
	{name: "ignores deadlines", caught: "Blackhole/CallsReturnInTime", scale: "0.1", timed: true, call: patient},
	{name: "does not take cut replies", caught: "Split/FaultsStrike", call: failsOften()},
	{name: "never meets a fault", caught: "DropReply/FaultsStrike", beside: true, call: inPeace},
	{name: "takes long to come back", caught: "Restart/RecoversSoon", timed: true, call: offended},
}

// again sends what was lost once more.
func again(op string) func(context.Context, *toy, request) (reply, error) {
	return func(ctx context.Context, d *toy, r request) (reply, error) {
		answer, err := d.exchange(ctx, r)
		if r.Op == op && store.Kind(err) == "unknown_outcome" {
			return d.exchange(ctx, r)
		}
		return answer, err
	}
}

// halfTime gives up an increment after half of its time and sends it again.
func halfTime(ctx context.Context, d *toy, r request) (reply, error) {
	end, ok := ctx.Deadline()
	if !ok || r.Op != "incr" {
		return d.exchange(ctx, r)
	}
	half, cancel := context.WithDeadline(ctx, end.Add(-time.Until(end)/2))
	defer cancel()
	answer, err := d.exchange(half, r)
	if err != nil {
		return d.exchange(ctx, r)
	}
	return answer, nil
}

func lostIs(op string, answer reply) func(context.Context, *toy, request) (reply, error) {
	return func(ctx context.Context, d *toy, r request) (reply, error) {
		got, err := d.exchange(ctx, r)
		if r.Op == op && store.Kind(err) == "unknown_outcome" {
			return answer, nil
		}
		return got, err
	}
}

func sureOfFailure(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if store.Kind(err) == "unknown_outcome" {
		err = store.ErrUnavailable
	}
	return answer, err
}

// later fails one call in eight and makes it when nobody expects it any more.
func later() func(ctx context.Context, d *toy, r request) (reply, error) {
	var calls atomic.Int64
	return func(ctx context.Context, d *toy, r request) (reply, error) {
		if r.Op == "get" || calls.Add(1)%8 != 0 {
			return d.exchange(ctx, r)
		}
		time.AfterFunc(300*time.Millisecond, func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			d.exchange(ctx, r)
		})
		return reply{}, store.ErrTimeout
	}
}

func misread(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if r.Op == "get" {
		answer.Value = append(answer.Value, '!')
	}
	return answer, err
}

func unknownRead(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if r.Op == "get" && err != nil {
		err = store.ErrUnknownOutcome
	}
	return answer, err
}

func kindless(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if err != nil && r.Op == "get" {
		err = errors.New("connection reset by peer")
	}
	return answer, err
}

func patient(_ context.Context, d *toy, r request) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), boundtest.Scale(500*time.Millisecond))
	defer cancel()
	return d.exchange(ctx, r)
}

// inPeace does not even meet a deadline.
func inPeace(_ context.Context, d *toy, r request) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return d.exchange(ctx, r)
}

// failsOften fails one call in four.
func failsOften() func(ctx context.Context, d *toy, r request) (reply, error) {
	var calls atomic.Int64
	return func(ctx context.Context, d *toy, r request) (reply, error) {
		if calls.Add(1)%4 == 0 {
			return reply{}, store.ErrUnavailable
		}
		return d.exchange(ctx, r)
	}
}

// offended makes no call for a while after one failed.
func offended(ctx context.Context, d *toy, r request) (reply, error) {
	d.mu.Lock()
	wait := !d.failed.IsZero() && time.Since(d.failed) < boundtest.Scale(6*time.Second)
	d.mu.Unlock()
	if wait {
		return reply{}, store.ErrUnavailable
	}
	answer, err := d.exchange(ctx, r)
	if err != nil {
		d.mu.Lock()
		d.failed = time.Now()
		d.mu.Unlock()
	}
	return answer, err
}

// faultToRun names the fault that a child of this test binary runs on.
const faultToRun = "FAULTTEST_FAULT"

// TestFault is a run on a wrong driver: it fails in the children that the next test starts, and runs nowhere else.
func TestFault(t *testing.T) {
	if i := slices.IndexFunc(faults, func(f fault) bool { return f.name == os.Getenv(faultToRun) }); i >= 0 {
		faulttest.Run(t, target(t, faults[i]))
	}
}

// failedRule finds the name of a rule in the output of a test binary.
var failedRule = regexp.MustCompile(`--- FAIL: TestFault/(\w+/\w+) \(`)

// TestRun_EveryFault_IsCaughtByItsRule runs on each wrong driver in a child process, because it must fail there; on all at a time,
// because they mostly wait.
func TestRun_EveryFault_IsCaughtByItsRule(t *testing.T) {
	outputs := map[string]<-chan []byte{}
	for _, f := range faults {
		if !f.timed || !boundtest.Race {
			outputs[f.name] = startChild(t, f)
		}
	}
	for _, f := range faults {
		output, started := outputs[f.name]
		if !started {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			out := <-output
			if bytes.Contains(out, []byte("panic: ")) {
				t.Errorf("the run panics rather than fails:\n%s", out)
			}
			var failed []string
			for _, m := range failedRule.FindAllSubmatch(out, -1) {
				failed = append(failed, string(m[1]))
			}
			if !slices.Contains(failed, f.caught) {
				t.Errorf("not caught by %s, but by %q:\n%s", f.caught, failed, out)
			}
			t.Logf("caught by %s", strings.Join(failed, ", "))
		})
	}
}

// startChild runs the mode that must catch a fault in a child process, and returns what that printed when it has ended.
func startChild(t *testing.T, f fault) <-chan []byte {
	t.Helper()
	mode, _, _ := strings.Cut(f.caught, "/")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFault$/^"+mode+"$", "-test.timeout=3m")
	child.Env = append(os.Environ(), faultToRun+"="+f.name, "STORETEST_SCALE="+cmp.Or(f.scale, "2"))
	output := make(chan []byte, 1)
	go func() {
		out, _ := child.CombinedOutput()
		output <- out
	}()
	return output
}
