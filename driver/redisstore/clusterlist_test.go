package redisstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/redistest"
)

// setAll stores the same under all keys.
func setAll(t *testing.T, d *Driver, keys []string) {
	t.Helper()
	for batch := range slices.Chunk(keys, 1000) {
		entries := make([]store.Item, len(batch))
		for i, key := range batch {
			entries[i] = store.Item{Key: key, Value: number(1)}
		}
		if err := d.SetMany(testContext(t), entries, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// named returns prefix with n numbers.
func named(prefix string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint(prefix, i))
	}
	slices.Sort(keys)
	return keys
}

func TestClusterList_AtRest_ListsEachLivingStringOfThePrefix(t *testing.T) {
	c := redistest.SharedCluster(t)
	d, ctx := openURL(t, c.URL()), testContext(t)
	keys := named("k:", 500)
	setAll(t, d, keys)
	setAll(t, d, named("other:", 3000))
	for i := range 30 {
		key := fmt.Sprint("k:list", i)
		c.Servers[c.Primary(t, slotOf(key))].Do(t, "RPUSH", key, "x")
		key = fmt.Sprint("k:expired", i) // and still there
		c.Servers[c.Primary(t, slotOf(key))].Do(t, "SET", key, "x", "PXAT", "1")
	}
	for _, limit := range []int{1, 7, 100, 1000} {
		if limit == 1 && boundtest.Race {
			continue
		}
		var all []string
		for cursor := ""; ; {
			page, err := d.List(ctx, "k:", cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Keys) > 3*limit+2*minCount { // three servers' worth of chance; TestNextCount tells how seldom it is twice
				t.Errorf("a page of %d has %d keys", limit, len(page.Keys))
			}
			all = append(all, page.Keys...)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if slices.Sort(all); !slices.Equal(all, keys) { // and none twice
			t.Errorf("limit %d: %d keys, want %d, each once: %q", limit, len(all), len(keys), all)
		}
	}
	if got, pages := listAll(t, ctx, d, "none:", 100); len(got) > 0 || pages != 1 {
		t.Errorf("%q on %d pages are listed where there are none", got, pages)
	}
	if got, _ := listAll(t, ctx, d, "k:49", 2); !slices.Equal(got, slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, "k:49") })) {
		t.Errorf("%q are listed", got)
	}
	// All in one page: each primary is asked twice where its slots are, and walked.
	for _, s := range c.Servers[:3] {
		s.Do(t, "CONFIG", "RESETSTAT")
	}
	if _, err := d.List(ctx, "k:49", "", 100); err != nil {
		t.Fatal(err)
	}
	for i, s := range c.Servers[:3] {
		stats := s.Do(t, "INFO", "commandstats")
		if nodes := calls(stats, "cluster|nodes"); nodes != 2 {
			t.Errorf("server %d was asked for its slots %d times", i, nodes)
		}
		if scans := calls(stats, "scan"); scans < 1 || scans > 5 { // 1,200 keys and what the table has in reserve, 100 and twice as many each time
			t.Errorf("server %d was walked in %d steps", i, scans)
		}
		if others := calls(stats, "cluster|getkeysinslot") + calls(stats, "type"); others > 0 {
			t.Errorf("server %d was asked for slots", i)
		}
	}
}

// calls is how often a server got a command, by its statistics.
func calls(stats, command string) (n int) {
	_, rest, _ := strings.Cut(stats, "cmdstat_"+command+":calls=")
	fmt.Sscanf(rest, "%d", &n)
	return n
}

// mover moves slots to and fro until the test stops it.
type mover struct {
	stop  context.CancelFunc
	moves int
	done  sync.WaitGroup
}

// startMover moves some of slots at random between the servers, all the time.
func startMover(t *testing.T, c *redistest.Cluster, slots []int, servers ...int) *mover {
	ctx, cancel := context.WithCancel(testContext(t))
	m := &mover{stop: cancel}
	r := rand.New(rand.NewPCG(1, 2))
	m.done.Go(func() {
		for ctx.Err() == nil {
			slot := slots[r.IntN(len(slots))]
			from := c.Primary(t, slot)
			to := servers[r.IntN(len(servers))]
			if to == from {
				continue
			}
			c.Migrate(t, slot, to)
			m.moves++
		}
	})
	return m
}

