package natsstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/natstest"
)

// A leader that is cut off goes on leading for all that it knows, with clients that only reach it.
func TestReads_AtALeaderThatIsCutOff_AreNeverStale(t *testing.T) {
	cluster := natstest.StartCluster(t, 3)
	setup := openURL(t, cluster.URL())
	if err := setup.Set(testContext(t), "t:k", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	leader := cluster.Leader(t, setup.stream)
	others := openURL(t, cluster.URLOf((leader+1)%3, (leader+2)%3))
	var inside []*Driver
	for _, reads := range []string{ReadsQuorum, ReadsLease} {
		inside = append(inside, openURL(t, cluster.URLOf(leader)+"&reads="+reads))
	}
	for _, d := range inside {
		if v, err := d.Get(testContext(t), "t:k"); string(v) != "old" || err != nil {
			t.Fatalf("Get = %q, %v", v, err)
		}
	}
	cluster.Isolate(t, leader)
	var written, stop atomic.Bool
	var asked atomic.Int64
	var wait sync.WaitGroup
	for _, d := range inside {
		for _, read := range readers {
			wait.Go(func() {
				for !stop.Load() {
					after := written.Load()
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					text, err := read(ctx, d)
					cancel()
					if after {
						asked.Add(1)
					}
					if err == nil && after && text == "old" {
						t.Errorf("a read that began after a write answers what was there before (reads=%s)", d.target.Reads)
						return
					}
				}
			})
		}
	}
	eventually(t, "the others have a leader", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return others.Set(ctx, "t:k", []byte("new"), 0) == nil
	})
	written.Store(true)
	eventually(t, "reads were made", func() bool { return asked.Load() > 50 })
	stop.Store(true)
	wait.Wait()
	cluster.Heal(t)
	for _, d := range inside {
		eventually(t, "the driver serves again", func() bool {
			v, err := d.Get(testContext(t), "t:k")
			return err == nil && string(v) == "new"
		})
	}
}

// readers are ways to see that t:k holds "old".
var readers = []func(ctx context.Context, d *Driver) (string, error){
	func(ctx context.Context, d *Driver) (string, error) {
		v, err := d.Get(ctx, "t:k")
		return string(v), err
	},
	func(ctx context.Context, d *Driver) (string, error) {
		values, err := d.GetMany(ctx, []string{"t:k"})
		if err != nil {
			return "", err
		}
		return string(values[0]), nil
	},
	func(ctx context.Context, d *Driver) (string, error) {
		swapped, err := d.CompareAndSwap(ctx, "t:k", []byte("new"), []byte("new"), 0)
		if err == nil && !swapped {
			return "old", nil
		}
		return "", err
	},
}

// A lease ends 50 ms after a question, and each end takes some questions: where the reads take long there are more.
func TestReads_OnReplicas_ShareTheirQuestionsToTheMajority(t *testing.T) {
	for reads, most := range map[string]int64{ReadsQuorum: 150, ReadsLease: 20} {
		t.Run(reads, func(t *testing.T) {
			boundtest.AtMost(t, "questions for 640 reads", most, func() int64 { return questions(t, reads) })
		})
	}
}

// questions returns how many questions to the majority 640 reads of 64 callers take.
func questions(t *testing.T, reads string) int64 {
	t.Helper()
	var rounds, gets atomic.Int64
	p := startPuppet(t, func(came post) string {
		switch {
		case came.is("STREAM.INFO"):
			return infoOf(func(c *streamConfig) { c.Replicas = 3 })
		case came.is("STREAM.MSG.DELETE"):
			rounds.Add(1)
			return confirmation
		case came.is("STREAM.MSG.GET"):
			gets.Add(1)
		}
		return ""
	})
	d, ctx := openURL(t, "nats://"+p.addr+"/b?reads="+reads), testContext(t)
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			for range 10 {
				d.Get(ctx, "t:k")
			}
		})
	}
	wait.Wait()
	if gets.Load() < 640 || rounds.Load() == 0 {
		t.Errorf("%d reads took %d questions", gets.Load(), rounds.Load())
	}
	return rounds.Load()
}

func TestReads_OnOneServer_AskNoMajority(t *testing.T) {
	var rounds atomic.Int64
	p := startPuppet(t, func(came post) string {
		if came.is("STREAM.MSG.DELETE") {
			rounds.Add(1)
		}
		return ""
	})
	everyOp(testContext(t), openURL(t, "nats://"+p.addr+"/b"))
	if rounds.Load() != 0 {
		t.Errorf("%d questions", rounds.Load())
	}
}

