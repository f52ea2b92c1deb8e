//go:build !race

package historytest_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/historytest"
)

const ms = time.Millisecond

// target returns a small run on a cluster in which everything happens that can.
func target(f fault) historytest.Target {
	c := newToyCluster()
	c.forgets = f.forgets
	target := historytest.Target{
		Open: func(_ testing.TB, client int) store.Driver {
			return &toy{cluster: c, server: client % 3, fault: f}
		},
		Faults: []historytest.Fault{
			{Name: "leader killed", Strike: c.killLeader},
			{Name: "server cut off", Strike: c.cut, Heal: c.rejoin, Lasts: 300 * ms},
			{Name: "leader paused", Strike: c.pause, Heal: c.resume, Lasts: 500 * ms},
		},
		Clients: 3, Lossy: f.lossy, Deadline: 100 * ms, Recovery: time.Second, Pace: 4 * ms, Calm: 150 * ms, Watch: 300 * ms,
	}
	if f.paused {
		target.Faults = target.Faults[2:]
	}
	return target
}

func TestRun_CorrectDriver_Passes(t *testing.T) {
	t.Parallel()
	report := historytest.Run(t, target(fault{}))
	if report.AcknowledgedLost != 0 || report.Acknowledged == 0 || report.Checked == 0 {
		t.Errorf("%v: want everything checked and nothing lost", report)
	}
	if report.Outcomes["unknown_outcome"] == 0 || report.Outcomes["unavailable"] == 0 || report.Outcomes["timeout"] == 0 {
		t.Errorf("%v: want all kinds of errors", report)
	}
	if report.LongestOutage < election || len(report.Recoveries)%4 != 0 {
		t.Errorf("%v: want an outage of at least %v, and four recoveries from each round", report, election)
	}
}

func TestRun_LossyStore_CountsWhatIsLost(t *testing.T) {
	t.Parallel()
	report := historytest.Run(t, target(fault{forgets: true, lossy: true}))
	if report.AcknowledgedLost == 0 || report.AcknowledgedLost > report.Acknowledged/2 || report.Checked != 0 {
		t.Errorf("%v: want some writes lost, and no histories checked", report)
	}
}

func TestRun_Tags_AreInAllKeys(t *testing.T) {
	t.Parallel()
	small := target(fault{})
	small.Faults, small.Tags = small.Faults[:1], []string{"a", "b"}
	open, cluster := small.Open, (*toyCluster)(nil)
	small.Open = func(t testing.TB, client int) store.Driver {
		d := open(t, client)
		cluster = d.(*toy).cluster
		return d
	}
	historytest.Run(t, small)
	found := map[bool]int{}
	for key := range cluster.entries {
		if !strings.Contains(key, "{a}") && !strings.Contains(key, "{b}") {
			t.Fatalf("%s has no tag", key)
		}
		found[strings.Contains(key, "{a}")]++
	}
	if found[true] < 100 || found[false] < 100 {
		t.Errorf("%v: want both tags often", found)
	}
}

// A fault is a driver that is wrong in one way, and the rule that must catch it.
type fault struct {
	name    string
	caught  string // by this subtest, and perhaps by others
	forgets bool   // what is acknowledged
	lossy   bool   // and may
	paused  bool   // by a leader that is paused, as no other fault catches it
	timed   bool   // it takes ten times as long under the race detector, and says nothing new there
	rare    bool   // a round meets it some ten times only, and now and then never: it takes several
	call    func(ctx context.Context, d *toy, r request) (reply, error)
}

var faults = []fault{
	{name: "a leader that is cut off still answers reads", caught: "HistoriesAreLegal", call: staleRead},
	{name: "forgets what it acknowledged", caught: "WhatIsAcknowledgedStays", forgets: true, rare: true},
	{name: "acknowledges what it may have lost", caught: "WhatIsAcknowledgedStays", call: sanguine},
	{name: "applies later what failed", caught: "WhatFailedNeverAppears", call: later},
	{name: "applies later what failed, where writes may be lost", caught: "WhatFailedNeverAppears", lossy: true, call: later},
	{name: "is sure that what was lost failed", caught: "WhatFailedNeverAppears", call: sureOfFailure},
	{name: "sends a lost increment again", caught: "IncrementsAreAppliedOnce", call: again("incr")},
	{name: "sends a lost increment again, where writes may be lost", caught: "IncrementsAreAppliedOnce", lossy: true, forgets: true, call: again("incr")},
	{name: "sends a lost swap again", caught: "SwapsTellTheTruth", rare: true, call: again("swap")},
	{name: "reports what was lost false", caught: "SwapsTellTheTruth", lossy: true, forgets: true, call: lostIsFalse},
	{name: "sends a lost delete again", caught: "DeletesTellTheTruth", rare: true, call: again("delete")},
	{name: "sends a lost delete again, where writes may be lost", caught: "DeletesTellTheTruth", lossy: true, rare: true, call: again("delete")},
	{name: "reads what nobody wrote", caught: "ReadsFindWhatWasWritten", lossy: true, call: misread},
	{name: "does not know the outcome of a read", caught: "ErrorsSayThatNobodyWasThere", call: unknownRead},
	{name: "has an error of no kind", caught: "ErrorsSayThatNobodyWasThere", call: kindless},
	{name: "ignores deadlines", caught: "CallsReturnInTime", paused: true, timed: true, call: patient},
	{name: "does not come back", caught: "EachClientRecovers", timed: true, call: offended},
	{name: "comes back for some keys only", caught: "EachClientRecovers", timed: true, call: partly},
	{name: "meets no fault", caught: "FaultsStrike", call: inPeace},
}

