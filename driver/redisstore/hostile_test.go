package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

func TestHostileReplies_BreakTheConnection_NotTheProcess(t *testing.T) {
	replies := slices.Concat(hostileReplies, []string{
		"", "$5\r\nab", "*2\r\n$1\r\na\r\n", "+OK\r\n+OK\r\n+OK\r\n", "$1\r\nv\r\n$1\r\nw\r\n", strings.Repeat("+OK\r\n", 10_000),
	})
	for i, reply := range replies {
		var calm atomic.Bool
		p := startPuppet(t, nil, func(command []string) string {
			if calm.Load() || len(command) > 1 && command[1] == "k:pipe" {
				return ":0\r\n"
			}
			return reply + hangUp
		})
		eachWay(t, func(t *testing.T) *Driver { calm.Store(false); return openURL(t, "redis://"+p.addr) }, func(t *testing.T, d *Driver) {
			ctx, cancel := context.WithTimeout(context.Background(), boundtest.Scale(time.Second))
			defer cancel()
			_, err := d.Incr(ctx, "k:1", 1, 0, 0)
			if kind := store.Kind(err); kind != "unknown_outcome" && i < len(hostileReplies) {
				t.Errorf("%.40q to a write: %v, want unknown outcome", reply, err)
			}
			if _, err := d.Get(ctx, "k:1"); i < len(hostileReplies) && store.Kind(err) != "unavailable" {
				t.Errorf("%.40q to a read: %v, want unavailable", reply, err)
			}
			calm.Store(true)
			only(d).mu.Lock()
			only(d).redialAt = time.Time{} // the gap has a test of its own
			only(d).mu.Unlock()
			d.pace.ended(true)
			eventually(t, "the driver recovered", func() bool { _, err := d.Has(testContext(t), "k:1"); return err == nil })
		})
	}
}

// rightReplies are the replies that a command may have, by operation, and mean success.
var rightReplies = map[string][]string{
	"set": {"+OK\r\n"}, "create": {"+OK\r\n", "_\r\n"}, "set many": {"+OK\r\n"}, "incr": {"$1\r\n\x01\r\n", "$1\r\nv\r\n"},
	"delete": {":1\r\n"}, "touch": {":1\r\n"}, "persist": {":1\r\n"}, "swap": {":1\r\n"}, "delete many": {":1\r\n"},
	"get": {"$1\r\n\x01\r\n", "$1\r\nv\r\n", "+OK\r\n", "+NO\r\n"}, "get many": {"$1\r\n\x01\r\n", "$1\r\nv\r\n", "+OK\r\n", "+NO\r\n", "_\r\n"},
	"ttl": {":1\r\n"}, "has": {":1\r\n"}, "is absent": {":1\r\n"}, "list": {"*2\r\n$1\r\n0\r\n*0\r\n"}, "entry": {"*2\r\n$1\r\na\r\n:1\r\n"},
}

func TestRepliesOfAnotherType_AreErrors(t *testing.T) {
	for _, reply := range []string{
		":1\r\n", "+OK\r\n", "+NO\r\n", "$1\r\nv\r\n", "$1\r\n\x01\r\n", "*0\r\n", "*1\r\n:1\r\n", "*2\r\n_\r\n_\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
		"*2\r\n$1\r\na\r\n:1\r\n", "*2\r\n$1\r\n0\r\n*0\r\n", "%1\r\n+a\r\n+b\r\n", "#t\r\n", ",1.5\r\n", "_\r\n", "(1\r\n",
	} {
		p := startPuppet(t, nil, always(reply))
		d, ctx := openURL(t, "redis://"+p.addr), testContext(t)
		check := func(name string, err error, kinds ...string) {
			if right := slices.Contains(rightReplies[name], reply); right != (err == nil) || err != nil && !slices.Contains(kinds, store.Kind(err)) {
				t.Errorf("%q to %s: %v (%s)", reply, name, err, store.Kind(err))
			}
		}
		for name, op := range writes {
			check(name, op(ctx, d), "unknown_outcome", "invalid")
		}
		for name, op := range reads {
			check(name, op(ctx, d), "unavailable", "not_found")
		}
	}
}

func TestErrorReplies_HaveKinds(t *testing.T) {
	for reply, want := range map[string]string{
		"-LOADING Redis is loading the dataset in memory\r\n":             "unavailable",
		"-READONLY You can't write against a read only replica.\r\n":      "unavailable",
		"-MASTERDOWN Link with MASTER is down\r\n":                        "unavailable",
		"-CLUSTERDOWN Hash slot not served\r\n":                           "unavailable",
		"-MOVED 1 127.0.0.1:1\r\n":                                        "unavailable",
		"-TRYAGAIN Multiple keys request during rehashing of slot\r\n":    "unavailable",
		"-MISCONF Redis is configured to save RDB snapshots\r\n":          "unavailable",
		"-NOREPLICAS Not enough good replicas to write.\r\n":              "unavailable",
		"-BUSY Redis is busy running a script.\r\n":                       "unavailable",
		"-NOAUTH Authentication required.\r\n":                            "unavailable",
		"-ERR max number of clients reached\r\n":                          "unavailable",
		"-OOM command not allowed when used memory > 'maxmemory'.\r\n":    "full",
		"-NOPERM this user has no permissions to run the 'x' command\r\n": "denied",
		"-WRONGTYPE Operation against a key\r\n":                          "corrupt",
		"-ERR something new\r\n":                                          "internal",
	} {
		p := startPuppet(t, nil, always(reply))
		d, ctx := openURL(t, "redis://"+p.addr), testContext(t)
		for _, ops := range []map[string]func(context.Context, *Driver) error{reads, writes} {
			for name, op := range ops {
				err := op(ctx, d)
				if store.Kind(err) != want {
					t.Errorf("%q to %s: %v, want %s", reply, name, err, want)
				}
				if strings.HasPrefix(reply, "-MOVED") && !strings.Contains(err.Error(), "use a redis+cluster:// URL") {
					t.Errorf("%q to %s: %v", reply, name, err)
				}
			}
		}
	}
}

