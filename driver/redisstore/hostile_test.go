package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/redistest"
)

// A puppet is a server that shakes hands like Redis and then answers each command as a test wants.
type puppet struct {
	addr  string
	dials atomic.Int64
	ping  atomic.Value // func() string: the reply to PING
}

// silence as a reply leaves the command without one; hangUp closes the connection after what comes before it.
const (
	silence = "\x00silence"
	hangUp  = "\x00hang up"
)

const helloReply = "%2\r\n+version\r\n+7.0.0\r\n+proto\r\n:3\r\n"

// startPuppet answers commands beyond the handshake with reply; a nil greet shakes hands properly.
func startPuppet(t testing.TB, greet, reply func(command []string) string) *puppet {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &puppet{addr: listener.Addr().String()}
	p.ping.Store(func() string { return "+PONG\r\n" })
	if greet == nil {
		greet = func(command []string) string {
			if command[0] == "HELLO" {
				return helloReply
			}
			return "+OK\r\n"
		}
	}
	var conns sync.Map
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.dials.Add(1)
			conns.Store(conn, nil)
			go p.serve(conn, greet, reply)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		conns.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
	})
	return p
}

func (p *puppet) serve(conn net.Conn, greet, reply func(command []string) string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		command, err := readCommand(r)
		if err != nil {
			return
		}
		answer := reply
		switch command[0] {
		case "HELLO", "CLIENT", "SELECT":
			answer = greet
		case "PING":
			answer = func([]string) string { return p.ping.Load().(func() string)() }
		}
		text, hang := strings.CutSuffix(answer(command), hangUp)
		if text != silence {
			io.WriteString(conn, text)
		}
		if hang {
			return
		}
	}
}

func readCommand(r *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		size, err := number()
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		command[i] = string(b[:size])
	}
	return command, nil
}

func always(reply string) func([]string) string { return func([]string) string { return reply } }

// writes are all the ways to change something.
var writes = map[string]func(ctx context.Context, d *Driver) error{
	"set":     func(ctx context.Context, d *Driver) error { return d.Set(ctx, "k:1", []byte("v"), 0) },
	"delete":  func(ctx context.Context, d *Driver) error { _, err := d.Delete(ctx, "k:1"); return err },
	"touch":   func(ctx context.Context, d *Driver) error { _, err := d.Touch(ctx, "k:1", time.Hour); return err },
	"persist": func(ctx context.Context, d *Driver) error { _, err := d.Touch(ctx, "k:1", 0); return err },
	"swap": func(ctx context.Context, d *Driver) error {
		_, err := d.CompareAndSwap(ctx, "k:1", []byte("a"), []byte("b"), 0)
		return err
	},
	"create": func(ctx context.Context, d *Driver) error {
		_, err := d.CompareAndSwap(ctx, "k:1", nil, []byte("b"), 0)
		return err
	},
	"incr": func(ctx context.Context, d *Driver) error { _, err := d.Incr(ctx, "k:1", 1, 0, 0); return err },
	"set many": func(ctx context.Context, d *Driver) error {
		return d.SetMany(ctx, []store.Item{{Key: "k:1"}, {Key: "k:2"}}, 0)
	},
	"delete many": func(ctx context.Context, d *Driver) error {
		_, err := d.DeleteMany(ctx, []string{"k:1", "k:2"})
		return err
	},
}

var reads = map[string]func(ctx context.Context, d *Driver) error{
	"get":   func(ctx context.Context, d *Driver) error { _, err := d.Get(ctx, "k:1"); return err },
	"entry": func(ctx context.Context, d *Driver) error { _, _, err := d.Entry(ctx, "k:1"); return err },
	"ttl":   func(ctx context.Context, d *Driver) error { _, err := d.TTL(ctx, "k:1"); return err },
	"has":   func(ctx context.Context, d *Driver) error { _, err := d.Has(ctx, "k:1"); return err },
	"get many": func(ctx context.Context, d *Driver) error {
		_, err := d.GetMany(ctx, []string{"k:1", "k:2"})
		return err
	},
	"list": func(ctx context.Context, d *Driver) error { _, err := d.List(ctx, "k:", "", 10); return err },
	"is absent": func(ctx context.Context, d *Driver) error {
		_, err := d.CompareAndSwap(ctx, "k:1", nil, nil, 0)
		return err
	},
}

