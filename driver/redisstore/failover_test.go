//go:build !race

package redisstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/redistest"
)

// recoveryBound is how long servers that lost a primary may take until all calls succeed again.
const recoveryBound = 15 * time.Second

// recovered waits until each key was incremented again, since the call of it, and fails if that takes longer than recoveryBound.
func (in *incrementer) recovered(t *testing.T, keys []string) {
	t.Helper()
	start, before := time.Now(), in.succeeded()
	eventually(t, "every key is incremented again", func() bool {
		now := in.succeeded()
		return !slices.ContainsFunc(keys, func(key string) bool { return now[key] == before[key] })
	})
	took := time.Since(start)
	if t.Logf("recovered after %v", took.Round(time.Millisecond)); took > boundtest.Scale(recoveryBound) {
		t.Errorf("recovered after %v", took)
	}
}

// mark logs how many acknowledged increments are lost so far.
func (in *incrementer) mark(t *testing.T, d *Driver, keys []string) {
	t.Helper()
	for _, key := range keys {
		acknowledged := in.succeeded()[key]
		sum, err := d.Incr(testContext(t), key, 0, 0, 0)
		t.Logf("%s: at most %d of %d acknowledged increments are lost, %v", key, max(0, acknowledged-int(sum)), acknowledged, err)
	}
}

// keysOf splits keys into those of slots that the server at index primary has, and the others.
func keysOf(t *testing.T, c *redistest.Cluster, primary int, keys []string) (its, others []string) {
	t.Helper()
	for _, key := range keys {
		if c.Primary(t, slotOf(key)) == primary {
			its = append(its, key)
		} else {
			others = append(others, key)
		}
	}
	return its, others
}

// TestCluster_Failovers puts one cluster through what makes it change its primaries, under load and with one driver.
func TestCluster_Failovers(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 1, nil)
	d := openURL(t, c.URL())
	keys := append(spread(5), "{foo}:a", "{foo}:b")
	its, others := keysOf(t, c, fooOwner, keys)
	in := startIncrementer(d, callBudget, keys...)
	in.recovered(t, keys)

	t.Run("a killed primary", func(t *testing.T) {
		c.Wait(t)
		c.Servers[fooOwner].Kill()
		before := in.succeeded()
		eventually(t, "the others go on", func() bool {
			now := in.succeeded()
			return !slices.ContainsFunc(others, func(key string) bool { return now[key] < before[key]+20 })
		})
		if now := in.succeeded(); now[its[0]] > before[its[0]]+1 {
			t.Error("the killed primary was replaced too early for the test to say anything")
		}
		const patience = 100 * time.Millisecond
		// What holds in one of five attempts tells a slow driver from a busy machine. There is time for them before the primary is replaced.
		for attempt := range 5 {
			start := time.Now()
			wrong := batchWithout(t, d, keys, its, patience)
			if took := time.Since(start); took > boundtest.Scale(patience+answerBound) {
				wrong = append(wrong, fmt.Sprintf("it took %v", took))
			}
			if len(wrong) == 0 {
				break
			}
			if attempt == 4 {
				t.Errorf("a batch while a primary is away: %q", wrong)
			}
		}
		ctx, cancel := context.WithTimeout(testContext(t), boundtest.Scale(patience))
		defer cancel()
		if _, err := d.List(ctx, "", "", 10); store.Kind(err) != "unavailable" && store.Kind(err) != "timeout" {
			t.Errorf("a listing while a primary is away: %v", err)
		}
		in.recovered(t, keys)
		c.Servers[fooOwner].Restart(t)
		c.Wait(t)
		exerciseNew(t, d, "{foo}:x")
	})
	t.Run("a manual failover", func(t *testing.T) {
		c.Servers[fooOwner].Do(t, "SCRIPT", "FLUSH")
		c.Servers[fooOwner].Do(t, "CLUSTER", "FAILOVER")
		eventually(t, "the replica is the primary", func() bool { return c.Primary(t, fooSlot) == fooOwner })
		in.recovered(t, keys)
		c.Wait(t)
	})
	in.end(t, d, true)
	if keys, _ := listAll(t, testContext(t), d, "n:", 3); len(keys) != 5 {
		t.Errorf("%q are listed in the end", keys)
	}
}

