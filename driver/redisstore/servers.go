package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
)

// maxHops is how often a command that no server did yet is sent to another.
const maxHops = 16

// servers are those that a driver uses: one, the nodes of a cluster, or the primary that sentinels name.
type servers interface {
	// open connects, or says why that is not possible.
	open(ctx context.Context) error
	// of returns the server that has key.
	of(ctx context.Context, key string) (*node, error)
	// elsewhere is told of the error that a command on key met at w. It returns where to send it then, if anywhere: only what says
	// that nothing was done.
	elsewhere(ctx context.Context, key string, w way, err error) (next way, ok bool)
	// list is [Driver.List].
	list(ctx context.Context, prefix, cursor string, limit int) (store.Page, error)
	close()
}

// A way is a server, and how it is asked.
type way struct {
	*node
	asking bool // it does not have the slot yet, but the key
}

// send sends a command that way.
func (w way) send(ctx context.Context, d *Driver, command rueidis.Completed) rueidis.RedisResult {
	if !w.asking {
		return w.do(ctx, command)
	}
	results, err := w.doMulti(ctx, []rueidis.Completed{d.build.Asking().Build(), command})
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	return results[1]
}

// do sends one command to the server that has key, and to another where that says that it is not the one and did nothing.
func (d *Driver) do(ctx context.Context, key string, command func() rueidis.Completed) rueidis.RedisResult {
	n, err := d.servers.of(ctx, key)
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	w := way{node: n}
	result := w.do(ctx, command())
	for hop := range maxHops {
		next, ok := d.elsewhere(ctx, key, w, result)
		if !ok || !settle(ctx, hop) {
			break
		}
		w = next
		result = w.send(ctx, d, command())
	}
	return result
}

// elsewhere is that of the servers, for what did not succeed.
func (d *Driver) elsewhere(ctx context.Context, key string, w way, result rueidis.RedisResult) (next way, ok bool) {
	err := result.Error()
	if err == nil || rueidis.IsRedisNil(err) {
		return way{}, false
	}
	return d.servers.elsewhere(ctx, key, w, err)
}

// settle waits, where servers do not agree at once, for them to do so. It reports whether ctx has not ended meanwhile.
func settle(ctx context.Context, hop int) bool {
	return hop < 2 || pause(ctx, min(time.Millisecond<<hop, 100*time.Millisecond))
}

// pause waits and reports whether ctx has not ended meanwhile.
func pause(ctx context.Context, long time.Duration) bool {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// read sends a command that changes nothing, and once more where the connection broke under it.
func (d *Driver) read(ctx context.Context, key string, command func() rueidis.Completed) rueidis.RedisResult {
	result := d.do(ctx, key, command)
	if broken(ctx, result.NonRedisError()) {
		return d.do(ctx, key, command)
	}
	return result
}

// many sends the commands for keys, in as few round trips as the servers allow, and returns their results in order. Where a
// connection broke under some that change nothing, reading, these are sent once more.
func (d *Driver) many(ctx context.Context, keys []string, reading bool, send func(g group, results []rueidis.RedisResult)) []rueidis.RedisResult {
	results := make([]rueidis.RedisResult, len(keys))
	todo := d.groups(ctx, keys, results)
	for hop := range maxHops {
		sendGroups(todo, results, send)
		todo = d.again(ctx, keys, todo, results, reading && hop == 0)
		if len(todo) == 0 || !settle(ctx, hop) {
			break
		}
	}
	return results
}

// A group is the commands of a batch that go the same way.
type group struct {
	way     way
	indexes []int
}

func addTo(groups []group, w way, i int) []group {
	for g := range groups {
		if groups[g].way == w {
			groups[g].indexes = append(groups[g].indexes, i)
			return groups
		}
	}
	return append(groups, group{w, []int{i}})
}

// groups finds the way of each key. Where there is none the result says why.
func (d *Driver) groups(ctx context.Context, keys []string, results []rueidis.RedisResult) (groups []group) {
	for i, key := range keys {
		n, err := d.servers.of(ctx, key)
		if err != nil {
			results[i] = rueidis.NewErrorResult(err)
			continue
		}
		groups = addTo(groups, way{node: n}, i)
	}
	return groups
}

// again returns what of groups is to be sent again.
func (d *Driver) again(ctx context.Context, keys []string, groups []group, results []rueidis.RedisResult, reading bool) (todo []group) {
	for _, g := range groups {
		for _, i := range g.indexes {
			next, ok := d.elsewhere(ctx, keys[i], g.way, results[i])
			if !ok && reading && broken(ctx, results[i].NonRedisError()) {
				n, err := d.servers.of(ctx, keys[i])
				next, ok = way{node: n}, err == nil
			}
			if ok {
				todo = addTo(todo, next, i)
			}
		}
	}
	return todo
}

// sendGroups sends all groups at a time.
func sendGroups(groups []group, results []rueidis.RedisResult, send func(g group, results []rueidis.RedisResult)) {
	if len(groups) == 0 {
		return
	}
	var wait sync.WaitGroup
	for _, g := range groups[1:] {
		wait.Go(func() { send(g, results) })
	}
	send(groups[0], results)
	wait.Wait()
}

// sending returns what sends a command for each key of a group.
func (d *Driver) sending(ctx context.Context, command func(i int) rueidis.Completed) func(g group, results []rueidis.RedisResult) {
	return func(g group, results []rueidis.RedisResult) { d.sendGroup(ctx, g, command, results) }
}

func (d *Driver) sendGroup(ctx context.Context, g group, command func(i int) rueidis.Completed, results []rueidis.RedisResult) {
	each := 1
	if g.way.asking {
		each = 2
	}
	commands := make([]rueidis.Completed, 0, each*len(g.indexes))
	for _, i := range g.indexes {
		if g.way.asking {
			commands = append(commands, d.build.Asking().Build())
		}
		commands = append(commands, command(i))
	}
	replies, err := g.way.doMulti(ctx, commands)
	for k, i := range g.indexes {
		if err != nil {
			results[i] = rueidis.NewErrorResult(err)
		} else {
			results[i] = replies[each*k+each-1]
		}
	}
}
