//go:build !race

package historytest_test

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/historytest"
)

// echo starts a server that repeats what it hears, and returns its address.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 1)
				for {
					if _, err := conn.Read(buf); err != nil {
						return
					}
					conn.Write(buf)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// A caller is a correct driver of an echo server, as far as an outage needs one: one connection, for one call at a time. A fault
// changes what it does.
type caller struct {
	store.Driver
	addr  string
	fault outageFault
	turn  chan struct{} // holds one token
	conn  net.Conn
	next  time.Time // when to dial again, and not before
	dials atomic.Int64

	mu     sync.Mutex
	failed [][]byte // what each call that failed has left
}

func openCaller(addr string, f outageFault) *caller {
	d := &caller{addr: addr, fault: f, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

func (d *caller) call(ctx context.Context) error {
	if d.fault.call != nil {
		return d.fault.call(ctx, d)
	}
	return d.ask(ctx)
}

// ask waits for its turn and asks the server.
func (d *caller) ask(ctx context.Context) error {
	select {
	case <-d.turn:
	case <-ctx.Done():
		return store.Errorf(store.ErrTimeout, "busy: %w", ctx.Err())
	}
	defer func() { d.turn <- struct{}{} }()
	return d.exchange(ctx)
}

// exchange asks the server. The caller has the turn.
func (d *caller) exchange(ctx context.Context) error {
	if d.conn == nil && !d.dial(ctx) {
		return store.ErrUnavailable
	}
	end, _ := ctx.Deadline()
	if d.fault.hasty {
		end = time.Now().Add(20 * ms)
	}
	d.conn.SetDeadline(end)
	_, err := d.conn.Write([]byte{0})
	if err == nil {
		_, err = d.conn.Read(make([]byte, 1))
	}
	if err == nil {
		return nil
	}
	d.conn.Close()
	d.conn = nil
	return store.Errorf(store.ErrTimeout, "no reply: %w", err)
}

// dial connects if it has not tried to for a while.
func (d *caller) dial(ctx context.Context) bool {
	if time.Now().Before(d.next) {
		return false
	}
	d.next = time.Now().Add(600 * ms)
	if d.fault.hasty {
		d.next = time.Now().Add(20 * ms)
	}
	d.dials.Add(1)
	var err error
	if d.conn, err = new(net.Dialer).DialContext(ctx, "tcp", d.addr); err != nil {
		d.conn = nil
	}
	return err == nil
}

func (d *caller) Has(ctx context.Context, _ string) (bool, error) { return true, d.call(ctx) }

func (d *caller) Set(ctx context.Context, _ string, _ []byte, _ time.Duration) error {
	return d.call(ctx)
}

func (d *caller) Incr(ctx context.Context, _ string, _, _ float64, _ time.Duration) (float64, error) {
	return 1, d.call(ctx)
}

func (d *caller) Close() error {
	<-d.turn
	if d.conn != nil {
		d.conn.Close()
	}
	d.turn <- struct{}{}
	return nil
}

// outageTarget returns a short outage.
func outageTarget(t *testing.T, f outageFault) historytest.OutageTarget {
	addr := echo(t)
	return historytest.OutageTarget{
		Addresses: []string{addr},
		Open: func(_ testing.TB, addresses []string) store.Driver {
			if f.passesBy {
				return openCaller(addr, f)
			}
			return openCaller(addresses[0], f)
		},
		Lasts: 1200 * ms, Recovery: time.Second,
	}
}

func TestOutage_CorrectDriver_Passes(t *testing.T) {
	historytest.Outage(t, outageTarget(t, outageFault{}))
}

func TestOutage_StoppedServers_CountsDialsOfTheDriver(t *testing.T) {
	addr := echo(t)
	var driver *caller
	stopped := 0
	historytest.Outage(t, historytest.OutageTarget{
		Open: func(_ testing.TB, addresses []string) store.Driver {
			if len(addresses) > 0 {
				t.Errorf("opened on %q, want no addresses", addresses)
			}
			driver = openCaller(addr, outageFault{})
			return driver
		},
		Stop:  func(testing.TB) { stopped++; driver.hold(refusing) },
		Start: func(testing.TB) { driver.hold(addr) },
		Dials: func() int { return int(driver.dials.Load()) },
		Lasts: 600 * ms, Recovery: time.Second,
	})
	if stopped != 1 || driver.dials.Load() < 3 {
		t.Errorf("stopped %d times, %d dials: want 1, and at least 3", stopped, driver.dials.Load())
	}
}

// refusing is an address on which nobody listens.
const refusing = "127.0.0.1:1"

// hold points the driver elsewhere.
func (d *caller) hold(addr string) {
	<-d.turn
	d.addr = addr
	if d.conn != nil {
		d.conn.Close()
	}
	d.turn <- struct{}{}
}

// An outageFault is a driver that is wrong in one way, and the rule that must catch it.
type outageFault struct {
	name     string
	caught   string // by this subtest, and perhaps by others
	hasty    bool   // it hardly waits for an answer, and before it dials again
	passesBy bool   // it knows the address of the server itself
	timed    bool   // it takes ten times as long under the race detector, and says nothing new there
	call     func(ctx context.Context, d *caller) error
}

var outageFaults = []outageFault{
	{name: "dials often when connections are refused", caught: "HungUp/DialsAreFew", hasty: true},
	{name: "dials often when there is no answer", caught: "Silent/DialsAreFew", hasty: true},
	{name: "leaves a goroutine with each failure", caught: "Refused/GoroutinesDoNotGrow", call: leaky},
	{name: "keeps something of each failure", caught: "HungUp/MemoryDoesNotGrow", call: hoarding},
	{name: "waits for a server that is away", caught: "Refused/CallsFailAtOnce", timed: true, call: waiting},
	{name: "gives up", caught: "Refused/RecoversSoon", timed: true, call: sulking},
	{name: "has an error of no kind, without a server", caught: "HungUp/ErrorsSayThatNobodyWasThere", call: unkind},
	{name: "ignores deadlines, without a server", caught: "Silent/CallsReturnInTime", timed: true, call: stubborn},
	{name: "goes past the gates", caught: "Refused/FaultsStrike", passesBy: true},
}

func leaky(ctx context.Context, d *caller) error {
	err := d.ask(ctx)
	if err != nil {
		go func() { <-d.fault.never() }()
	}
	return err
}

// never returns a channel on which nothing ever comes.
func (outageFault) never() <-chan struct{} { return make(chan struct{}) }

func hoarding(ctx context.Context, d *caller) error {
	err := d.ask(ctx)
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.failed = append(d.failed, make([]byte, 4<<10))
	}
	return err
}

func waiting(ctx context.Context, d *caller) error {
	err := d.ask(ctx)
	if err != nil {
		<-ctx.Done()
	}
	return err
}

func sulking(ctx context.Context, d *caller) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.failed) > 0 {
		return store.ErrUnavailable
	}
	err := d.ask(ctx)
	if err != nil {
		d.failed = append(d.failed, nil)
	}
	return err
}