// batchWithout reads keys while those that are away cannot be read, and returns what is wrong with the answer.
func batchWithout(t *testing.T, d *Driver, keys, away []string, patience time.Duration) (wrong []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), boundtest.Scale(patience))
	defer cancel()
	values, err := d.GetMany(ctx, keys)
	for i, key := range keys {
		if slices.Contains(away, key) == (values[i] != nil) {
			wrong = append(wrong, fmt.Sprintf("%s is %q, %v", key, values[i], err))
		}
	}
	return wrong
}

// TestSentinel_Failovers is the like for servers under sentinels.
func TestSentinel_Failovers(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t, nil)
	d := openURL(t, s.URL())
	keys := spread(4)
	in := startIncrementer(d, callBudget, keys...)
	in.recovered(t, keys)
	reading, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	readers.Go(func() { neverFromReplicas(t, reading, d) })

	t.Run("a failover that was asked for", func(t *testing.T) {
		s.Failover(t)
		in.recovered(t, keys)
		in.mark(t, d, keys[:1])
	})
	t.Run("a killed primary", func(t *testing.T) {
		primary := s.Servers[s.Primary(t)]
		primary.Kill()
		in.recovered(t, keys)
		in.mark(t, d, keys[:1])
		primary.Restart(t)
		s.Wait(t)
	})
	t.Run("a primary that hangs, and a sentinel", func(t *testing.T) {
		primary := s.Servers[s.Primary(t)]
		hang(t, s.Sentinels[0])
		hang(t, primary)
		in.recovered(t, keys)
		in.mark(t, d, keys[:1])
		resume(t, primary)
		resume(t, s.Sentinels[0])
		s.Wait(t)
	})
	t.Run("no sentinel", func(t *testing.T) {
		for _, sentinel := range s.Sentinels {
			sentinel.Kill()
		}
		in.forgetErrors()
		for range 5 {
			in.recovered(t, keys)
			<-time.After(lookEvery / 4)
		}
		if errs := in.errors(); len(errs) > 0 {
			t.Errorf("calls failed without sentinels: %v", errs)
		}
	})
	stop()
	readers.Wait()
	in.end(t, d, true)
}

// errors are the numbers of errors by kind.
func (in *incrementer) errors() map[string]int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return maps.Clone(in.kinds)
}

// forgetErrors is for what was there before.
func (in *incrementer) forgetErrors() {
	in.mu.Lock()
	defer in.mu.Unlock()
	clear(in.kinds)
}

// neverFromReplicas reads what a server says of its role, through the driver, as long as ctx lives.
func neverFromReplicas(t *testing.T, ctx context.Context, d *Driver) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		n, err := d.servers.of(ctx, "")
		if err != nil {
			continue
		}
		role, err := n.read(ctx, func() rueidis.Completed { return d.build.Role().Build() }).ToArray()
		if err != nil {
			continue
		}
		if is, _ := role[0].ToString(); is != "master" {
			t.Errorf("a read goes to a %s", is)
		}
	}
}

