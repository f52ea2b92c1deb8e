// Package redisstore keeps entries in Redis 6.2 and later or Valkey: in one server, in a cluster, or in the primary that sentinels name.
//
// Each entry is a Redis string that holds nothing but the stored form of package value, with a native expiry, so that any client
// can read it. Every operation is one command or one server-side script, atomic on the server.
//
//	reg.Define("sessions", store.Definition{Open: redisstore.Opener(&redisstore.Options{Address: "redis.internal:6379"})})
//
// # URLs
//
// [ParseURL] takes
//
//	redis://[user:password@]host[:port][/db]               one server; valkey:// is the same
//	redis+unix://[user:password@]/path/to/socket           one server by its unix socket; unix:// is the same
//	redis+cluster://[user:password@]host[:port],...        nodes of a Redis Cluster: any that answers tells of the others
//	redis+sentinel://[user:password@]host[:port],.../name[/db]    the primary that sentinels watch under that name
//
// and each of them but that of the socket with TLS as rediss://, rediss+cluster:// and rediss+sentinel://. In all of them valkey may
// stand for redis. The port is 6379, that of a sentinel 26379, where none is named. These are the parameters; any other is an
// error:
//
//	db                 number of the database, instead of /db; default 0, the only one in a cluster
//	dial_timeout       bound on connecting to a server, and on the first exchange with it; default 5s
//	client_name        what CLIENT LIST shows; default none
//	near               size of a near cache, such as 64MiB; default none
//	sentinel_user,
//	sentinel_password  login at the sentinels, where they ask for one; default none
//	ca                 PEM file with the authorities to trust; default those of the system (TLS only)
//	cert, key          PEM files with the certificate of this client and its key; default none (TLS only)
//	server_name        name that the certificate of each server must bear; default the host that is connected to (TLS only)
//
// There is no parameter that leaves a server unverified.
//
// # Connection
//
// A driver has one connection to each server that it uses, on which concurrent calls share round trips, and makes it anew when it
// breaks: at the next call, at most twice a second over all servers while they are away. Reads are sent once more when the connection broke
// under them. A write is never sent twice unless a server said that it did not do it; one whose reply was lost answers
// [store.ErrUnknownOutcome].
//
// A call ends with its context, whatever the servers do. A connection on which nothing was answered for a minute is given up,
// and the calls that wait on it fail, even those that have more time. So is one on which nothing is answered for a second after
// a call ended without its reply.
//
// # Clusters
//
// Each call goes to the primary that has the slot of its key, and on to another where that answers MOVED or ASK; a batch is split by
// server, and its parts are sent at the same time. Which primary has which slot is asked anew where one fails or is silent for a second.
// Nothing is read from replicas.
//
// # Sentinels
//
// The driver asks the sentinels in turn for the primary, and the server whether it is one; it asks again where a call fails, and four times a second, as a
// primary that was replaced while it was cut off may not know.
//
// # Near cache
//
// With a near cache, what was read stays in memory of this process, and handles answer reads from there (Get, Has, GetMany, Fetch, and
// the values of listings) until the server says that the key has changed, which it does of each key that was read ("client tracking").
// Whatever else there is asks the server: conditions, updates, increments, entries, times to live, listings of keys; and so do misses:
// that there is no entry is not kept. An entry goes by itself a millisecond before its time, and where the cache is full those go that
// were not used lately. One of more than 1 MiB, or a quarter of a smaller cache, is not kept.
//
// Within the process reads are as they are without it: nobody sees anything older than what a write of this process that has returned left
// there, or what anyone in this process has read from the server. Of what other processes write there is news, on the connection that reads;
// until it has come, which takes as long as half a round trip, reads may be answered with what was there before.
// Where the connection breaks, the cache is emptied of what was read on it at once. Where it stands but brings no answer
// any more, or so late that news may be behind them, which shows after 3 s to 4 s, it is emptied too, so that nothing is older than 5 s.
//
// Stores share a near cache as they share the connection: those whose options are all the same.
//
// # Caveats
//
//   - What survives a crash or a failover is up to the configuration of the servers. Replication is asynchronous: a failover may
//     lose writes that were acknowledged shortly before, and what a primary that was cut off acknowledged until it noticed.
//   - A server with a maxmemory-policy other than noeviction may drop entries before they expire.
//   - A key that holds another type (list, hash, …) exists for Has, TTL, Touch and an only-if-absent swap, can be overwritten and
//     deleted, and is [store.ErrCorrupt] to everything that reads its value. List leaves it out.
//   - List walks the whole database, however small the prefix, some ten thousands of keys a call: give listings a database of
//     their own if the rest is large. It may name a key twice while the database grows or shrinks.
//   - A value is transferred before its length is known. Asking first would cost every Get a script, a third of its speed.
//   - In a cluster List goes over the primaries one after the other. While slots move it asks all of them for the keys of each slot, which
//     transfers every key there is, whatever the prefix; one slot may then have 200,000 keys at most. It may name keys again.
//   - After a failover, or a restart of the server, a listing under way may miss keys or, through sentinels, begins again.
//   - Keys with a part in braces share a slot with all others that have the same part there ({tag}); other braces in keys do no harm.
//   - All sentinels have to be named: they are not asked for each other.
//   - SWAPDB is no change to a key of which Redis tells: do not swap databases that a near cache reads.
//   - A near cache costs the server memory for each key that it has been read from, up to its tracking-table-max-keys (1,000,000 by
//     default) over all its clients, beyond which it takes keys out of the caches.
//   - The server must allow the commands of scripts (EVALSHA, EVAL) to the user; in a cluster also ASKING and CLUSTER SLOTS, NODES
//     and GETKEYSINSLOT; for a near cache CLIENT TRACKING, HELLO and, in a cluster, CLUSTER INFO; where sentinels watch it ROLE, and they SENTINEL GET-MASTER-ADDR-BY-NAME to theirs.
package redisstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/redisstore/internal/near"
	"github.com/luastore/store/value"
)