// eachWay runs a test on a connection with one caller, whose client reads replies itself, and on a piped one.
func eachWay(t *testing.T, d func(t *testing.T) *Driver, test func(t *testing.T, d *Driver)) {
	for _, piped := range []bool{false, true} {
		t.Run(fmt.Sprintf("piped=%v", piped), func(t *testing.T) {
			d := d(t)
			if piped {
				makePiped(t, d)
			}
			test(t, d)
		})
	}
}

// makePiped makes a call as if another were under way.
func makePiped(t *testing.T, d *Driver) {
	t.Helper()
	d.crowded.Store(true)
	d.Has(testContext(t), "k:pipe")
	if !d.live.Load().piped.Load() {
		t.Fatal("the link is not piped")
	}
}

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
// the context before the command is sent: then once more.
func endedCall(t *testing.T, d *Driver, op func(context.Context, *Driver) error, with withEnd) (late time.Duration, err error) {
	t.Helper()
	const after = 20 * time.Millisecond
	for range 10 {
		link := must(d.connect(testContext(t)))(t)
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
				if held := len(d.slots); held > 0 {
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
	link := d.live.Load()
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
	eventually(t, "the connection is gone", func() bool { d.Get(testContextShort(t), "k:1"); return d.live.Load() == nil })
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
			d.mu.Lock()
			d.redialAt = time.Time{} // the gap has a test of its own
			d.mu.Unlock()
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
				if strings.HasPrefix(reply, "-MOVED") && !strings.Contains(err.Error(), "not to a cluster") {
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
		for _, v := range []any{d, d.Info(), d.target, d.live.Load(), Opener(must(ParseURL(url(p.addr)))(t)), struct{ Driver store.Driver }{d}} {
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

// A breaker stands before a real server and, when told, lets a command through and breaks the connection instead of
// returning the reply.
type breaker struct {
	addr  string
	armed atomic.Bool
}

func startBreaker(t testing.TB, target string) *breaker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breaker{addr: listener.Addr().String()}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				conn.Close()
				return
			}
			go func() { io.Copy(server, conn); server.Close() }()
			go b.replies(conn, server)
		}
	}()
	return b
}

func (b *breaker) replies(conn, server net.Conn) {
	defer conn.Close()
	defer server.Close()
	p := make([]byte, 64<<10)
	for {
		n, err := server.Read(p)
		if err != nil || b.armed.CompareAndSwap(true, false) {
			return
		}
		if _, err := conn.Write(p[:n]); err != nil {
			return
		}
	}
}

func TestLostReplies(t *testing.T) {
	server := redistest.Shared(t)
	b := startBreaker(t, server.Addr())
	url := strings.Replace(server.URL(), server.Addr(), b.addr, 1)
	eachWay(t, func(t *testing.T) *Driver { return openURL(t, url) }, func(t *testing.T, d *Driver) {
		ctx := testContext(t)
		server.Do(t, "DEL", "k:n", "k:d")
		d.Incr(ctx, "k:n", 0, 0, 0) // the server knows the script from here on
		applied, unknown := 0, 0
		for i := range 100 {
			d.Has(ctx, "k:n") // connects
			b.armed.Store(i%3 == 0)
			switch _, err := d.Incr(ctx, "k:n", 1, 0, 0); store.Kind(err) {
			case "":
				applied++
			case "unknown_outcome":
				unknown++
			default:
				t.Fatal(err)
			}
		}
		n, err := d.Incr(ctx, "k:n", 0, 0, 0)
		if int(n) != applied+unknown || unknown != 34 || err != nil {
			t.Errorf("%v increments, %d confirmed, %d unknown, %v", n, applied, unknown, err)
		}
		for range 10 {
			server.Do(t, "SET", "k:d", "v")
			d.Has(ctx, "k:d")
			b.armed.Store(true)
			if existed, err := d.Delete(ctx, "k:d"); store.Kind(err) != "unknown_outcome" {
				t.Errorf("a delete whose reply was lost: %v, %v", existed, err)
			}
			d.Has(ctx, "k:d") // connects
			b.armed.Store(true)
			if created, err := d.CompareAndSwap(ctx, "k:d", nil, []byte("v"), 0); store.Kind(err) != "unknown_outcome" {
				t.Errorf("a create whose reply was lost: %v, %v", created, err)
			}
			d.Has(ctx, "k:d")
			b.armed.Store(true)
			if v, err := d.Get(ctx, "k:d"); string(v) != "v" || err != nil {
				t.Errorf("a read whose reply was lost was not sent again: %q, %v", v, err)
			}
			b.armed.Store(true)
			if v, err := d.GetMany(ctx, []string{"k:d"}); err != nil || string(v[0]) != "v" {
				t.Errorf("a batch of reads whose reply was lost was not sent again: %q, %v", v, err)
			}
		}
		d.Has(ctx, "k:d")
		b.armed.Store(true)
		err = d.SetMany(ctx, []store.Item{{Key: "k:1"}, {Key: "k:2"}}, 0)
		var batch *store.BatchError
		if !errors.As(err, &batch) || !slices.Equal(batch.Keys(), []string{"k:1", "k:2"}) || store.Kind(err) != "unknown_outcome" {
			t.Errorf("a batch whose replies were lost: %v", err)
		}
	})
}

func TestBatch_CutInTheMiddle_NamesTheKeysWithoutAnswer(t *testing.T) {
	p := startPuppet(t, nil, func(command []string) string {
		switch command[1] {
		case "k:3":
			return "-OOM command not allowed\r\n"
		case "k:4":
			return hangUp
		case "k:pipe":
			return ":0\r\n"
		}
		return "+OK\r\n"
	})
	eachWay(t, func(t *testing.T) *Driver { return openURL(t, "redis://"+p.addr) }, func(t *testing.T, d *Driver) {
		var entries []store.Item
		for i := range 6 {
			entries = append(entries, store.Item{Key: fmt.Sprint("k:", i)})
		}
		err := d.SetMany(testContext(t), entries, 0)
		var batch *store.BatchError
		if !errors.As(err, &batch) || store.Kind(err) != "unknown_outcome" {
			t.Fatalf("got %v", err)
		}
		for _, i := range []int{3, 4, 5} {
			want := "unknown_outcome"
			if i == 3 && d.latest.Load().piped.Load() {
				want = "full"
			}
			if got := store.Kind(batch.Errs[entries[i].Key]); got != want && got != "full" {
				t.Errorf("%s: %v, want %s", entries[i].Key, batch.Errs[entries[i].Key], want)
			}
		}
	})
}

func TestSilentServer_IsGivenUp_AndItsQueueFreed(t *testing.T) {
	p := startPuppet(t, nil, func(command []string) string {
		if command[1] == "k:pipe" {
			return ":0\r\n"
		}
		return silence
	})
	d := openURL(t, "redis://"+p.addr)
	makePiped(t, d)
	first := d.live.Load()
	start := time.Now()
	giveUp(t, d, 2*maxCalls, "k:1")
	// Long before the client's own ping gives up.
	eventually(t, "the connection was given up", first.dead.Load)
	if took := time.Since(start); took < maxSilence {
		t.Errorf("given up after %v, want no less than %v", took, maxSilence)
	}
	if held := first.commands.Load(); held != 0 {
		t.Errorf("%d commands are held after the end of the connection", held)
	}
}

// giveUp makes calls that are cancelled when as many as may be were sent.
func giveUp(t *testing.T, d *Driver, calls int, key string) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	var wait sync.WaitGroup
	for range calls {
		wait.Go(func() {
			if err := d.Set(ctx, key, nil, 0); err == nil {
				t.Error("a write without a reply was confirmed")
			}
		})
	}
	link := d.live.Load()
	eventually(t, "the calls were sent", func() bool { return link.written.Load()-link.answered.Load() >= maxCalls })
	cancel()
	wait.Wait()
}

