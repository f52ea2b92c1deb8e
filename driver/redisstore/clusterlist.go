package redisstore

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
)

const (
	// slotsPerTrip is how many slots are asked for at a time where keys are listed slot by slot, and slotsPerPage how many in one call.
	slotsPerTrip = 256
	slotsPerPage = 4096
	// maxPerSlot is how many keys of one slot can be listed while slots move.
	maxPerSlot = 200_000
)

// A tour is the position of a listing in a cluster.
//
// While the slots stay where they are it walks one primary after the other by SCAN. Where a slot moved since the listing began, or
// moves at all, that would miss keys which come to a primary that it has left from one where it has not been. Then it begins again,
// slot by slot, and looks for the keys of each on all primaries, twice: one that moves from the second to the first primary while
// these are asked in turn is on the first by the second time.
type tour struct {
	bySlot bool
	slot   int    // the next one
	shape  uint64 // of the cluster when the listing began
	server int    // place of the primary in the shape
	at     uint64 // position of SCAN there
}

const (
	scanMark = "s"
	slotMark = "k"
)

func (t tour) String() string {
	if t.bySlot {
		return slotMark + strconv.FormatUint(uint64(t.slot), cursorBase)
	}
	return scanMark + strings.Join([]string{
		strconv.FormatUint(t.shape, cursorBase), strconv.FormatUint(uint64(t.server), cursorBase), strconv.FormatUint(t.at, cursorBase),
	}, ".")
}

var errCursor = invalid("invalid cursor: want the one that the page before returned")

// parseTour takes only what String wrote. One that was forged is another position under the same prefix.
func parseTour(cursor string) (t tour, err error) {
	if rest, ok := strings.CutPrefix(cursor, slotMark); ok {
		slot, err := strconv.ParseUint(rest, cursorBase, 64)
		t = tour{bySlot: true, slot: int(min(slot, slotCount))}
		if err != nil || t.slot == slotCount || t.String() != cursor {
			return t, errCursor
		}
		return t, nil
	}
	parts := strings.Split(strings.TrimPrefix(cursor, scanMark), ".")
	if len(parts) != 3 {
		return t, errCursor
	}
	server, err := strconv.ParseUint(parts[1], cursorBase, 31)
	t.server = int(server)
	for i, to := range map[int]*uint64{0: &t.shape, 2: &t.at} {
		var wrong error
		*to, wrong = strconv.ParseUint(parts[i], cursorBase, 64)
		err = cmp.Or(err, wrong)
	}
	if err != nil || t.String() != cursor {
		return t, errCursor
	}
	return t, nil
}

// list returns a page of the keys of all primaries. It begins the page again where a server is given up meanwhile that was well, such as
// one without slots that leaves the cluster.
func (c *cluster) list(ctx context.Context, prefix, cursor string, limit int) (page store.Page, err error) {
	for hop := range maxHops {
		page, err = c.page(ctx, prefix, cursor, limit)
		if !errors.Is(err, errRetired.err) || !settle(ctx, hop) {
			break
		}
	}
	return page, err
}

func (c *cluster) page(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	var t tour
	var err error
	if cursor != "" {
		if t, err = parseTour(cursor); err != nil {
			return store.Page{}, err
		}
	}
	var page store.Page
	if !t.bySlot {
		var still bool
		page, still, err = c.scan(ctx, prefix, t, cursor == "", limit)
		if still || err != nil {
			return page, err
		}
		t = tour{bySlot: true}
	}
	return c.bySlot(ctx, prefix, t.slot, limit, page.Keys)
}

// scan goes on with a listing by SCAN. It returns still as false where slots move or have moved: the page is then only some of
// what is to be listed anew.
func (c *cluster) scan(ctx context.Context, prefix string, t tour, first bool, limit int) (page store.Page, still bool, err error) {
	before, err := c.shape(ctx)
	if err != nil {
		return page, false, err
	}
	if first {
		t.shape = before.sum
	}
	if before.sum != t.shape || before.moving {
		return page, false, nil
	}
	switch {
	case len(before.primaries) == 0:
		return page, false, errNoOwner.err
	case t.server >= len(before.primaries):
		return page, false, errCursor
	}
	for {
		var keys []string
		keys, t.at, err = c.driver.walk(ctx, before.primaries[t.server], prefix, t.at, max(1, limit-len(page.Keys)))
		if err != nil {
			return store.Page{}, false, err
		}
		page.Keys = append(page.Keys, keys...)
		if t.at == 0 {
			t.server++
		}
		if t.at != 0 || t.server == len(before.primaries) || len(page.Keys) >= limit {
			break
		}
	}
	after, err := c.shape(ctx)
	if err != nil {
		return store.Page{}, false, err
	}
	if t.server < len(before.primaries) {
		page.Next = t.String()
	}
	return page, after.sum == t.shape && !after.moving, nil
}

