package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/redisstore/internal/near"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/internal/servertest"
	"github.com/luastore/store/value"
)

// openNear opens a driver with a near cache for the length of the test.
func openNear(t testing.TB, url string) *nearDriver {
	t.Helper()
	o := must(ParseURL(url))(t)
	o.Near = 8 << 20
	d, err := Opener(o).Open(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d.(*nearDriver)
}

// keepNear reads keys until they are in the near cache: a read that news overtake is not kept.
func keepNear(t testing.TB, d *nearDriver, keys ...string) {
	t.Helper()
	ctx := testContext(t)
	for _, key := range keys {
		for kept := false; !kept; _, kept = d.Peek(key) {
			if _, err := d.Get(ctx, key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func wantPeek(t testing.TB, d *nearDriver, key, want string) {
	t.Helper()
	if v, ok := d.Peek(key); string(v) != want || !ok {
		t.Errorf("%s in the near cache: %q, %v, want %q", key, v, ok, want)
	}
}

func wantNoPeek(t testing.TB, d *nearDriver, key string) {
	t.Helper()
	if v, ok := d.Peek(key); ok {
		t.Errorf("%s in the near cache: %q, want nothing", key, v)
	}
}

func TestNear_KeepsWhatWasRead_AndNothingElse(t *testing.T) {
	server := redistest.Shared(t)
	d := openNear(t, server.URL())
	ctx := testContext(t)
	server.Do(t, "SET", "k:1", "a")
	server.Do(t, "SET", "k:2", "b")
	server.Do(t, "SET", "k:large", strings.Repeat("x", 1<<20))
	server.Do(t, "RPUSH", "k:list", "a")
	wantNoPeek(t, d, "k:1")
	keepNear(t, d, "k:1")
	wantPeek(t, d, "k:1", "a")
	values, err := d.GetMany(ctx, []string{"k:1", "k:2", "k:none", "k:large"})
	if err != nil || string(values[0]) != "a" || string(values[1]) != "b" || values[2] != nil || len(values[3]) != 1<<20 {
		t.Errorf("%.20q, %v", values, err)
	}
	wantPeek(t, d, "k:2", "b")
	for _, key := range []string{"k:none", "k:list", "k:large"} {
		d.Get(ctx, key)
		d.Has(ctx, key)
		d.Entry(ctx, key)
		wantNoPeek(t, d, key)
	}
}

// nearWrites are all that changes k:1 from "\x01", each with what it makes of it, nil for nothing.
var nearWrites = map[string]struct {
	do   func(ctx context.Context, d store.Driver) error
	want []byte
}{
	"set":    {func(ctx context.Context, d store.Driver) error { return d.Set(ctx, "k:1", []byte{2}, 0) }, []byte{2}},
	"delete": {func(ctx context.Context, d store.Driver) error { _, err := d.Delete(ctx, "k:1"); return err }, nil},
	"swap": {func(ctx context.Context, d store.Driver) error {
		_, err := d.CompareAndSwap(ctx, "k:1", []byte{1}, []byte{3}, 0)
		return err
	}, []byte{3}},
	"incr": {func(ctx context.Context, d store.Driver) error {
		_, err := d.(store.Counter).Incr(ctx, "k:1", 3, 0, 0)
		return err
	}, []byte{4}},
	"set many": {func(ctx context.Context, d store.Driver) error {
		return d.(store.Batcher).SetMany(ctx, []store.Item{{Key: "k:0", Value: []byte{9}}, {Key: "k:1", Value: []byte{5}}}, 0)
	}, []byte{5}},
	"delete many": {func(ctx context.Context, d store.Driver) error {
		_, err := d.(store.Batcher).DeleteMany(ctx, []string{"k:0", "k:1"})
		return err
	}, nil},
}

// Readers fill the cache all the time, and still nobody sees what was there before a write that has returned.
func TestNear_OwnWrite_IsSeenByAllReadsAfterIt(t *testing.T) {
	d := openNear(t, redistest.Shared(t).URL())
	ctx, stop := context.WithCancel(testContext(t))
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				d.Get(ctx, "k:1")
			}
		})
	}
	for range 200 {
		for name, w := range nearWrites {
			if err := d.Set(ctx, "k:1", []byte{1}, 0); err != nil {
				t.Fatal(err)
			}
			keepNear(t, d, "k:1")
			if err := w.do(ctx, d); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if v, ok := d.Peek("k:1"); ok && string(v) != string(w.want) {
				t.Fatalf("%q right after %s, want %q", v, name, w.want)
			}
			if v, _ := d.Get(ctx, "k:1"); string(v) != string(w.want) {
				t.Fatalf("%q is read after %s, want %q", v, name, w.want)
			}
		}
	}
	stop()
	readers.Wait()
}

// A reader keeps what was there before while the server does a write, whatever comes of that, and the server tells of nothing.
func TestNear_ValueKeptWhileAWriteIsUnderWay_IsGoneWhenItReturns(t *testing.T) {
	for _, reply := range []string{"-ERR no\r\n", ":1\r\n", "+OK\r\n", hangUp} {
		cache, from := make(chan *near.Cache, 1), &near.Source{}
		plant := func() {
			c := <-cache
			defer func() { cache <- c }()
			if !c.Begin("k:1", from).Keep([]byte("old"), 0) {
				t.Error("not kept")
			}
		}
		p := startPuppet(t, nil, func([]string) string { plant(); return reply })
		d := openNear(t, "redis://"+p.addr)
		cache <- d.near
		for name, w := range nearWrites {
			plant()
			wantPeek(t, d, "k:1", "old")
			eventually(t, name+" is done", func() bool { return store.Kind(w.do(testContext(t), d)) != "unavailable" })
			wantNoPeek(t, d, "k:1")
		}
	}
}

// With NOLOOP one reader could see the write of another in an answer, and the next one what was there before in the cache.
func TestNear_AsksForNewsOfItsOwnWritesToo(t *testing.T) {
	var asked atomic.Value
	p := startPuppet(t, func(command []string) string {
		if command[0] == "HELLO" {
			return helloReply
		}
		if command[1] == "TRACKING" {
			asked.Store(strings.Join(command, " "))
		}
		return "+OK\r\n"
	}, always("+OK\r\n"))
	openNear(t, "redis://"+p.addr)
	if got := asked.Load(); got != "CLIENT TRACKING ON" {
		t.Errorf("asked for news by %q", got)
	}
}

// Whoever has read of a change from the server finds nothing older in the cache.
func TestNear_ChangeOfAnother_IsOutOfTheCacheOnceItWasReadFromTheServer(t *testing.T) {
	server := redistest.Shared(t)
	d, other := openNear(t, server.URL()), openURL(t, server.URL())
	ctx := testContext(t)
	other.Set(ctx, "k:1", value.AppendNumber(nil, 0), 0)
	for want := 1.0; want <= 2_000; want++ {
		keepNear(t, d, "k:1")
		if _, err := other.Incr(ctx, "k:1", 1, 0, 0); err != nil {
			t.Fatal(err)
		}
		var err error
		if rand.IntN(2) == 0 {
			_, _, err = d.Entry(ctx, "k:1")
		} else {
			_, err = d.TTL(ctx, "k:1")
		}
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := d.Peek("k:1"); ok {
			if n, _ := value.ParseNumber(v); n != want {
				t.Fatalf("%v in the cache after %v was read from the server", n, want)
			}
		}
	}
}

func TestNear_WhateverChangesAKey_TakesItOutOfTheCache(t *testing.T) {
	server := redistest.Start(t, nil) // FLUSHALL
	d := openNear(t, server.URL())
	for _, command := range []string{
		"SET k:1 other", "APPEND k:1 more", "DEL k:1", "UNLINK k:1", "RENAME k:1 k:2", "RENAME k:2 k:1", "EXPIRE k:1 100", "PERSIST k:1", "COPY k:2 k:1 REPLACE",
		"MOVE k:1 1", "FLUSHDB", "FLUSHALL", "EVAL return(redis.call('SET',KEYS[1],'other')) 1 k:1",
	} {
		server.Do(t, "FLUSHALL")
		server.Do(t, "SET", "k:1", "v", "EX", "1000")
		server.Do(t, "SET", "k:2", "v2")
		keepNear(t, d, "k:1")
		server.Do(t, strings.Fields(command)...)
		eventually(t, command+" shows", func() bool { _, ok := d.Peek("k:1"); return !ok })
	}
}

func TestNear_EntryThatExpires_IsNeverAnsweredAfterItsTime(t *testing.T) {
	server := redistest.Shared(t)
	d, other := openNear(t, server.URL()), openURL(t, server.URL())
	ctx := testContext(t)
	hits := 0
	for range 20 {
		ttl := time.Duration(5+rand.IntN(20)) * time.Millisecond
		if err := other.Set(ctx, "k:1", []byte{1}, ttl); err != nil {
			t.Fatal(err)
		}
		over := time.Now().Add(ttl) // at the latest
		for asked := time.Now(); asked.Before(over.Add(10 * time.Millisecond)); asked = time.Now() {
			if _, ok := d.Peek("k:1"); !ok {
				d.Get(ctx, "k:1")
			} else if hits++; asked.After(over) {
				t.Fatalf("answered %v after the end of %v", asked.Sub(over), ttl)
			}
		}
	}
	if hits == 0 {
		t.Error("nothing was ever in the cache")
	}
}

// A tracker is a puppet that keeps one key, and can say that it changed at any point of its answers.
type tracker struct {
	*puppet
	before, between, after atomic.Value // news: before the answer to GET, after it, and after that to PTTL
}

const (
	newsOfKey = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nk:1\r\n"
	newsOfAll = ">2\r\n$10\r\ninvalidate\r\n_\r\n"
	newsOther = ">2\r\n$10\r\ninvalidate\r\n*2\r\n$3\r\nk:2\r\n$3\r\nk:3\r\n"
)

func startTracker(t *testing.T) *tracker {
	k := &tracker{}
	for _, v := range []*atomic.Value{&k.before, &k.between, &k.after} {
		v.Store("")
	}
	k.puppet = startPuppet(t, nil, func(command []string) string {
		switch command[0] {
		case "GET":
			return k.before.Load().(string) + "$1\r\nv\r\n" + k.between.Load().(string)
		case "PTTL":
			return ":-1\r\n" + k.after.Load().(string)
		}
		return "+OK\r\n"
	})
	return k
}

func TestNear_NewsAtAnyPointOfARead_LeaveNothingOldInTheCache(t *testing.T) {
	k := startTracker(t)
	for name, news := range map[string]string{"of the key": newsOfKey, "of all": newsOfAll} {
		d := openNear(t, "redis://"+k.addr)
		for _, v := range []*atomic.Value{&k.before, &k.between} {
			v.Store(news)
			if _, err := d.Get(testContext(t), "k:1"); err != nil {
				t.Fatal(err)
			}
			wantNoPeek(t, d, "k:1")
			v.Store("")
			keepNear(t, d, "k:1")
			d.near.Evict("k:1")
		}
		k.after.Store(news)
		d.Get(testContext(t), "k:1")
		eventually(t, "the news "+name+" have come", func() bool { _, ok := d.Peek("k:1"); return !ok })
		k.after.Store("")
	}
}

func TestNear_NewsOfOtherKeys_LeaveAKeyInTheCache(t *testing.T) {
	k := startTracker(t)
	k.before.Store(newsOther)
	k.between.Store(newsOther)
	d := openNear(t, "redis://"+k.addr)
	for range 10 {
		if !sharesCounter(d) {
			break
		}
		d = openNear(t, "redis://"+k.addr)
	}
	d.Get(testContext(t), "k:1")
	wantPeek(t, d, "k:1", "v")
}

// sharesCounter reports whether the cache counts the evictions of k:1 together with those of k:2 or k:3, so that a read of k:1 which news
// of them overtake is not kept. Chance decides, anew for each cache: it does in one of 256.
func sharesCounter(d *nearDriver) bool {
	read := d.near.Begin("k:1", &near.Source{})
	d.near.Evict("k:2")
	d.near.Evict("k:3")
	defer d.near.Evict("k:1")
	return !read.Keep([]byte("x"), 0)
}

// A server that says what nobody asked for is not to be trusted, near cache or not.
func TestNear_OtherPushes_BreakTheConnection(t *testing.T) {
	for _, push := range []string{
		">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\na\r\n", ">2\r\n$10\r\ninvalidate\r\n:1\r\n",
		">2\r\n$10\r\ninvalidate\r\n" + newsOfKey, ">1\r\n$10\r\ninvalidate\r\n",
	} {
		k := startTracker(t)
		d := openNear(t, "redis://"+k.addr)
		keepNear(t, d, "k:1")
		link := only(d.Driver).live.Load()
		k.before.Store(push)
		d.Get(testContext(t), "k:1")
		eventually(t, "the link is cut", link.dead.Load)
		wantNoPeek(t, d, "k:1")
	}
}

func TestNear_ServerThatCannotTellOfChanges_IsRefusedWithAHint(t *testing.T) {
	greet := func(answers map[string]string) string {
		p := startPuppet(t, func(command []string) string {
			for begin, answer := range answers {
				if strings.HasPrefix(strings.Join(command, " ")+" ", begin+" ") {
					return answer
				}
			}
			if command[0] == "HELLO" {
				return helloReply
			}
			return "+OK\r\n"
		}, always("+OK\r\n"))
		return "redis://" + p.addr
	}
	password := servertest.Password()
	server := redistest.Start(t, nil)
	server.Do(t, "ACL", "SETUSER", "app", "on", ">"+password, "~*", "+@all", "-client|tracking")
	for name, c := range map[string]struct{ url, kind, says string }{
		"a user that may not":       {"redis://app:" + password + "@" + server.Addr(), "denied", "CLIENT TRACKING"},
		"a server without HELLO":    {greet(map[string]string{"HELLO": "-ERR unknown command 'HELLO'\r\n"}), "unavailable", "Redis 6.2 or later"},
		"one that speaks RESP2":     {greet(map[string]string{"HELLO": "*4\r\n+version\r\n+6.0.0\r\n+proto\r\n:2\r\n"}), "unavailable", "does not speak RESP3"},
		"one without tracking":      {greet(map[string]string{"CLIENT TRACKING": "-ERR unknown subcommand 'TRACKING'\r\n"}), "unavailable", "leave near= out"},
		"one that never says":       {greet(map[string]string{"CLIENT TRACKING": silence}) + "?dial_timeout=100ms", "unavailable", ""},
		"one that repeats a secret": {"redis://:hunter2@" + strings.TrimPrefix(greet(map[string]string{"CLIENT TRACKING": "-ERR hunter2\r\n"}), "redis://"), "unavailable", "xxxxx"},
	} {
		o := must(ParseURL(c.url))(t)
		o.Near = near.MinBytes
		_, err := Opener(o).Open(testContext(t))
		if store.Kind(err) != c.kind || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s that says %q", name, err, c.kind, c.says)
		}
	}
}

