package natsstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/luastore/store"
)

var (
	_ store.Driver  = (*Driver)(nil)
	_ store.Batcher = (*Driver)(nil)
	_ store.Counter = (*Driver)(nil)
)

// A Driver keeps entries in one bucket.
type Driver struct {
	target   target
	stream   string // of the bucket
	subjects string // begins those of the bucket's keys
	api      string // begins those of JetStream's API
	started  time.Time
	closing  context.Context // ends when Close begins
	cancel   context.CancelFunc
	info     store.Info

	maxMessage int  // bytes, headers included
	inMemory   bool // the bucket
	replicas   atomic.Int64
	clock      clock
	quorum     quorum
	recent     recent
	lanes      *lanes
	counters   counters
	walks      walks

	live    atomic.Pointer[link]
	working sync.WaitGroup // what runs beside calls

	mu      sync.Mutex
	servers []string
	turn    int // which of them to try first
	dialing *attempt
	dialed  time.Time // when the last attempt to connect to a server began
	lastErr error     // why it failed; nil: it did not
}

const (
	// maxPayload is what a server takes whose limit is not known: the default.
	maxPayload = 1 << 20
	// headerRoom is for the headers that this driver adds, at most.
	headerRoom = 256
)

var errLongKey = store.Errorf(store.ErrTooLarge, "key too long: its subject, with escapes, has more than %d bytes", maxSubject)