func unkind(ctx context.Context, d *caller) error {
	if d.ask(ctx) != nil {
		return errors.New("connection refused")
	}
	return nil
}

func stubborn(_ context.Context, d *caller) error {
	ctx, cancel := context.WithTimeout(context.Background(), 400*ms)
	defer cancel()
	return d.ask(ctx)
}

// TestOutageFault is an outage of a wrong driver: it fails in the children that the next test starts, and runs nowhere else.
func TestOutageFault(t *testing.T) {
	if i := slices.IndexFunc(outageFaults, func(f outageFault) bool { return f.name == os.Getenv(faultToRun) }); i >= 0 {
		historytest.Outage(t, outageTarget(t, outageFaults[i]))
	}
}

// TestOutage_EveryFault_IsCaughtByItsRule takes the servers away from each wrong driver in a child process, because it must fail there.
func TestOutage_EveryFault_IsCaughtByItsRule(t *testing.T) {
	t.Parallel()
	outputs := map[string]<-chan []byte{}
	for _, f := range outageFaults {
		if !f.timed || !boundtest.Race {
			way, _, _ := strings.Cut(f.caught, "/")
			outputs[f.name] = startChild(t, "^TestOutageFault$/^"+way+"$", f.name, "1")
		}
	}
	for _, f := range outageFaults {
		if output, started := outputs[f.name]; started {
			t.Run(f.name, func(t *testing.T) { wantCaught(t, <-output, f.caught) })
		}
	}
}