// bySlot goes on with a listing slot by slot, after the keys that the call has found already.
func (c *cluster) bySlot(ctx context.Context, prefix string, slot, limit int, keys []string) (store.Page, error) {
	is, err := c.shape(ctx)
	if err != nil {
		return store.Page{}, err
	}
	for end := min(slot+slotsPerPage, slotCount); slot < end && len(keys) < limit; {
		next := min(slot+slotsPerTrip, end)
		found, err := c.keysOf(ctx, is.all, slot, next, prefix)
		if err != nil {
			return store.Page{}, err
		}
		keys, slot = append(keys, found...), next
	}
	page := store.Page{Keys: keys}
	if slot < slotCount {
		page.Next = tour{bySlot: true, slot: slot}.String()
	}
	return page, nil
}

// keysOf returns the keys of slots from first up to end that all servers together have, without those that hold no string.
func (c *cluster) keysOf(ctx context.Context, servers []*node, first, end int, prefix string) ([]string, error) {
	found := map[string]bool{}
	for range 2 {
		if err := c.collect(ctx, servers, first, end, prefix, found); err != nil {
			return nil, err
		}
	}
	keys := make([]string, 0, len(found))
	for key := range found {
		keys = append(keys, key)
	}
	d := c.driver
	typeOf := func(i int) rueidis.Completed { return d.build.Type().Key(keys[i]).Build() }
	types := d.many(ctx, keys, true, d.sending(ctx, typeOf))
	kept := keys[:0]
	for i, key := range keys {
		kind, err := types[i].ToString()
		if err != nil {
			return nil, d.readError(ctx, err)
		}
		if kind == "string" {
			kept = append(kept, key)
		}
	}
	return kept, nil
}