func staleRead(ctx context.Context, d *toy, r request) (reply, error) {
	d.cluster.mu.Lock()
	old := d.cluster.cutOff[d.server]
	d.cluster.mu.Unlock()
	if old != nil && r.reads() {
		return r.apply(old), nil
	}
	return d.exchange(ctx, r)
}

func sanguine(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if r.op == "set" && err != nil {
		return reply{ok: true}, nil
	}
	return answer, err
}

// later makes a call that found nobody when it is not expected any more.
func later(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if store.Kind(err) == "unavailable" && !r.reads() {
		time.AfterFunc(rand.N(200*ms), func() { d.cluster.apply(r) })
	}
	return answer, err
}

func sureOfFailure(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if store.Kind(err) == "unknown_outcome" {
		err = store.ErrUnavailable
	}
	return answer, err
}

// again sends what was lost until there is an answer.
func again(op string) func(context.Context, *toy, request) (reply, error) {
	return func(ctx context.Context, d *toy, r request) (reply, error) {
		answer, lost := d.exchange(ctx, r)
		if r.op != op || store.Kind(lost) != "unknown_outcome" {
			return answer, lost
		}
		tick := time.NewTicker(ms)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			if answer, err := d.exchange(ctx, r); err == nil {
				return answer, nil
			}
		}
		return reply{}, lost
	}
}

func lostIsFalse(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if r.op == "swap" && store.Kind(err) == "unknown_outcome" {
		return reply{}, nil
	}
	return answer, err
}

func misread(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if r.reads() && len(answer.value) > 1 {
		answer.value[len(answer.value)-2] ^= 1
	}
	return answer, err
}

func unknownRead(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if r.reads() && err != nil {
		err = store.ErrUnknownOutcome
	}
	return answer, err
}

func kindless(ctx context.Context, d *toy, r request) (reply, error) {
	answer, err := d.exchange(ctx, r)
	if r.reads() && err != nil {
		err = errors.New("connection reset by peer")
	}
	return answer, err
}

func patient(_ context.Context, d *toy, r request) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 450*ms)
	defer cancel()
	return d.exchange(ctx, r)
}

// offended fails for ever after a call failed.
func offended(ctx context.Context, d *toy, r request) (reply, error) {
	d.mu.Lock()
	failed := d.failed
	d.mu.Unlock()
	if failed {
		return reply{}, store.ErrUnavailable
	}
	answer, err := d.exchange(ctx, r)
	if err != nil {
		d.mu.Lock()
		d.failed = true
		d.mu.Unlock()
	}
	return answer, err
}

// partly is offended where keys end in 7.
func partly(ctx context.Context, d *toy, r request) (reply, error) {
	if strings.HasSuffix(r.key, "7") {
		return offended(ctx, d, r)
	}
	return d.exchange(ctx, r)
}

func inPeace(_ context.Context, d *toy, r request) (reply, error) { return d.cluster.apply(r), nil }

// faultToRun names the fault that a child of this test binary runs on.
const faultToRun = "HISTORYTEST_FAULT"

// TestFault is a run on a wrong driver: it fails in the children that the next test starts, and runs nowhere else.
func TestFault(t *testing.T) {
	if i := slices.IndexFunc(faults, func(f fault) bool { return f.name == os.Getenv(faultToRun) }); i >= 0 {
		historytest.Run(t, target(faults[i]))
	}
}

// failedRule finds the name of a rule in the output of a test binary.
var failedRule = regexp.MustCompile(`--- FAIL: Test\w*Fault/([\w/]+) \(`)

// TestRun_EveryFault_IsCaughtByItsRule runs on each wrong driver in a child process, because it must fail there; on all at a time,
// because they mostly wait.
func TestRun_EveryFault_IsCaughtByItsRule(t *testing.T) {
	t.Parallel()
	outputs := map[string]<-chan []byte{}
	for _, f := range faults {
		if !f.timed || !boundtest.Race {
			scale := "1"
			if f.rare {
				scale = "3"
			}
			outputs[f.name] = startChild(t, "^TestFault$", f.name, scale)
		}
	}
	for _, f := range faults {
		if output, started := outputs[f.name]; started {
			t.Run(f.name, func(t *testing.T) { wantCaught(t, <-output, f.caught) })
		}
	}
}

// startChild runs tests on a fault in a child process, on a scale, and returns what it printed when it has ended.
func startChild(t *testing.T, pattern, fault, scale string) <-chan []byte {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.timeout=1m")
	child.Env = append(os.Environ(), faultToRun+"="+fault, "STORETEST_SCALE="+scale)
	output := make(chan []byte, 1)
	go func() {
		out, _ := child.CombinedOutput()
		output <- out
	}()
	return output
}

// wantCaught states that a rule has failed in what a child printed.
func wantCaught(t *testing.T, out []byte, rule string) {
	t.Helper()
	if bytes.Contains(out, []byte("panic: ")) {
		t.Errorf("the run panics rather than fails:\n%s", out)
	}
	var failed []string
	for _, m := range failedRule.FindAllSubmatch(out, -1) {
		failed = append(failed, string(m[1]))
	}
	if !slices.Contains(failed, rule) {
		t.Errorf("not caught by %s, but by %q:\n%s", rule, failed, out)
	}
	t.Logf("caught by %s", strings.Join(failed, ", "))
}