// Opener returns an opener for o; nil means defaults. Openers of equal options name the same connection, and share one driver in a
// registry. Opening connects and looks at the bucket, or makes it, and fails where no server answers; a driver once open reconnects
// by itself.
func Opener(o *Options) store.Opener {
	to := o.target()
	return store.Opener{
		Connection: to,
		Open: func(ctx context.Context) (store.Driver, error) {
			d, err := open(ctx, to)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
	}
}

func open(ctx context.Context, to target) (*Driver, error) {
	full := to.Options
	full.Password, full.Token = to.password.Value(), to.token.Value()
	if err := full.check(); err != nil {
		return nil, err
	}
	d := newDriver(to)
	if err := d.firstContact(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func newDriver(to target) *Driver {
	d := &Driver{
		target: to, stream: "KV_" + to.Bucket, subjects: "$KV." + to.Bucket + ".", api: "$JS.API.", started: time.Now(),
		servers: strings.Split(to.Servers, ","), lanes: newLanes(), maxMessage: maxPayload,
	}
	if to.Domain != "" {
		d.api = "$JS." + to.Domain + ".API."
	}
	d.clock.driver, d.quorum.driver, d.counters.driver = d, d, d
	d.closing, d.cancel = context.WithCancel(context.Background())
	return d
}

// firstContact connects and finds the bucket.
func (d *Driver) firstContact(ctx context.Context) error {
	if ctx.Err() != nil {
		return d.ended(ctx)
	}
	if _, err := d.connect(ctx); err != nil {
		return d.readError(ctx, err)
	}
	if err := d.findBucket(ctx); err != nil {
		return err
	}
	d.info = d.describe()
	return nil
}

// begin counts something that is to run beside calls, and reports false after Close.
func (d *Driver) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing.Err() != nil {
		return false
	}
	d.working.Add(1)
	return true
}

// Close closes the connection. Calls under way end at once, writes among them with an unknown outcome.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.cancel()
	d.mu.Unlock()
	if l := d.live.Load(); l != nil {
		l.fail(errClosed)
	}
	d.working.Wait()
	d.walks.stop()
	if l := d.live.Load(); l != nil {
		l.fail(errClosed)
	}
	return nil
}

// describe makes what Info tells.
func (d *Driver) describe() store.Info {
	return store.Info{
		Driver:        "nats",
		Durability:    d.durability(),
		Consistency:   d.consistency(),
		Clock:         "server (the leader's): an entry never ends early and at most a round trip late; after a failover by the clock of the new leader",
		TTLResolution: time.Millisecond,
		Shared:        true,
		Ordered:       true,
		Network:       true,
		MaxValueBytes: d.maxMessage - headerRoom,
	}
}

func (d *Driver) durability() string {
	n := d.replicas.Load()
	const synced = "; servers sync to disk as configured (sync_interval, 2 minutes by default), so that a loss of power "
	switch {
	case n > 1 && d.inMemory:
		return fmt.Sprintf("in the memory of %d servers: what is acknowledged survives the loss of %d of them, and not of all", n, (n-1)/2)
	case n > 1:
		return fmt.Sprintf("on %d servers, acknowledged by a majority: survives the loss of %d of them, and the end of all their processes"+synced+
			"of a majority at a time may lose what came last", n, (n-1)/2)
	case d.inMemory:
		return "in the memory of one server: lost with its process"
	}
	return "on one server: survives the end of its process" + synced + "may lose what came last"
}

func (d *Driver) consistency() string {
	switch {
	case d.replicas.Load() <= 1:
		return "linearizable"
	case d.target.Reads == ReadsLease:
		return "linearizable, but for reads of up to a second after a leader that was cut off came back: they trust a leader for 50 ms after a majority followed it"
	}
	return "linearizable: reads are confirmed by a majority; for up to a second after a leader that was cut off came back two answer, and rarely the wrong one is taken"
}

// Info tells what the driver guarantees.
func (d *Driver) Info() store.Info { return d.info }

// subject returns that of a key.
func (d *Driver) subject(key string) string {
	b := make([]byte, 0, len(d.subjects)+2*len(key)+8)
	return string(appendKey(append(b, d.subjects...), key))
}

// load asks the leader for the entry of a subject, whatever has become of the leader meanwhile.
func (d *Driver) load(ctx context.Context, subject string) (entry, error) {
	msg, err := d.read(ctx, "STREAM.MSG.GET."+d.stream, getRequest(subject))
	if err != nil {
		return entry{}, err
	}
	return d.remembered(subject, msg)
}

// remembered returns the entry of a subject that a reply tells of, and remembers it.
func (d *Driver) remembered(subject string, msg *nats.Msg) (entry, error) {
	e, err := parseEntry(msg, subject)
	switch {
	case err != nil:
	case e.sequence == 0:
		d.recent.forget(subject)
	default:
		d.recent.put(subject, e)
	}
	return e, err
}

// getRequest asks for the last message of a subject, in which nothing has to be escaped.
func getRequest(subject string) []byte {
	b := make([]byte, 0, len(subject)+20)
	b = append(b, `{"last_by_subj":"`...)
	b = append(b, subject...)
	return append(b, `"}`...)
}

// current returns the live entry of a key, and how long it lives, or [store.ErrNotFound].
func (d *Driver) current(ctx context.Context, key string) (entry, moment, error) {
	if ctx.Err() != nil {
		return entry{}, moment{}, d.ended(ctx)
	}
	e, err := d.confirmed(ctx, d.subject(key))
	if err != nil {
		return entry{}, moment{}, d.readError(ctx, err)
	}
	now, err := d.alive(ctx, &e)
	if err != nil {
		return entry{}, moment{}, d.readError(ctx, err)
	}
	if e.value == nil {
		return entry{}, moment{}, store.ErrNotFound
	}
	return e, now, nil
}

// confirmed is load from a leader that has a majority.
func (d *Driver) confirmed(ctx context.Context, subject string) (entry, error) {
	if d.quorum.leased() {
		e, err := d.load(ctx, subject)
		if err != nil || d.quorum.leased() {
			return e, err
		}
		// The lease ended before the answer came.
	}
	return d.loadSure(ctx, subject)
}

// alive takes the value from an entry that has ended.
func (d *Driver) alive(ctx context.Context, e *entry) (moment, error) {
	if e.value == nil || e.expires == 0 {
		return moment{}, nil
	}
	now, err := d.clock.now(ctx)
	if err == nil && now.earliest >= e.expires {
		e.value = nil
	}
	return now, err
}

// Get returns the value of key.
func (d *Driver) Get(ctx context.Context, key string) ([]byte, error) {
	e, _, err := d.current(ctx, key)
	return e.value, err
}

// Entry returns the value of key and the time it has left.
func (d *Driver) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	e, now, err := d.current(ctx, key)
	return e.value, e.left(now), err
}

// TTL returns the time that key has left.
func (d *Driver) TTL(ctx context.Context, key string) (time.Duration, error) {
	e, now, err := d.current(ctx, key)
	return e.left(now), err
}

// left returns how long a live entry lives, 0 for ever.
func (e *entry) left(now moment) time.Duration {
	if e.expires == 0 {
		return 0
	}
	return time.Duration(min(max(e.expires-now.latest, 1), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// Has reports whether key exists.
func (d *Driver) Has(ctx context.Context, key string) (bool, error) {
	switch _, _, err := d.current(ctx, key); {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case errors.Is(err, store.ErrCorrupt):
		return true, nil // something is there
	default:
		return err == nil, err
	}
}