var (
	_ store.Driver  = (*Driver)(nil)
	_ store.Batcher = (*Driver)(nil)
	_ store.Counter = (*Driver)(nil)
)

// A Driver keeps entries in one database of one Redis server, or in a cluster.
type Driver struct {
	target  target
	name    string // of the servers in errors
	build   rueidis.Builder
	servers servers
	pace    *pace       // by pointer: printing a driver must not read what dials change
	near    *near.Cache // nil: none

	closing context.Context // ends when Close begins
	cancel  context.CancelFunc
}

// Opener returns an opener for o; nil means defaults. Openers of equal options name the same connection, and share one driver
// in a registry. Opening connects, and fails where the server does not answer; a driver once open reconnects by itself.
func Opener(o *Options) store.Opener {
	to := o.target()
	return store.Opener{
		Connection: to,
		Open: func(ctx context.Context) (store.Driver, error) {
			d, err := open(ctx, to)
			if err != nil {
				return nil, err
			}
			if d.near != nil {
				return &nearDriver{d}, nil
			}
			return d, nil
		},
	}
}

func open(ctx context.Context, to target) (*Driver, error) {
	if err := to.check(); err != nil {
		return nil, err
	}
	if _, err := to.tlsConfig(to.addresses()[0]); err != nil {
		return nil, err
	}
	d := &Driver{target: to, name: to.name(), pace: &pace{}}
	if to.Near > 0 {
		d.near = near.New(to.Near)
	}
	d.closing, d.cancel = context.WithCancel(context.Background())
	var err error
	if d.servers, err = d.newServers(); err != nil {
		err = d.readError(ctx, err)
		d.cancel()
		return nil, err
	}
	if err := d.servers.open(ctx); err != nil {
		err = d.readError(ctx, err)
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Driver) newServers() (servers, error) {
	switch {
	case d.target.Cluster:
		return d.newCluster()
	case d.target.Sentinel != "":
		return d.newSentinels()
	}
	return d.newSingle()
}

// Close closes all connections. Calls under way end at once, writes among them with an unknown outcome.
func (d *Driver) Close() error {
	d.cancel()
	d.servers.close()
	return nil
}

// Info tells what the driver guarantees.
func (d *Driver) Info() store.Info {
	info := store.Info{
		Driver:        "redis",
		Durability:    "as configured on the server (appendonly, save, replicas); by default a crash loses the last writes",
		Consistency:   "linearizable on one primary; a failover may lose acknowledged writes",
		Clock:         "server",
		TTLResolution: time.Millisecond,
		Shared:        true,
		Network:       true,
		MaxValueBytes: maxBulk,
	}
	if d.target.several() {
		info.Durability = "as configured on the servers (appendonly, save); replicas follow without being waited for, so that a failover loses the last writes"
		info.Clock = "server; that of the primary that has the key"
	}
	if d.target.Cluster {
		info.Consistency = "linearizable for each key on its primary; a failover may lose acknowledged writes"
	}
	return info
}

// Format writes where the entries are, whatever the verb: other verbs would follow pointers to what changes meanwhile.
func (d *Driver) Format(f fmt.State, _ rune) { io.WriteString(f, "driver of "+d.name) }

// Get returns the value of key.
func (d *Driver) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := payload(d.read(ctx, key, func() rueidis.Completed { return d.build.Get().Key(key).Build() }).ToMessage())
	if err != nil {
		return nil, d.missOr(ctx, err)
	}
	return v, nil
}