// startSlow answers nothing while held, and everything once released.
func startSlow(t *testing.T) (d *Driver, p *puppet, release func()) {
	held := make(chan struct{})
	p = startPuppet(t, nil, func(command []string) string {
		if command[1] != "k:pipe" {
			<-held
		}
		if command[0] == "SET" {
			return "+OK\r\n"
		}
		return ":0\r\n"
	})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	d = openURL(t, "redis://"+p.addr)
	makePiped(t, d)
	return d, p, release
}

func TestSlowServer_FirstCallAfterItsRecovery_Succeeds(t *testing.T) {
	d, p, release := startSlow(t)
	giveUp(t, d, maxCalls+200, "k:1")
	if held := len(d.slots); held != maxCalls {
		t.Errorf("%d slots are held, want %d: the commands are still in the queue", held, maxCalls)
	}
	release()
	if err := d.Set(testContext(t), "k:2", nil, 0); err != nil {
		t.Errorf("the first call after the recovery: %v", err)
	}
	eventually(t, "the slots are free", func() bool {
		return len(d.slots) == 0 && d.live.Load().commands.Load() == 0
	})
	if p.dials.Load() != 1 {
		t.Errorf("%d dials: a slow server is not a dead one", p.dials.Load())
	}
}

// A server that always answers too late answers all the same: what was given up leaves the queue as it does.
func TestSlowServer_CallsGivenUpAllTheTime_HoldNoMoreSlotsThanWaitForReplies(t *testing.T) {
	step := make(chan struct{})
	p := startPuppet(t, nil, func(command []string) string {
		if command[1] != "k:pipe" {
			<-step
		}
		return ":0\r\n"
	})
	d := openURL(t, "redis://"+p.addr)
	t.Cleanup(func() { close(step) })
	makePiped(t, d)
	l := d.live.Load()
	const behind = 3
	for i := range maxCalls + 50 {
		ctx, cancel := context.WithCancel(testContext(t))
		done := make(chan struct{})
		go func() { d.Has(ctx, "k:1"); close(done) }()
		written := l.answered.Load() + int64(min(i, behind)) + 1
		eventuallySoon(t, "the command was sent", func() bool { return l.written.Load() >= written })
		cancel()
		<-done
		if held, waiting := len(d.slots), l.written.Load()-l.answered.Load(); int64(held) < waiting {
			t.Fatalf("%d slots are held, and %d commands wait for replies", held, waiting)
		}
		if i < behind {
			continue
		}
		answered := l.answered.Load()
		step <- struct{}{}
		eventuallySoon(t, "a reply came", func() bool { return l.answered.Load() > answered })
		eventuallySoon(t, "its slot was given back", func() bool { return len(d.slots) <= behind+1 })
	}
}