func TestReads_WithoutAMajority_FailAndAnswerNothing(t *testing.T) {
	for name, reply := range map[string]string{
		"silence": silence, "success": `{"success":true}`, "nothing": "{}", "no JSON": "x",
		"deletion is denied": `{"error":{"code":500,"err_code":10057,"description":"message delete not permitted"}}`,
		"no leader":          `{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := startPuppet(t, func(came post) string {
				switch {
				case came.is("STREAM.INFO"):
					return infoOf(func(c *streamConfig) { c.Replicas = 3 })
				case came.is("STREAM.MSG.DELETE"):
					return reply
				case came.is("STREAM.MSG.GET"):
					return messageOf("$KV.b.t.k", 5, "", "v")
				}
				return ""
			})
			d := openURL(t, "nats://"+p.addr+"/b")
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, get := d.Get(ctx, "t:k")
			_, has := d.Has(ctx, "t:k")
			_, many := d.GetMany(ctx, []string{"t:k"})
			_, list := d.List(ctx, "", "", 10)
			_, swap := d.CompareAndSwap(ctx, "t:k", []byte("other"), nil, 0)
			_, create := d.CompareAndSwap(ctx, "t:k", nil, []byte("v"), 0)
			for op, err := range map[string]error{"get": get, "has": has, "get many": many, "list": list, "swap": swap, "create": create} {
				if kind := store.Kind(err); kind != "unavailable" && kind != "timeout" {
					t.Errorf("%s: %v, want unavailable or a timeout", op, err)
				}
			}
		})
	}
}

func TestLease_EndsInTime(t *testing.T) {
	d := newDriver((&Options{Reads: ReadsLease}).target())
	l := &link{driver: d}
	d.live.Store(l)
	now := time.Now()
	d.quorum.follows(l, now)
	d.quorum.follows(l, now.Add(-time.Second)) // an older answer that comes later
	if !d.quorum.leased() {
		t.Error("there is no lease after a majority followed")
	}
	d.quorum.led.Store(&led{link: l, since: now.Add(-lease)})
	if d.quorum.leased() {
		t.Error("the lease does not end")
	}
	d.quorum.follows(l, time.Now())
	d.live.Store(&link{driver: d})
	if d.quorum.leased() {
		t.Error("the lease of another connection counts")
	}
	q := newDriver((&Options{}).target())
	q.live.Store(l)
	q.quorum.follows(l, time.Now())
	if q.quorum.leased() {
		t.Error("there is a lease with reads=quorum")
	}
}

func TestServerThatIsGone_IsLeftForAnother(t *testing.T) {
	cluster := natstest.SharedCluster(t)
	d, ctx := openURL(t, cluster.URL()), testContext(t)
	if err := d.Set(ctx, "t:k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	leader := cluster.Leader(t, d.stream)
	follower := (leader + 1) % 3
	d = openURL(t, cluster.URLOf(follower, leader))
	cluster.Kill(t, follower)
	start := time.Now()
	eventually(t, "another server is used", func() bool {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		v, err := d.Get(short, "t:k")
		return err == nil && string(v) == "v"
	})
	t.Logf("after %v", time.Since(start))
}

func TestServerThatIsCutOff_IsLeftForAnother(t *testing.T) {
	cluster := natstest.SharedCluster(t)
	d := openURL(t, cluster.URL())
	if err := d.Set(testContext(t), "t:k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	leader := cluster.Leader(t, d.stream)
	follower := (leader + 1) % 3
	d = openURL(t, cluster.URLOf(follower, leader))
	cluster.Isolate(t, follower)
	eventually(t, "another server is used", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		v, err := d.Get(ctx, "t:k")
		return err == nil && string(v) == "v"
	})
	if server := d.live.Load().server; !strings.Contains(cluster.URLOf(leader), server) {
		t.Errorf("it uses %s", server)
	}
}

func TestLeaderThatHandsOver_IsHardlyNoticed(t *testing.T) {
	cluster := natstest.SharedCluster(t)
	d, ctx := openURL(t, cluster.URL()), testContext(t)
	conn := cluster.Servers[0].Conn(t)
	failed := 0
	sum := 0.0
	for i := range 60 {
		if i%20 == 10 {
			if _, err := conn.Request("$JS.API.STREAM.LEADER.STEPDOWN."+d.stream, nil, 5*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		got, err := d.Incr(short, "t:n", 1, 0, 0)
		cancel()
		switch {
		case err == nil && got > sum && got <= float64(i+1):
			sum = got
		case err == nil:
			t.Fatalf("the sum is %v after %v", got, sum)
		default:
			failed++
		}
	}
	if failed > 9 {
		t.Errorf("%d of 60 calls failed", failed)
	}
	v, err := d.Get(ctx, "t:n")
	if err != nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get = %q, %v", v, fmt.Sprint(err))
	}
}