// payload returns the bytes of a string reply without a copy, and never nil for an empty one.
func payload(m rueidis.RedisMessage, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	v, err := m.AsBytes()
	switch {
	case err != nil:
		return nil, err
	case !m.IsString(): // the text of a number, for one
		return nil, errUnasked
	case v == nil:
		v = []byte{}
	}
	return v, nil
}

// missOr is readError for commands that answer nil where there is no key.
func (d *Driver) missOr(ctx context.Context, err error) error {
	if rueidis.IsRedisNil(err) {
		return store.ErrNotFound
	}
	return d.readError(ctx, err)
}

// Entry returns the value of key and the time it has left.
func (d *Driver) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	result := d.run(ctx, entryScript, key)
	if broken(ctx, result.NonRedisError()) {
		result = d.run(ctx, entryScript, key)
	}
	reply, err := result.ToArray()
	if err != nil {
		return nil, 0, d.missOr(ctx, err)
	}
	if len(reply) != 2 {
		return nil, 0, d.readError(ctx, errUnasked)
	}
	v, err := payload(reply[0], nil)
	if err != nil {
		return nil, 0, d.readError(ctx, err)
	}
	pttl, err := reply[1].ToInt64()
	if err != nil {
		return nil, 0, d.readError(ctx, err)
	}
	ttl, err := timeLeft(pttl)
	return v, ttl, err
}

// TTL returns the time that key has left.
func (d *Driver) TTL(ctx context.Context, key string) (time.Duration, error) {
	pttl, err := d.read(ctx, key, func() rueidis.Completed { return d.build.Pttl().Key(key).Build() }).ToInt64()
	if err != nil {
		return 0, d.readError(ctx, err)
	}
	return timeLeft(pttl)
}

