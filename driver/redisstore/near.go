package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/redisstore/internal/near"
)

// What keeps a near cache true:
//
//   - Each server tells each connection of a change to a key that was read on it, in the order in which the connection answers: who has
//     seen a change in an answer of the server has got the news of it before. So has who wrote it, because a write evicts its key before
//     it is sent and when it has returned, whatever came of it.
//   - What a read finds is kept only if there was no such news since before the read was sent, and only while its connection lives.
//   - A connection that ends, that shows no sign of life, or whose server is not the one to ask any more, takes with it all that was read on it.

var (
	_ store.Driver  = (*nearDriver)(nil)
	_ store.Batcher = (*nearDriver)(nil)
	_ store.Counter = (*nearDriver)(nil)
	_ store.Peeker  = (*nearDriver)(nil)
)

// A nearDriver is a Driver with a near cache, which its reads fill and its writes evict from. Only Peek answers from it.
type nearDriver struct{ *Driver }

// Info tells what the driver guarantees.
func (d *nearDriver) Info() store.Info {
	info := d.Driver.Info()
	info.Consistency = "linearizable within this process; reads see what other processes wrote when the news of it has come, or 5 s later where it cannot; " +
		"a failover may lose acknowledged writes"
	return info
}

// Peek returns the value of key where it was read before and has not changed since.
func (d *nearDriver) Peek(key string) ([]byte, bool) { return d.near.Get(key) }

// Get asks the server for the value of key, and keeps it.
func (d *nearDriver) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := payload(d.fill(ctx, []string{key})[0].ToMessage())
	if err != nil {
		return nil, d.missOr(ctx, err)
	}
	return v, nil
}

// GetMany asks the servers for the values of keys, and keeps them.
func (d *nearDriver) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	return d.gotten(ctx, keys, d.fill(ctx, keys))
}

// fill reads keys and keeps what it finds.
func (d *nearDriver) fill(ctx context.Context, keys []string) []rueidis.RedisResult {
	return d.many(ctx, keys, true, func(g group, results []rueidis.RedisResult) {
		if g.way.asking { // a server that tells of the key no more once it has the slot
			d.sendGroup(ctx, g, d.getOf(keys), results)
			return
		}
		d.fillGroup(ctx, keys, g, results)
	})
}

// fillGroup asks for each value and then for the time that it has left: where the two are of different moments there is news of the key
// between them.
func (d *nearDriver) fillGroup(ctx context.Context, keys []string, g group, results []rueidis.RedisResult) {
	commands := make([]rueidis.Completed, 0, 2*len(g.indexes))
	for _, i := range g.indexes {
		commands = append(commands, d.build.Get().Key(keys[i]).Build(), d.build.Pttl().Key(keys[i]).Build())
	}
	tickets := make([]near.Ticket, len(g.indexes))
	replies, err := g.way.exchange(ctx, commands, func(l *link) {
		from := l.source.Load()
		for k, i := range g.indexes {
			tickets[k] = d.near.Begin(keys[i], from)
		}
	})
	for k, i := range g.indexes {
		if err != nil {
			results[i] = rueidis.NewErrorResult(err)
			continue
		}
		results[i] = replies[2*k]
		keep(tickets[k], replies[2*k], replies[2*k+1])
	}
}

// keep keeps what a read found, if it found anything.
func keep(t near.Ticket, got, pttl rueidis.RedisResult) {
	v, err := payload(got.ToMessage())
	if err != nil {
		return
	}
	ms, err := pttl.ToInt64()
	if err != nil {
		return
	}
	if left, err := timeLeft(ms); err == nil {
		t.Keep(v, left)
	}
}

// evicting evicts keys and returns what evicts them again, for after their write.
func (d *nearDriver) evicting(keys ...string) (again func()) {
	evict := func() {
		for _, key := range keys {
			d.near.Evict(key)
		}
	}
	evict()
	return evict
}

// Set writes value and expiry together.
func (d *nearDriver) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	defer d.evicting(key)()
	return d.Driver.Set(ctx, key, v, ttl)
}

// Delete removes key, whatever its type.
func (d *nearDriver) Delete(ctx context.Context, key string) (bool, error) {
	defer d.evicting(key)()
	return d.Driver.Delete(ctx, key)
}

