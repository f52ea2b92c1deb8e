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
			go serve(conn, greet, reply)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		conns.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
	})
	return p
}

func serve(conn net.Conn, greet, reply func(command []string) string) {
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
			answer = func([]string) string { return "+PONG\r\n" }
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

// makePiped makes a call beside one that waits, and leaves none behind.
func makePiped(t *testing.T, d *Driver) {
	t.Helper()
	c, err := d.begin(testContext(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	d.Has(testContext(t), "k:pipe")
	c.leave(nil)
	if !c.link.piped.Load() {
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
// that the client alone would wait for a reply, and leaves room for a busy machine.
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
				if held := len(d.slots); held > maxSilent+maxCalls {
					t.Errorf("%d calls are still in the queue", held)
				}
				start := time.Now()
				d.Close()
				if took := time.Since(start); took > boundtest.Scale(closeBound) {
					t.Errorf("Close took %v", took)
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

func TestSilentServer_Close_EndsCallsUnderWay(t *testing.T) {
	p := startPuppet(t, nil, func(command []string) string {
		if len(command) > 1 && command[1] == "k:pipe" {
			return ":0\r\n"
		}
		return silence
	})
	eachWay(t, func(t *testing.T) *Driver { return openURL(t, "redis://"+p.addr) }, func(t *testing.T, d *Driver) {
		outcome := make(chan error, 1)
		go func() { outcome <- writes["incr"](testContext(t), d) }()
		link := d.live.Load()
		written := link.written.Load()
		eventually(t, "the command was sent", func() bool {
			return link.written.Load() > written || len(d.slots) > 0 && link.written.Load() > link.answered.Load()
		})
		start := time.Now()
		d.Close()
		err := <-outcome
		if took := time.Since(start); took > boundtest.Scale(closeBound) {
			t.Errorf("returned after %v", took)
		}
		if store.Kind(err) != "unknown_outcome" {
			t.Errorf("a write under way at Close: %v, want unknown outcome", err)
		}
	})
}

func TestMuteServer_Open_EndsWithItsContext(t *testing.T) {
	p := startPuppet(t, always(silence), always(silence))
	for name, with := range ends {
		before := goleak.IgnoreCurrent()
		ctx, cancel := with(context.Background(), 20*time.Millisecond)
		start := time.Now()
		_, err := Opener(must(ParseURL("redis://" + p.addr))(t)).Open(ctx)
		if took := time.Since(start); took > boundtest.Scale(closeBound) {
			t.Errorf("%s: took %v", name, took)
		}
		if store.Kind(err) != name {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		goleak.VerifyNone(t, before)
	}
	start := time.Now()
	_, err := Opener(must(ParseURL("redis://" + p.addr + "?dial_timeout=30ms"))(t)).Open(testContext(t))
	if took := time.Since(start); store.Kind(err) != "unavailable" || took > boundtest.Scale(closeBound) {
		t.Errorf("dial_timeout: %v after %v", err, took)
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
			eventually(t, "the driver recovered", func() bool { _, err := d.Has(testContext(t), "k:1"); return err == nil })
		})
	}
}

func TestRepliesOfAnotherType_AreErrors(t *testing.T) {
	for _, reply := range []string{":1\r\n", "+OK\r\n", "$1\r\nv\r\n", "*0\r\n", "*1\r\n:1\r\n", "*2\r\n_\r\n_\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "%1\r\n+a\r\n+b\r\n", "#t\r\n", ",1.5\r\n", "_\r\n", "(1\r\n"} {
		p := startPuppet(t, nil, always(reply))
		d, ctx := openURL(t, "redis://"+p.addr), testContext(t)
		for name, op := range writes {
			if err := op(ctx, d); err != nil && store.Kind(err) != "unknown_outcome" && store.Kind(err) != "invalid" {
				t.Errorf("%q to %s: %v", reply, name, err)
			}
		}
		for name, op := range reads {
			if err := op(ctx, d); err != nil && store.Kind(err) != "unavailable" && store.Kind(err) != "not_found" {
				t.Errorf("%q to %s: %v", reply, name, err)
			}
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
				if err := op(ctx, d); store.Kind(err) != want {
					t.Errorf("%q to %s: %v, want %s", reply, name, err, want)
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
	start := time.Now()
	for time.Since(start) < 1200*time.Millisecond {
		d.Get(testContextShort(t), "k:1")
	}
	if dials := p.dials.Load() - before; dials < 2 || dials > 4 {
		t.Errorf("%d dials in %v", dials, time.Since(start))
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

func TestSilentServer_CallsGivenUp_DoNotFillTheQueue(t *testing.T) {
	p := startPuppet(t, nil, func(command []string) string {
		if command[1] == "k:pipe" {
			return ":0\r\n"
		}
		return silence
	})
	d := openURL(t, "redis://"+p.addr)
	makePiped(t, d)
	first := d.live.Load()
	// Long before the client's own ping gives up, after eleven seconds.
	for range 4 * maxSilent {
		if first.isDead() {
			break
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		d.Set(ctx, "k:1", nil, 0)
		cancel()
	}
	if !first.isDead() {
		t.Error("the silent connection was not given up")
	}
	if held := len(d.slots); held >= maxSilent {
		t.Errorf("%d calls are still in the queue", held)
	}
}

func TestSlowServer_RepliesAfterAll_FreeTheQueue(t *testing.T) {
	release := make(chan struct{})
	p := startPuppet(t, nil, func(command []string) string {
		if command[1] == "k:slow" {
			<-release
		}
		return ":0\r\n"
	})
	d := openURL(t, "redis://"+p.addr)
	makePiped(t, d)
	for range 10 {
		if _, err := d.Has(testContextShort(t), "k:slow"); store.Kind(err) != "timeout" {
			t.Fatal(err)
		}
	}
	if len(d.slots) != 10 {
		t.Errorf("%d slots are held, want 10: the commands are still in the queue", len(d.slots))
	}
	close(release)
	eventually(t, "the slots are free", func() bool { d.Has(testContext(t), "k:1"); return len(d.slots) == 0 && d.commands.Load() == 0 })
	if p.dials.Load() != 1 {
		t.Errorf("%d dials: a slow server is not a dead one", p.dials.Load())
	}
}