// timeLeft turns a reply to PTTL into a ttl. Less than a millisecond is 0 to Redis, which would mean never.
func timeLeft(pttl int64) (time.Duration, error) {
	switch {
	case pttl == -1:
		return 0, nil
	case pttl < 0:
		return 0, store.ErrNotFound
	}
	return time.Duration(min(max(pttl, 1), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, nil
}

// Has reports whether key exists, whatever its type.
func (d *Driver) Has(ctx context.Context, key string) (bool, error) {
	n, err := d.read(ctx, key, func() rueidis.Completed { return d.build.Exists().Key(key).Build() }).ToInt64()
	if err != nil {
		return false, d.readError(ctx, err)
	}
	return n > 0, nil
}

// Set writes value and expiry together.
func (d *Driver) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := confirmed(d.do(ctx, key, func() rueidis.Completed { return d.set(key, v, ttl) })); err != nil {
		return d.writeError(ctx, err)
	}
	return nil
}

// confirmed takes nothing but OK for the success of a command that answers OK.
func confirmed(result rueidis.RedisResult) error {
	text, err := result.ToString()
	if err == nil && text != "OK" {
		return errUnasked
	}
	return err
}

// set does not copy v: a value never changes once it is here.
func (d *Driver) set(key string, v []byte, ttl time.Duration) rueidis.Completed {
	command := d.build.Set().Key(key).Value(rueidis.BinaryString(v))
	switch {
	case ttl == store.KeepTTL:
		return command.Keepttl().Build()
	case ttl == 0:
		return command.Build()
	}
	return command.PxMilliseconds(milliseconds(ttl)).Build()
}

// milliseconds rounds up: nothing expires early.
func milliseconds(ttl time.Duration) int64 {
	ms := int64(ttl / time.Millisecond)
	if ttl%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// Delete removes key, whatever its type.
func (d *Driver) Delete(ctx context.Context, key string) (bool, error) {
	n, err := d.do(ctx, key, func() rueidis.Completed { return d.build.Del().Key(key).Build() }).ToInt64()
	if err != nil {
		return false, d.writeError(ctx, err)
	}
	return n > 0, nil
}

// Touch sets the expiry of key.
func (d *Driver) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	var result rueidis.RedisResult
	switch ttl {
	case store.KeepTTL:
		return d.Has(ctx, key)
	case 0:
		result = d.run(ctx, persistScript, key)
	default:
		result = d.do(ctx, key, func() rueidis.Completed {
			return d.build.Pexpire().Key(key).Milliseconds(milliseconds(ttl)).Build()
		})
	}
	n, err := result.ToInt64()
	if err != nil {
		return false, d.writeError(ctx, err)
	}
	return n > 0, nil
}

// CompareAndSwap writes next if the stored bytes equal old.
func (d *Driver) CompareAndSwap(ctx context.Context, key string, old, next []byte, ttl time.Duration) (bool, error) {
	if old == nil {
		return d.setAbsent(ctx, key, next, ttl)
	}
	how := "DEL"
	if next != nil {
		how = expiry(ttl)
	}
	n, err := d.run(ctx, swapScript, key, rueidis.BinaryString(old), how, rueidis.BinaryString(next)).ToInt64()
	if err != nil {
		return false, d.writeError(ctx, err)
	}
	return n > 0, nil
}

// expiry is a ttl as the scripts take it.
func expiry(ttl time.Duration) string {
	if ttl == store.KeepTTL {
		return "KEEPTTL"
	}
	return strconv.FormatInt(milliseconds(ttl), 10)
}

// setAbsent is the compare-and-swap that expects no key; Redis has a command for it.
func (d *Driver) setAbsent(ctx context.Context, key string, v []byte, ttl time.Duration) (bool, error) {
	if v == nil {
		exists, err := d.Has(ctx, key)
		return !exists && err == nil, err
	}
	err := confirmed(d.do(ctx, key, func() rueidis.Completed {
		command := d.build.Set().Key(key).Value(rueidis.BinaryString(v)).Nx()
		if ttl > 0 {
			return command.PxMilliseconds(milliseconds(ttl)).Build()
		}
		return command.Build()
	}))
	switch {
	case err == nil:
		return true, nil
	case rueidis.IsRedisNil(err):
		return false, nil
	}
	return false, d.writeError(ctx, err)
}

// Incr adds delta to the number under key.
func (d *Driver) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	message, err := d.run(ctx, incrScript, key, float64Bytes(delta), float64Bytes(initial), expiry(max(ttl, 0))).ToMessage()
	if err != nil {
		return 0, d.writeError(ctx, err)
	}
	if message.IsInt64() {
		if n, _ := message.ToInt64(); n == 0 {
			return 0, store.ErrNotNumber
		}
		return 0, store.ErrOutOfRange
	}
	stored, err := payload(message, nil)
	if err != nil {
		return 0, d.writeError(ctx, err)
	}
	sum, ok := value.ParseNumber(stored)
	if !ok {
		return 0, d.writeError(ctx, errUnasked)
	}
	return sum, nil
}

// float64Bytes carries a number to a script without loss.
func float64Bytes(f float64) string {
	return rueidis.BinaryString(binary.BigEndian.AppendUint64(nil, math.Float64bits(f)))
}