func TestSentinel_ThatDoesNotKnow_IsAClearError(t *testing.T) {
	s, plain, away := redistest.SharedSentinel(t), redistest.Shared(t), refusingAddress(t)
	wantOpenError(t, "redis+sentinel://"+s.Sentinels[0].Addr()+"/nosuch", "unavailable", s.Sentinels[0].Addr(), `watches no primary of the name "nosuch"`)
	wantOpenError(t, "redis+sentinel://"+plain.Addr()+"/mymaster", "unavailable", plain.Addr(), "it is no sentinel", "use a redis:// URL")
	wantOpenError(t, "redis+sentinel://"+away+"/mymaster", "unavailable", away, "refused")
	replica := s.Servers[(s.Primary(t)+1)%3]
	liar := startPuppet(t, nil, always("*2\r\n"+bulk("127.0.0.1")+bulk(strings.TrimPrefix(replica.Addr(), "127.0.0.1:"))))
	wantOpenError(t, "redis+sentinel://"+liar.addr+"/mymaster", "unavailable", replica.Addr()+" (an address that the sentinels named)", "it is a replica")
	for _, reply := range []string{"*0\r\n", "*1\r\n+a\r\n", "+OK\r\n", "*2\r\n+h\r\n+0\r\n", "*2\r\n+/h\r\n+1\r\n", "*2\r\n_\r\n_\r\n", "*2\r\n*0\r\n*0\r\n", ":1\r\n", "-ERR\r\n"} {
		liar := startPuppet(t, nil, always(reply))
		wantOpenError(t, "redis+sentinel://"+liar.addr+"/mymaster", "unavailable", liar.addr)
	}
}

func TestSentinel_AwaySilentOrStale_OthersAreAsked(t *testing.T) {
	s := redistest.SharedSentinel(t)
	replica := s.Servers[(s.Primary(t)+1)%3]
	stale := startPuppet(t, nil, always("*2\r\n"+bulk("127.0.0.1")+bulk(strings.TrimPrefix(replica.Addr(), "127.0.0.1:"))))
	mute, away := startPuppet(t, always(silence), always(silence)), refusingAddress(t)
	for name, first := range map[string]string{"away": away, "silent and away": mute.addr + "," + away} {
		start := time.Now()
		d := openURL(t, strings.Replace(s.URL(), "://", "://"+first+",", 1))
		if took, most := time.Since(start), boundtest.Scale(2*inquiryPatience+redialGap); took > most {
			t.Errorf("%s: open after %v, want at most %v", name, took, most)
		}
		exerciseNew(t, d, "k:1")
	}
	d := openURL(t, s.URL())
	d.servers.(*sentinels).mu.Lock()
	d.servers.(*sentinels).known = append([]string{stale.addr}, d.servers.(*sentinels).known...)
	d.servers.(*sentinels).mu.Unlock()
	eventually(t, "the stale sentinel was believed", func() bool { return d.servers.(*sentinels).primary.Load().address == replica.Addr() })
	eventually(t, "the others were", func() bool { return d.Set(testContext(t), "k:1", number(1), 0) == nil })
	exercise(t, d, "k:1")
}

func TestSentinelList_CursorOfAnotherPrimary_BeginsAgain(t *testing.T) {
	d := openURL(t, redistest.SharedSentinel(t).URL())
	keys := named("k:", 200)
	setAll(t, d, keys)
	page, err := d.List(testContext(t), "k:", "", 20)
	if err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	at := page.Next[strings.LastIndexByte(page.Next, '.')+1:]
	for _, forged := range []string{"x.y.z-1." + at, "." + at, "1"} {
		again, err := d.List(testContext(t), "k:", forged, 20)
		if err != nil || !slices.Equal(again.Keys, page.Keys) {
			t.Errorf("%q lists %q, %v, want the first page", forged, again.Keys, err)
		}
	}
	for _, forged := range []string{"!", page.Next + ".", page.Next + " ", strings.TrimSuffix(page.Next, at) + "0", strings.TrimSuffix(page.Next, at), strings.Repeat(".", 1<<16)} {
		if _, err := d.List(testContext(t), "k:", forged, 20); store.Kind(err) != "invalid" {
			t.Errorf("%.20q: %v, want invalid", forged, err)
		}
	}
	if got, _ := listAll(t, testContext(t), d, "k:", 7); !slices.Equal(got, keys) {
		t.Errorf("%d keys, want %d", len(got), len(keys))
	}
}