// collect asks all servers at a time.
func (c *cluster) collect(ctx context.Context, servers []*node, first, end int, prefix string, found map[string]bool) error {
	var mu sync.Mutex
	return c.each(servers, func(n *node) error {
		commands := make([]rueidis.Completed, 0, end-first)
		for slot := first; slot < end; slot++ {
			commands = append(commands, c.driver.build.ClusterGetkeysinslot().Slot(int64(slot)).Count(maxPerSlot).Build())
		}
		results, err := n.doMulti(ctx, commands)
		if err != nil {
			return c.driver.readError(ctx, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range results {
			keys, err := results[i].AsStrSlice()
			if err != nil {
				return c.driver.readError(ctx, err)
			}
			if len(keys) == maxPerSlot {
				return store.Errorf(store.ErrUnavailable, "store unavailable: slots of %s move, and one has too many keys to be listed meanwhile; try again when they stay", c.driver.name)
			}
			for _, key := range keys {
				if strings.HasPrefix(key, prefix) {
					found[key] = true
				}
			}
		}
		return nil
	})
}

// each runs do for all servers at a time and returns the first error.
func (c *cluster) each(servers []*node, do func(n *node) error) error {
	errs := make([]error, len(servers))
	var wait sync.WaitGroup
	for i, n := range servers {
		wait.Go(func() { errs[i] = do(n) })
	}
	wait.Wait()
	return cmp.Or(errs...)
}

// A shape tells where the slots of a cluster are, and whether it has changed.
type shape struct {
	primaries []*node // with slots, in an order that belongs to sum
	all       []*node // primaries without slots too, in the order of their ids
	sum       uint64
	moving    bool
}

var errNodes = errors.New("its answer to CLUSTER NODES is not understood")

// shape asks every primary what slots it has, and which of them move, which only the two concerned know.
func (c *cluster) shape(ctx context.Context) (shape, error) {
	var mu sync.Mutex
	selves := map[*node]self{}
	more := map[string]string{} // addresses of primaries, by id
	d := c.driver
	ask := func(n *node) error {
		text, err := n.read(ctx, func() rueidis.Completed { return d.build.ClusterNodes().Build() }).ToString()
		if err != nil {
			c.inquiry.start(n)
			return d.readError(ctx, err)
		}
		is, primaries, err := parseNodes(text, n.address)
		if err != nil {
			return d.readError(ctx, &notSent{d.inquiryError(ctx, n, err)})
		}
		mu.Lock()
		defer mu.Unlock()
		selves[n] = is
		maps.Copy(more, primaries)
		return nil
	}
	asked := c.primaries()
	if err := c.each(asked, ask); err != nil {
		return shape{}, err
	}
	others, err := c.others(selves, more)
	if err == nil {
		err = c.each(others, ask)
	}
	if err != nil {
		return shape{}, err
	}
	return newShape(selves), nil
}

// others returns the nodes of primaries that were named but not asked yet. They are told apart by their ids: where the cluster has
// clients use names, or the address that they came to, CLUSTER NODES goes on to tell the servers' own, which may not be reachable.
func (c *cluster) others(asked map[*node]self, named map[string]string) ([]*node, error) {
	for _, is := range asked {
		delete(named, is.id)
	}
	others := make([]*node, 0, len(named))
	for _, address := range named {
		n, err := c.nodes.at(address)
		if err != nil {
			return nil, c.driver.readError(context.Background(), err)
		}
		others = append(others, n)
	}
	return others, nil
}

func newShape(selves map[*node]self) shape {
	var s shape
	for n := range selves {
		s.all = append(s.all, n)
	}
	slices.SortFunc(s.all, func(a, b *node) int { return cmp.Compare(selves[a].id, selves[b].id) })
	// One may be known by two addresses.
	s.all = slices.CompactFunc(s.all, func(a, b *node) bool { return selves[a].id == selves[b].id })
	sum := fnv.New64a()
	for _, n := range s.all {
		is := selves[n]
		if is.moving = is.moving || !is.primary; is.moving {
			s.moving = true
		}
		if is.slots != "" {
			s.primaries = append(s.primaries, n)
		}
		sum.Write([]byte(is.id + " " + is.epoch + " " + is.slots + "\n"))
	}
	s.sum = sum.Sum64()
	return s
}

// A self is what a server says about itself.
type self struct {
	id, epoch, slots string
	primary, moving  bool
}

// parseNodes reads the answer to CLUSTER NODES of the server at asked: what it says of itself, and where other primaries are, by id
// (https://redis.io/docs/latest/commands/cluster-nodes/).
func parseNodes(text, asked string) (is self, primaries map[string]string, err error) {
	primaries = map[string]string{}
	text = strings.TrimPrefix(text, "txt:") // the format, which RESP3 says first
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			return is, nil, errNodes
		}
		flags := strings.Split(fields[2], ",")
		primary := slices.Contains(flags, "master")
		if slices.Contains(flags, "myself") {
			is = self{id: fields[0], epoch: fields[6], slots: strings.Join(fields[8:], " "), primary: primary}
			is.moving = strings.Contains(is.slots, "[")
			continue
		}
		away := slices.ContainsFunc(flags, func(f string) bool { return f == "fail" || f == "noaddr" || f == "handshake" })
		if address, ok := endpoint(fields[1], asked); ok && primary && !away {
			primaries[fields[0]] = address
		}
	}
	if is.id == "" {
		return is, nil, errNodes
	}
	return is, primaries, nil
}

// endpoint reads where CLUSTER NODES says that a server is, as host:port@busport[,name[,...]]. The name, where there is one, is what
// clients are to use if it was by a name that they came to the server at asked.
func endpoint(field, asked string) (address string, ok bool) {
	address, more, _ := strings.Cut(field, "@")
	if parts := strings.Split(more, ","); len(parts) > 1 && parts[1] != "" && !strings.Contains(parts[1], "=") {
		host, _, _ := net.SplitHostPort(asked)
		if _, err := netip.ParseAddr(host); err != nil {
			address = parts[1] + ":" + address[strings.LastIndexByte(address, ':')+1:]
		}
	}
	return whole(address, asked)
}