// Touch sets the expiry of key.
func (d *nearDriver) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	defer d.evicting(key)()
	return d.Driver.Touch(ctx, key, ttl)
}

// CompareAndSwap writes next if the stored bytes equal old.
func (d *nearDriver) CompareAndSwap(ctx context.Context, key string, old, next []byte, ttl time.Duration) (bool, error) {
	defer d.evicting(key)()
	return d.Driver.CompareAndSwap(ctx, key, old, next, ttl)
}

// Incr adds delta to the number under key.
func (d *nearDriver) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	defer d.evicting(key)()
	return d.Driver.Incr(ctx, key, delta, initial, ttl)
}

// SetMany writes entries, all with one ttl.
func (d *nearDriver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	defer d.evicting(keysIn(entries)...)()
	return d.Driver.SetMany(ctx, entries, ttl)
}

// DeleteMany removes keys and returns how many existed.
func (d *nearDriver) DeleteMany(ctx context.Context, keys []string) (int, error) {
	defer d.evicting(keys...)()
	return d.Driver.DeleteMany(ctx, keys)
}

const nearHint = " (the near cache needs Redis 6.2 or later without a proxy before it, and a user that may CLIENT TRACKING; or leave near= out)"

var errNoPushes = errors.New("the server does not speak RESP3" + nearHint)

// track asks the server to tell of each change to what is read on the newest connection.
func (n *node) track(ctx context.Context) error {
	build := n.client.B()
	hello, err := n.client.Do(ctx, build.Arbitrary("HELLO").Build()).AsMap()
	if err == nil {
		protocol := hello["proto"]
		if version, err := protocol.ToInt64(); err != nil || version < 3 {
			return errNoPushes
		}
		err = n.client.Do(ctx, build.ClientTracking().On().Build()).Error()
	}
	if reply, ok := rueidis.IsRedisErr(err); ok {
		return &plain{reply.Error() + nearHint}
	}
	return err
}

// changed is told by the client which keys changed, before it hands on any reply that came later; nil means all. The client also says
// nil when a connection has ended, which may be one before the newest.
func (n *node) changed(keys []rueidis.RedisMessage) {
	if keys == nil {
		n.loseNear()
		return
	}
	for i := range keys {
		if key, err := keys[i].ToString(); err == nil {
			n.login.near.Evict(key)
		}
	}
}

// loseNear empties the near cache of all that was read from the server.
func (n *node) loseNear() {
	if l := n.latest.Load(); l != nil {
		l.loseNear()
	}
}

// loseNear empties the near cache of all that was read on the link. What is read from now on is kept again, unless the link is dead, or
// its server not to be asked any more: who makes it so calls loseNear afterwards.
func (l *link) loseNear() {
	cache := l.node.login.near
	if cache == nil {
		return
	}
	lost := l.source.Load()
	swept := lost.Lost()
	lost.Lose() // before it is replaced: all who call this at the same time return when nothing of it is answered
	l.source.CompareAndSwap(lost, &near.Source{})
	if l.dead.Load() || l.node.isRetired() {
		l.source.Load().Lose()
	}
	if !swept && l.node.closing.Err() == nil { // a node closes when its driver does, with all of its cache, or retired and swept
		go cache.Sweep(lost)
	}
}

// maxBehind is after how many times maxSilence what was read on a link is not trusted any more where nothing that was sent since is
// answered. The client pings an idle server each second.
const maxBehind = 3

// watchNear looks from time to time whether the link is up to date, until it is dead: news come in order with answers, so that a command
// which is answered has brought those of all that was before it. A server that is cut off without a word cannot tell of changes, and what
// it does not answer is waited for much longer; on a slow line the news may be behind a large value. sent is how many commands had been
// sent each time that it looked before, the oldest first.
func (l *link) watchNear(sent []int64) {
	time.AfterFunc(maxSilence, func() {
		if l.dead.Load() {
			return
		}
		if len(sent) == maxBehind {
			if l.answered.Load() <= sent[0] { // each time: what came so late is not kept either
				l.loseNear()
			}
			sent = sent[1:]
		}
		l.watchNear(append(sent, l.written.Load()))
	})
}