func TestSecrets_AreInNoError(t *testing.T) {
	const secret = "hunter2"
	echo := "-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'user' '" + secret + "'\r\n"
	url := func(addr string) string { return "redis://user:" + secret + "@" + addr }
	var errs []error
	for _, greet := range []func([]string) string{
		always(echo), always("-WRONGPASS invalid " + secret + "\r\n"), always(secret + hangUp), always("$" + secret + "\r\n"), always("+" + secret + "\r\n"), always("*0\r\n"),
	} {
		p := startPuppet(t, greet, always("+OK\r\n"))
		d, err := open(testContext(t), must(ParseURL(url(p.addr)))(t).target())
		errs = append(errs, err)
		if err == nil { // a server so old that it does not know the greeting
			d.Close()
		} else if store.Kind(err) != "unavailable" {
			t.Errorf("%v, want unavailable", err)
		}
	}
	p := startPuppet(t, nil, always("-ERR you sent "+secret+"\r\n"))
	d := openURL(t, url(p.addr))
	for _, ops := range []map[string]func(context.Context, *Driver) error{reads, writes} {
		for _, op := range ops {
			errs = append(errs, op(testContext(t), d))
		}
	}
	text := ""
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		for _, v := range []any{d, d.Info(), d.target, Opener(must(ParseURL(url(p.addr)))(t)), struct{ Driver store.Driver }{d}} {
			text += fmt.Sprintf(verb, v)
		}
	}
	for _, err := range errs {
		for ; err != nil; err = errors.Unwrap(err) {
			text += fmt.Sprintf("\n%v %+v %#v", err, err, err)
		}
	}
	if strings.Contains(text, secret) {
		t.Errorf("the password is in %s", text)
	}
}

func TestDeadServer_IsDialedTwiceASecondAtMost(t *testing.T) {
	var dead atomic.Bool
	p := startPuppet(t, func(command []string) string {
		switch {
		case dead.Load():
			return hangUp
		case command[0] == "HELLO":
			return helloReply
		}
		return "+OK\r\n"
	}, always("$1\r\nv\r\n"+hangUp))
	d := openURL(t, "redis://"+p.addr)
	dead.Store(true)
	before := p.dials.Load()
	wantThreeDialsInTwoGaps(t, p, func() { d.Get(testContextShort(t), "k:1") })
	if dials := p.dials.Load(); dials < before+3 {
		t.Errorf("%d dials, want 3", dials-before)
	}
}

func TestErrorReply_WithThePasswordForItsFirstWord_HasItsKind(t *testing.T) {
	p := startPuppet(t, nil, always("-OOM command not allowed\r\n"))
	d := openURL(t, "redis://:OOM@"+p.addr)
	if err := d.Set(testContext(t), "k:1", nil, 0); store.Kind(err) != "full" {
		t.Errorf("%v, want full", err)
	}
}

// wantThreeDialsInTwoGaps calls until the server was dialed three times more.
func wantThreeDialsInTwoGaps(t *testing.T, p *puppet, call func()) {
	t.Helper()
	before := p.dials.Load()
	var start time.Time // of the first dial, or before
	deadline := time.Now().Add(30 * time.Second)
	for last := time.Now(); p.dials.Load() < before+3; last = time.Now() {
		if call(); start.IsZero() && p.dials.Load() > before {
			start = last
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d dials, want 3", p.dials.Load()-before)
		}
	}
	if took := time.Since(start); took < 2*redialGap {
		t.Errorf("three dials in %v, want at least %v", took, 2*redialGap)
	}
}

func TestServerThatGreetsAndHangsUp_IsDialedTwiceASecondAtMost(t *testing.T) {
	for _, hangs := range []string{"GET", "PING"} {
		t.Run("after "+hangs, func(t *testing.T) {
			t.Parallel()
			var mean atomic.Bool
			p := startPuppet(t, nil, always(hangUp))
			p.ping.Store(func() string {
				if mean.Load() && hangs == "PING" {
					return "+PONG\r\n" + hangUp
				}
				return "+PONG\r\n"
			})
			d := openURL(t, "redis://"+p.addr)
			mean.Store(true)
			wantThreeDialsInTwoGaps(t, p, func() {
				if _, err := d.Get(testContext(t), "k:1"); store.Kind(err) != "unavailable" {
					t.Fatal(err)
				}
			})
		})
	}
}