func (m *mover) end() int {
	m.stop()
	m.done.Wait()
	return m.moves
}

// listPatiently is listAll that asks again for a page where servers change.
func listPatiently(t *testing.T, d *Driver, prefix string, limit int) (keys []string, pages, failures int) {
	t.Helper()
	for cursor := ""; ; {
		page, err := d.List(testContext(t), prefix, cursor, limit)
		if store.Kind(err) == "unavailable" {
			t.Log(err)
			if failures++; failures > 100 {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, page.Keys...)
		pages++
		if cursor = page.Next; cursor == "" {
			slices.Sort(keys)
			return slices.Compact(keys), pages, failures
		}
	}
}

func TestClusterList_SlotsMove_EveryKeyIsListed(t *testing.T) {
	c := redistest.SharedCluster(t)
	d := openURL(t, c.URL())
	keys := named("k:", 600)
	setAll(t, d, keys)
	var moving []int
	var counters [3]string // in slots that move
	for i, key := range keys[:40] {
		moving = append(moving, slotOf(key))
		counters[i%3] = "n:{" + key + "}"
	}
	in := startIncrementer(d, callBudget, counters[:]...) // makes the driver notice
	m := startMover(t, c, moving, 0, 1, fooOwner)
	failed, all := 0, 0
	for round := range 6 {
		got, pages, failures := listPatiently(t, d, "k:", []int{3, 40, 200}[round%3])
		if !slices.Equal(got, keys) {
			t.Errorf("%d keys on %d pages, want %d", len(got), pages, len(keys))
		}
		failed, all = failed+failures, all+pages
	}
	t.Logf("%d pages, %d failures, %d moves", all, failed, m.end())
	in.end(t, d, false)
	if failed*10 > all {
		t.Errorf("%d of %d pages failed", failed, all)
	}
	for _, slot := range moving { // the next test takes the cluster as it is
		if home := slot * 3 / slotCount; c.Primary(t, slot) != home {
			c.Migrate(t, slot, home)
		}
	}
	if got, _ := listAll(t, testContext(t), d, "k:", 50); !slices.Equal(got, keys) {
		t.Errorf("%d keys at rest, want %d", len(got), len(keys))
	}
}

func TestClusterList_SlotsMoveToANewPrimary_EveryKeyIsListed(t *testing.T) {
	t.Parallel()
	// Without the setting a primary without slots would become a replica.
	c := redistest.StartCluster(t, 3, 0, &redistest.Options{Args: []string{"--cluster-allow-replica-migration", "no"}})
	emptyPrimary(t, c, 2, 0)
	d := openURL(t, c.URL())
	keys := named("k:", 300)
	setAll(t, d, keys)
	var slots []int
	for _, key := range keys[:60] {
		slots = append(slots, slotOf(key))
	}
	page, err := d.List(testContext(t), "k:", "", 20)
	if err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	got := page.Keys
	for cursor := page.Next; cursor != ""; {
		if len(slots) > 0 {
			if c.Primary(t, slots[0]) != 2 {
				c.Migrate(t, slots[0], 2)
			}
			slots = slots[1:]
		}
		page, err := d.List(testContext(t), "k:", cursor, 20)
		if err != nil {
			t.Fatal(err)
		}
		got, cursor = append(got, page.Keys...), page.Next
	}
	if slices.Sort(got); !slices.Equal(slices.Compact(got), keys) {
		t.Errorf("%d keys, want %d", len(slices.Compact(got)), len(keys))
	}
}

// startListGates starts two servers of a cluster, of which the second has the slots from split on, and returns them with a driver. CLUSTER
// NODES of each says what nodes returns, and look sees what they are asked.
func startListGates(t *testing.T, split int, nodes func(first, second string, asked int) string, look func(asked int, command []string)) (gates []*gate, d *Driver) {
	t.Helper()
	var at [2]atomic.Value
	for i := range at {
		at[i].Store("")
		gates = append(gates, startGate(t, func(command []string) string {
			look(i, command)
			first, second := at[0].Load().(string), at[1].Load().(string)
			switch strings.Join(command[:min(2, len(command))], " ") {
			case "CLUSTER SLOTS":
				host, port := hostPort(first)
				if split == slotCount {
					return "*1\r\n" + slotsReply(0, slotCount-1, host, port)
				}
				host2, port2 := hostPort(second)
				return "*2\r\n" + slotsReply(0, split-1, host, port) + slotsReply(split, slotCount-1, host2, port2)
			case "CLUSTER NODES":
				return bulk(nodes(first, second, i))
			case "SCAN 0":
				return "*2\r\n" + bulk("0") + "*0\r\n"
			}
			return "*0\r\n"
		}))
	}
	for i, g := range gates {
		at[i].Store(g.addr)
	}
	return gates, openURL(t, "redis+cluster://"+gates[0].addr)
}

func TestClusterList_AddressesOfServersThatClientsDoNotReach_AreNotUsed(t *testing.T) {
	t.Parallel()
	away := refusingAddress(t)
	_, d := startListGates(t, slotCount/2, func(_, _ string, asked int) string {
		self := [2]string{}
		self[asked] = "myself,"
		return "a " + away + "@1 " + self[0] + "master - 0 0 1 connected 0-8191\nb " + away + "@1 " + self[1] + "master - 0 0 2 connected 8192-16383\n"
	}, func(int, []string) {})
	if _, err := d.List(testContext(t), "k:", "", 10); err != nil {
		t.Error(err)
	}
	if servers := d.servers.(*cluster).nodes.inUse; len(servers) != 2 {
		t.Errorf("%d servers are in use", len(servers))
	}
}

func TestClusterList_ServerLeavesMeanwhile_GoesOn(t *testing.T) {
	t.Parallel()
	var leave sync.Once
	var c atomic.Pointer[cluster]
	gates, d := startListGates(t, slotCount, func(first, second string, asked int) string {
		self := [2]string{}
		self[asked] = "myself,"
		return "a " + first + "@1 " + self[0] + "master - 0 0 1 connected 0-16383 [1->-x]\nb " + second + "@1 " + self[1] + "master - 0 0 2 connected\n"
	}, func(asked int, command []string) {
		if asked == 1 && command[0] == "CLUSTER" && command[1] == "GETKEYSINSLOT" {
			leave.Do(func() { c.Load().nodes.keep(map[*node]bool{c.Load().owners[0].Load(): true}) })
		}
	})
	c.Store(d.servers.(*cluster))
	if _, err := d.List(testContext(t), "k:", "", 10); err != nil || gates[1].dials.Load() != 2 {
		t.Errorf("%v; the server that left was dialed %d times", err, gates[1].dials.Load())
	}
}

func TestClusterList_KeyThatMovesWhileItIsLookedFor_IsListed(t *testing.T) {
	for name, c := range map[string]*movingKey{
		// The key is on the second server while the first is asked, and on the first while the second is.
		"between two answers by slot": {sees: func(asked int) bool { return asked == 2 }, nodes: func(int) string { return "1 connected 0-9999 [5->-x]" }},
		"between two steps of a walk": {sees: func(int) bool { return true }, nodes: func(walks int) string { return fmt.Sprint(1+walks/2, " connected 0-9999") }},
	} {
		t.Run(name, func(t *testing.T) {
			url := c.start(t)
			if got, _ := listAll(t, testContext(t), openURL(t, url), "k:", 10); !slices.Equal(got, []string{"k:1"}) {
				t.Errorf("%q are listed", got)
			}
		})
	}
}

// A movingKey is a cluster of two primaries with one key, in slot 5, that is never where it is walked.
type movingKey struct {
	sees  func(asked int) bool   // whether the first server has it when asked for its slot the so manyth time
	nodes func(walks int) string // what both say of themselves, after so many walks

	addresses     [2]string
	mu            sync.Mutex
	asked, walked int
}

func (k *movingKey) start(t *testing.T) (url string) {
	t.Helper()
	ready := make(chan struct{})
	for me := range k.addresses {
		p := startPuppet(t, nil, func(command []string) string { <-ready; return k.reply(me, command) })
		k.addresses[me] = p.addr
	}
	close(ready)
	return "redis+cluster://" + k.addresses[0]
}

func (k *movingKey) reply(me int, command []string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch command[0] + " " + strings.ToUpper(command[1]) {
	case "CLUSTER SLOTS":
		host, port := hostPort(k.addresses[0])
		otherHost, otherPort := hostPort(k.addresses[1])
		return "*2\r\n" + slotsReply(0, 9999, host, port) + slotsReply(10000, slotCount-1, otherHost, otherPort)
	case "CLUSTER NODES":
		return bulk(fmt.Sprintf("id%d %s@1 myself,master - 0 0 %s\n", me, k.addresses[me], k.nodes(k.walked)))
	case "CLUSTER GETKEYSINSLOT":
		if command[2] == "5" && me == 0 {
			if k.asked++; k.sees(k.asked) {
				return "*1\r\n" + bulk("k:1")
			}
		}
		return "*0\r\n"
	case "TYPE K:1":
		return "+string\r\n"
	}
	k.walked++
	return "*2\r\n" + bulk("0") + "*0\r\n"
}

// emptyPrimary gives all slots of a primary, which have no keys, to another.
func emptyPrimary(t *testing.T, c *redistest.Cluster, from, to int) {
	t.Helper()
	id := c.Servers[to].Do(t, "CLUSTER", "MYID")
	for _, i := range []int{from, to, 3 - from - to} { // of three
		client := c.Servers[i].Client(t)
		var commands []rueidis.Completed
		for slot := from * slotCount / 3; slot < (from+1)*slotCount/3; slot++ {
			commands = append(commands, client.B().ClusterSetslot().Slot(int64(slot)).Node().NodeId(id).Build())
		}
		for _, reply := range client.DoMulti(t.Context(), commands...) {
			if err := reply.Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Wait(t)
}

func TestClusterList_ForgedCursors(t *testing.T) {
	c := redistest.SharedCluster(t)
	d, ctx := openURL(t, c.URL()), testContext(t)
	setAll(t, d, named("k:", 50))
	setAll(t, d, named("j:", 50))
	page, err := d.List(ctx, "k:", "", 1)
	if err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	parts := strings.Split(page.Next, ".")
	for _, cursor := range []string{
		"0", "1", "s", "k", "s1.2", parts[0] + ".zz.1", parts[0] + ".3.0", parts[0] + ".-1.0", parts[0] + ".0.zzzzzzzzzzzzzzzz", "kcn4", "k01", "s1.2.3.4",
		strings.Repeat("9", 1<<16), "k" + strings.Repeat("9", 1<<16), page.Next + " ", " " + page.Next, "\x00", "127.0.0.1-1.1",
	} {
		if _, err := d.List(ctx, "k:", cursor, 10); store.Kind(err) != "invalid" {
			t.Errorf("cursor %.20q: %v, want invalid", cursor, err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		for _, at := range []tour{
			{shape: r.Uint64(), server: int(r.Int32()), at: r.Uint64()}, {bySlot: true, slot: r.IntN(slotCount)},
		} {
			checkPage(t, d, at.String())
		}
		checkPage(t, d, fmt.Sprint(parts[0], ".", r.IntN(3), ".", tour{at: r.Uint64()}.String()[5:]))
	}
}

// checkPage lists from a forged cursor.
func checkPage(t *testing.T, d *Driver, cursor string) {
	t.Helper()
	page, err := d.List(testContext(t), "k:", cursor, 10)
	if err != nil {
		t.Fatalf("%q: %v", cursor, err)
	}
	for _, key := range page.Keys {
		if !strings.HasPrefix(key, "k:") {
			t.Fatalf("a forged cursor listed %q", key)
		}
	}
}