func TestNear_Off_AsksTheServerForNothing(t *testing.T) {
	asked := make(chan []string, 16)
	p := startPuppet(t, func(command []string) string {
		asked <- command
		if command[0] == "HELLO" {
			return helloReply
		}
		return "+OK\r\n"
	}, always("$1\r\nv\r\n"))
	d, err := openerOf(t, "redis://"+p.addr).Open(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.Get(testContext(t), "k:1")
	if _, peeks := d.(store.Peeker); peeks {
		t.Error("a driver without a near cache says that it has one")
	}
	close(asked)
	for command := range asked {
		if len(command) > 1 && command[1] == "TRACKING" {
			t.Errorf("%q was sent", command)
		}
	}
}

// Handles answer reads from the cache, and conditions by the server.
func TestNear_ConditionsAskTheServer_ReadsDoNot(t *testing.T) {
	d := openNear(t, redistest.Shared(t).URL())
	reg := store.New(nil)
	defer reg.Close(context.Background())
	opener := store.Opener{Open: func(context.Context) (store.Driver, error) { return d, nil }}
	if err := reg.Define("s", store.Definition{Open: opener}); err != nil {
		t.Fatal(err)
	}
	one, two := value.AppendNumber(nil, 1), value.AppendNumber(nil, 2)
	plant := func() { // what no rule of coherence would let be there
		d.near.Evict("k:1")
		d.near.Begin("k:1", only(d.Driver).live.Load().source.Load()).Keep(two, 0)
	}
	err := reg.Do(testContext(t), func(ctx context.Context) error {
		h, err := store.Get(ctx, "s")
		if err != nil {
			return err
		}
		reset := func() {
			if err := h.Set(ctx, "k:1", one, 0); err != nil {
				t.Fatal(err)
			}
			plant()
		}
		reset()
		if v, err := h.Get(ctx, "k:1"); string(v) != string(two) {
			t.Errorf("get: %q, %v, want what is in the cache", v, err)
		}
		if e, err := h.Entry(ctx, "k:1"); string(e.Value) != string(one) {
			t.Errorf("entry: %q, %v", e.Value, err)
		}
		if done, err := h.SetIfVersion(ctx, "k:1", two, store.Version(two), 0); done || err != nil {
			t.Errorf("a condition on what was only in the cache held: %v", err)
		}
		reset()
		if v, err := h.Update(ctx, "k:1", store.KeepTTL, nil, func(old []byte) ([]byte, error) { return old, nil }); string(v) != string(one) {
			t.Errorf("update: %q, %v", v, err)
		}
		reset()
		if n, err := h.Incr(ctx, "k:1", 1, 0, 0); n != 2 {
			t.Errorf("incr: %v, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNear_Size(t *testing.T) {
	for text, want := range map[string]int64{"1MiB": 1 << 20, "64MiB": 64 << 20, "2048KiB": 2 << 20, "1GiB": 1 << 30, "1048577": 1<<20 + 1} {
		o := must(ParseURL("redis://h?near=" + text))(t)
		if o.Near != want {
			t.Errorf("%s: %d, want %d", text, o.Near, want)
		}
		if again := must(ParseURL(o.Redacted()))(t); again.Near != want {
			t.Errorf("%s comes back from %s as %d", text, o.Redacted(), again.Near)
		}
	}
	for _, text := range []string{"lots", "-1", "0", "64MB", "64 MiB", "1023KiB", "1", "1.5MiB", "9007199254740993GiB", "99999999999999999999"} {
		_, err := ParseURL("redis://h?near=" + strings.ReplaceAll(text, " ", "%20"))
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "1MiB") {
			t.Errorf("near=%s: %v", text, err)
		}
	}
	if err := (&Options{Near: -1}).check(); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a size below zero: %v", err)
	}
	if Opener(&Options{Near: near.MinBytes}).Connection == Opener(nil).Connection {
		t.Error("a driver with a near cache is taken for one without")
	}
}

func TestFrames_NewsOfChanges_CountAsNoReply(t *testing.T) {
	stream := "+OK\r\n" + newsOfKey + "*2\r\n$1\r\na\r\n:1\r\n" + newsOfAll + newsOther + "$-1\r\n" + newsOfKey
	for size := 1; size <= len(stream); size++ {
		f := frames{pushes: true}
		got := 0
		for i := 0; i < len(stream); i += size {
			complete, err := f.feed([]byte(stream[i:min(i+size, len(stream))]))
			if err != nil {
				t.Fatalf("in pieces of %d: %v", size, err)
			}
			got += complete
		}
		if got != 3 {
			t.Errorf("in pieces of %d: %d replies, want 3", size, got)
		}
	}
}

func TestFrames_NewsThatTheClientWouldNotTake_AreRefused(t *testing.T) {
	for name, stream := range map[string]string{
		"inside of a reply":  "*2\r\n$1\r\na\r\n" + newsOfKey,
		"inside of news":     ">2\r\n$10\r\ninvalidate\r\n*1\r\n" + newsOfKey,
		"of one key, no set": ">2\r\n$10\r\ninvalidate\r\n$3\r\nk:1\r\n",
		"of another kind":    ">2\r\n$10\r\nsubscribed\r\n*0\r\n",
		"of three parts":     ">3\r\n$10\r\ninvalidate\r\n*0\r\n*0\r\n",
	} {
		f := frames{pushes: true}
		if _, err := f.feed([]byte(stream)); err == nil {
			t.Errorf("news %s were taken", name)
		}
	}
	var f frames
	if _, err := f.feed([]byte(newsOfKey)); err == nil {
		t.Error("news that nobody asked for were taken")
	}
}