// eventuallySoon is eventually for what takes microseconds.
func eventuallySoon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(20 * time.Microsecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

func TestCallsGivenUpBeforeTheyWereSent_HoldNoSlotForLong(t *testing.T) {
	d := openURL(t, redistest.Shared(t).URL())
	makePiped(t, d)
	first := d.live.Load()
	for range maxCalls {
		ctx, cancel := context.WithCancel(context.Background())
		c, err := d.begin(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		c.leave(d.client.Do(c.handed, d.client.B().Ping().Build()).NonRedisError())
	}
	if err := d.Set(testContext(t), "k:1", nil, 0); err != nil || d.live.Load() != first {
		t.Errorf("%v, or the connection was given up", err)
	}
}

func TestManyCancelledAtOnce_HurtNobodyElse(t *testing.T) {
	d, p, release := startSlow(t)
	ctx, cancel := context.WithCancel(context.Background())
	var wait, others sync.WaitGroup
	for range 400 {
		wait.Go(func() { d.Has(ctx, "k:1") })
	}
	for range 20 {
		others.Go(func() {
			if err := d.Set(testContext(t), "k:2", nil, 0); err != nil {
				t.Error(err)
			}
		})
	}
	link := d.live.Load()
	eventually(t, "all is sent", func() bool { return link.commands.Load() == 420 })
	cancel()
	wait.Wait()
	release()
	others.Wait()
	if p.dials.Load() != 1 {
		t.Errorf("%d dials, want 1", p.dials.Load())
	}
}

func TestFirstMeeting_CancellationOfOneCall_DoesNotBreakTheOther(t *testing.T) {
	p := startPuppet(t, nil, func(command []string) string {
		if command[1] == "k:slow" {
			return silence
		}
		return "+OK\r\n"
	})
	d := openURL(t, "redis://"+p.addr)
	link := d.live.Load()
	written := link.written.Load()
	ctx, cancel := context.WithCancel(testContext(t))
	var wait sync.WaitGroup
	wait.Go(func() { d.Get(ctx, "k:slow") })
	eventually(t, "the first call was sent", func() bool { return link.written.Load() > written })
	wait.Go(func() {
		if err := d.Set(testContext(t), "k:1", nil, 0); err != nil {
			t.Errorf("the other call: %v", err)
		}
	})
	eventually(t, "the other call has begun", func() bool { return len(d.slots) == 2 })
	if _, err := d.Get(testContextShort(t), "k:1"); store.Kind(err) != "timeout" {
		t.Errorf("a call that waits for the first one: %v, want timeout", err)
	}
	cancel()
	wait.Wait()
}

// Calls take a connection, and it breaks before they reach the client, which then has none.
func TestConnectionThatBreaksUnderACall_AndIsNotMadeAnew_EndsTheCallAtOnce(t *testing.T) {
	var mute atomic.Bool
	p := startPuppet(t, func(command []string) string {
		switch {
		case mute.Load():
			return silence
		case command[0] == "HELLO":
			return helloReply
		}
		return "+OK\r\n"
	}, always(":1\r\n"))
	d := openURL(t, "redis://"+p.addr)
	makePiped(t, d)
	stale := must(d.begin(testContext(t), 1))(t)
	queued := must(d.begin(testContext(t), 1))(t)
	mute.Store(true)
	stale.link.Close()
	link := stale.link
	eventually(t, "the client has noticed", func() bool {
		r := d.client.Do(testContext(t), d.client.B().Del().Key("k:1").Build())
		return errors.Is(r.NonRedisError(), errStale)
	})
	// The connection is made anew by a call that comes later, but not before these have left.
	var wait sync.WaitGroup
	wait.Go(func() { d.Delete(testContextShort(t), "k:1") })
	eventually(t, "the new connection is wanted", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.dialing != nil })
	for _, c := range []call{stale, queued} {
		start := time.Now()
		err := d.client.Do(c.handed, d.client.B().Del().Key("k:1").Build()).NonRedisError()
		c.leave(err)
		if took := time.Since(start); took > boundtest.Scale(closeBound) {
			t.Errorf("returned after %v", took)
		}
		if kind := store.Kind(d.writeError(context.Background(), err)); kind != "unavailable" {
			t.Errorf("%v (%s), want unavailable: nothing was sent", err, kind)
		}
	}
	wait.Wait()
	select {
	case <-link.gone:
	case <-testContext(t).Done():
		t.Error("the calls have left, and the link does not know")
	}
	eventually(t, "the server is dialed", func() bool { return p.dials.Load() == 2 })
}

// A deadliner records the latest deadline that the client sets.
type deadliner struct {
	net.Conn
	latest atomic.Int64
}

func (c *deadliner) SetDeadline(at time.Time) error {
	c.latest.Store(at.UnixNano())
	return c.Conn.SetDeadline(at)
}

func TestCallWithMoreThanTenSeconds_KeepsThem(t *testing.T) {
	p := startPuppet(t, nil, always(":1\r\n"))
	d := openURL(t, "redis://"+p.addr)
	link := d.live.Load()
	conn := &deadliner{Conn: link.Conn}
	link.Conn = conn
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	if _, err := d.Has(ctx, "k:1"); err != nil {
		t.Fatal(err)
	}
	want, _ := ctx.Deadline()
	if got := time.Unix(0, conn.latest.Load()); !got.Equal(want.Truncate(0)) {
		t.Errorf("the connection ends at %v, the context at %v", got, want)
	}
}
