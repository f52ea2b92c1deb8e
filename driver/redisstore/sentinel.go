package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
)

// lookEvery is how often the sentinels are asked for the primary while all is well: one that was replaced goes on and acknowledges
// writes, which are lost, until they tell it, and longer where it is cut off from them.
const lookEvery = 250 * time.Millisecond

// sentinels know which server is the primary
// (https://redis.io/docs/latest/develop/reference/sentinel-clients/).
type sentinels struct {
	driver  *Driver
	nodes   nodes // of sentinels
	data    nodes // primaries
	inquiry inquiry
	primary atomic.Pointer[node]

	mu    sync.Mutex
	known []string // addresses of sentinels, the one that answered last first
}

func (d *Driver) newSentinels() (*sentinels, error) {
	s := &sentinels{
		driver: d,
		nodes:  nodes{driver: d, kind: "the sentinel", hint: " (sentinels have a login of their own: see sentinel_user and sentinel_password)", login: d.target.sentinelLogin},
		data:   nodes{driver: d, kind: "Redis", source: "the sentinels named", login: d.dataLogin, verify: d.isPrimary},
		known:  d.target.addresses(),
	}
	s.inquiry.find = s.learn
	for _, address := range s.known {
		n, err := s.nodes.at(address)
		if err != nil {
			return nil, err
		}
		d.build = n.client.B()
	}
	time.AfterFunc(lookEvery, s.lookAgain)
	return s, nil
}

// lookAgain asks the sentinels from time to time, until the driver is closed.
func (s *sentinels) lookAgain() {
	if s.driver.closing.Err() != nil {
		return
	}
	if s.primary.Load() != nil {
		s.inquiry.start(nil)
	}
	time.AfterFunc(lookEvery, s.lookAgain)
}

func (s *sentinels) open(ctx context.Context) error {
	n, err := s.of(ctx, "")
	if err == nil {
		_, err = n.connect(ctx)
	}
	return err
}

func (s *sentinels) of(ctx context.Context, _ string) (*node, error) {
	if n := s.primary.Load(); n != nil && !n.isRetired() {
		return n, nil
	}
	if err := s.inquiry.ask(ctx, s.driver, nil); err != nil {
		return nil, err
	}
	if n := s.primary.Load(); n != nil && !n.isRetired() {
		return n, nil
	}
	return nil, errRetired
}

// elsewhere goes on with the new primary where the old one says that it is none any more.
func (s *sentinels) elsewhere(ctx context.Context, key string, w way, err error) (next way, ok bool) {
	reply, answered := rueidis.IsRedisErr(err)
	switch {
	case answered && strings.HasPrefix(reply.Error(), "READONLY"):
		if s.inquiry.ask(ctx, s.driver, w.node) != nil {
			return way{}, false
		}
	case answered:
		return way{}, false
	case !errors.Is(err, errRetired):
		s.inquiry.start(w.node)
		return way{}, false
	}
	n, err := s.of(ctx, key)
	return way{node: n}, err == nil
}

var errReplica = errors.New("it is a replica and not the primary")

// isPrimary looks at a new connection: what a sentinel says may be old.
func (d *Driver) isPrimary(ctx context.Context, n *node) error {
	role, err := n.client.Do(ctx, d.build.Role().Build()).ToArray()
	if err != nil {
		return err
	}
	if len(role) == 0 {
		return errUnasked
	}
	if is, err := role[0].ToString(); err != nil || is != "master" {
		return errReplica
	}
	return nil
}

// errDoubted makes an inquiry go on after a sentinel that named the primary that is doubted.
var errDoubted = &notSent{errors.New("it names the primary that is doubted")}

// learn asks one sentinel after the other for the primary until one answers; where that is the one that is doubted, until one knows
// another. Where none answers in little time, those that were slow get the time that connecting may take.
func (s *sentinels) learn(doubted *node) error {
	s.mu.Lock()
	known := slices.Clone(s.known)
	s.mu.Unlock()
	var primary, by string
	ask := func(address string, patience time.Duration) error {
		found, err := s.primaryBy(address, patience)
		if err != nil {
			return err
		}
		if primary, by = found, address; doubted != nil && found == doubted.address {
			return errDoubted
		}
		return nil
	}
	slow, err := inTurn(known, inquiryPatience, ask)
	if by == "" && len(slow) > 0 {
		_, err = inTurn(slow, s.driver.target.patience(), ask)
	}
	if by == "" {
		return err
	}
	return s.adopt(primary, by)
}

// primaryBy asks one sentinel. Its error is a notSent.
func (s *sentinels) primaryBy(address string, patience time.Duration) (string, error) {
	d := s.driver
	n, err := s.nodes.at(address)
	if err != nil {
		return "", err
	}
	ctx, cancel := d.inquiryContext(patience)
	defer cancel()
	reply, err := n.read(ctx, func() rueidis.Completed {
		return d.build.Arbitrary("SENTINEL", "GET-MASTER-ADDR-BY-NAME", d.target.Sentinel).Build()
	}).AsStrSlice()
	switch {
	case rueidis.IsRedisNil(err):
		err = fmt.Errorf("it watches no primary of the name %q that the URL has after the hosts", d.target.Sentinel)
	case err == nil && len(reply) != 2:
		err = errUnasked
	}
	if err == nil {
		if primary, ok := whole(net.JoinHostPort(reply[0], reply[1]), address); ok {
			return primary, nil
		}
		err = errUnasked
	}
	return "", &notSent{d.inquiryError(ctx, n, err)}
}

// adopt makes the primary that a sentinel named the one that calls go to, and the sentinel the first to be asked next.
func (s *sentinels) adopt(primary, by string) error {
	n, err := s.data.at(primary)
	if err != nil {
		return err
	}
	s.primary.Store(n)
	s.data.keep(map[*node]bool{n: true})
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(s.known), func(a string) bool { return a == by })
	s.known = append([]string{by}, rest...)
	return nil
}

// list walks the primary. What SCAN of one server says means nothing to another, so the listing begins again after a failover.
func (s *sentinels) list(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	n, err := s.of(ctx, "")
	if err != nil {
		return store.Page{}, s.driver.readError(ctx, err)
	}
	mark := strings.NewReplacer(":", "-", "[", "", "]", "").Replace(n.address) + "."
	var at uint64
	if cursor != "" {
		begin := strings.LastIndexByte(cursor, '.') + 1
		if at, err = parseCursor(cursor[begin:]); err != nil || at == 0 {
			return store.Page{}, errCursor
		}
		if cursor[:begin] != mark {
			at = 0
		}
	}
	keys, next, err := s.driver.walk(ctx, n, prefix, at, limit)
	if err != nil {
		return store.Page{}, err
	}
	page := store.Page{Keys: keys}
	if next != 0 {
		page.Next = mark + formatCursor(next)
	}
	return page, nil
}

func (s *sentinels) close() {
	s.nodes.close()
	s.data.close()
}
