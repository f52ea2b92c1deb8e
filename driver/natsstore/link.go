package natsstore

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// maxCalls is how many requests may be under way at a time: a server drops all that wait for its API when they are ten thousand.
	maxCalls = 512
	// maxSilence is how long a server may leave a ping without an answer, once a call ended without one and nothing came meanwhile.
	maxSilence = time.Second
	// maxTrouble is how long a server may answer no call, though it is there, before the driver tries another one.
	maxTrouble = 3 * time.Second
	// tokenBase makes the last token of a reply's subject short.
	tokenBase = 36
)

// Errors of requests, beside the API's.
var (
	errUnasked      = errors.New("the server answered what nobody asked")
	errNoResponders = errors.New("no server answers for the bucket at the moment")
	errUnanswered   = errors.New("no answer came")
	errSilentServer = errors.New("the server went silent")
	errCutOff       = errors.New("the server has answered no call for a while")
)

// A notSent wraps the reason, a store error, why a request surely was not sent.
type notSent struct{ err error }

func (e *notSent) Error() string { return e.err.Error() }

// A link is one connection to one server. It never comes back: the driver makes another, so that nothing that was to be sent on
// one goes out on the next.
type link struct {
	driver *Driver
	server string
	conn   *nats.Conn
	wire   *wire
	inbox  string        // begins the subjects of replies
	slots  chan struct{} // one for each request under way

	mu      sync.Mutex
	waiting map[uint64]*request
	last    uint64        // token
	err     error         // why it is broken
	broken  chan struct{} // closed then

	watched atomic.Bool
	trouble atomic.Int64 // when the calls without success began, in ns of the driver's time; 0: there are none
}

// A request is a message that was sent, or is about to be, and whose reply is waited for.
type request struct {
	subject string
	token   uint64
	signs   int64 // of life of the link, when it was sent
	reply   chan reply

	expected uint64 // of a write: the message that it wants to be the last one of its subject; 0: none, or it does not care

	freed bool // it has no slot, or has given it back; guarded by the lock of the link
	// Of a poll every reply counts, and not only the first, until it is forgotten; guarded by the lock of the link.
	poll    bool
	answers int // from servers that may lead
}

// maxReplies is how many replies to a poll are kept.
const maxReplies = 4

// A reply is what became of a request.
type reply struct {
	msg *nats.Msg
	err error
}

// sendRound is send of what those who hold the slots may be waiting for: it needs none itself.
func (l *link) sendRound(ctx context.Context, subject string, data []byte) (*request, error) {
	return l.dispatch(ctx, &request{subject: subject, reply: make(chan reply, 1), freed: true}, nil, data)
}

// send sends a message of which one reply is wanted. Where it fails with a notSent the message surely was not sent.
func (l *link) send(ctx context.Context, subject string, header nats.Header, data []byte) (*request, error) {
	return l.dispatch(ctx, &request{subject: subject, reply: make(chan reply, 1)}, header, data)
}

// sendPoll is send of a message of which all replies are wanted. The caller forgets it in the end.
func (l *link) sendPoll(ctx context.Context, subject string, header nats.Header, data []byte) (*request, error) {
	return l.dispatch(ctx, &request{subject: subject, reply: make(chan reply, maxReplies), poll: true}, header, data)
}

func (l *link) dispatch(ctx context.Context, r *request, header nats.Header, data []byte) (*request, error) {
	subject := r.subject
	size := len(data) + len(subject) + headerRoom
	if err := l.enter(ctx, r, size); err != nil {
		return nil, err
	}
	defer l.wire.release(size)
	r.signs = l.wire.signs.Load()
	if err := l.register(r); err != nil {
		l.leave(r)
		return nil, err
	}
	err := l.conn.PublishMsg(&nats.Msg{Subject: subject, Reply: l.inbox + strconv.FormatUint(r.token, tokenBase), Header: header, Data: data})
	if err == nil {
		return r, nil
	}
	l.forget(r)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return nil, &notSent{errLarge(len(data))}
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrReconnectBufExceeded):
		return nil, &notSent{l.driver.unreachable(err)}
	}
	return nil, err
}

// enter waits for a slot, if r needs one, and for room to write size bytes.
func (l *link) enter(ctx context.Context, r *request, size int) error {
	if !r.freed {
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return &notSent{l.driver.ended(ctx)}
		case <-l.broken:
			return &notSent{l.driver.unreachable(l.err)}
		}
	}
	return l.reserve(ctx, r, size)
}

// reserve waits for room to write size bytes.
func (l *link) reserve(ctx context.Context, r *request, size int) error {
	for {
		moved := l.wire.reserve(size)
		if moved == nil {
			return nil
		}
		select {
		case <-moved:
			continue
		case <-ctx.Done():
			l.leave(r)
			l.watch(l.wire.signs.Load())
			return &notSent{l.driver.ended(ctx)}
		case <-l.broken:
			l.leave(r)
			return &notSent{l.driver.unreachable(l.err)}
		}
	}
}

func (l *link) register(r *request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return &notSent{l.driver.unreachable(l.err)}
	}
	l.last++
	r.token = l.last
	l.waiting[r.token] = r
	return nil
}

// forget takes a request out of those that wait, and reports whether it was one.
func (l *link) forget(r *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drop(r)
}

// drop is forget with the lock held.
func (l *link) drop(r *request) bool {
	if l.waiting[r.token] != r {
		return false
	}
	delete(l.waiting, r.token)
	l.leave(r)
	return true
}

// leave gives the slot of a request back, if it has one. The lock is held where others know the request.
func (l *link) leave(r *request) {
	if !r.freed {
		r.freed = true
		<-l.slots
	}
}

// count counts a reply to a poll, whose slot others may have from the first one on.
func (l *link) count(r *request, got reply) {
	l.leave(r)
	if got.err == nil && !isRefusal(got.msg) {
		r.answers++
	}
}

// end ends a poll and returns how many servers that may lead have answered.
func (l *link) end(r *request) (answers int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(r)
	return r.answers
}

// answered reports whether a server that may lead has answered a poll.
func (l *link) answered(r *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.answers > 0
}

// awaitAnswer waits until there is another reply to a poll, and leaves it there if it is an answer.
func (l *link) awaitAnswer(ctx context.Context, r *request) error {
	msg, err := l.wait(ctx, r, readPatience)
	if err == nil && !isRefusal(msg) {
		r.put(reply{msg: msg})
	}
	return err
}

// receive is called with each message that comes.
func (l *link) receive(msg *nats.Msg) {
	token, err := strconv.ParseUint(strings.TrimPrefix(msg.Subject, l.inbox), tokenBase, 64)
	if err != nil {
		return
	}
	got := reply{msg: msg}
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		got = reply{err: errNoResponders}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.waiting[token]
	switch {
	case r == nil: // nobody waits any more
	case r.poll:
		l.count(r, got)
		r.put(got)
	default:
		l.drop(r)
		r.put(got)
	}
}

// put keeps a reply, if there is room.
func (r *request) put(got reply) {
	select {
	case r.reply <- got:
	default:
	}
}

// wait returns the reply to r: errUnanswered where none has come when ctx ends, or after the time patience.
func (l *link) wait(ctx context.Context, r *request, patience time.Duration) (*nats.Msg, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case got := <-r.reply:
		return l.judge(got)
	case <-ctx.Done():
	case <-timer.C:
	}
	l.forget(r)
	select {
	case got := <-r.reply:
		return l.judge(got)
	default:
	}
	l.watch(r.signs)
	l.troubled()
	return nil, errUnanswered
}

// judge notes whether the server is of use. Where there are replicas no reply shows that but one that a majority stands behind, which
// [quorum.follows] is told of: a leader that is cut off answers reads.
func (l *link) judge(got reply) (*nats.Msg, error) {
	switch {
	case errors.Is(got.err, errNoResponders), got.err == nil && isRefusal(got.msg):
		l.troubled()
	case got.err == nil && !l.driver.quorum.needed():
		l.useful()
	}
	return got.msg, got.err
}

// refusal is in the replies of a server that is in no majority; the values in others are encoded and cannot hold it.
var refusal = []byte(`"err_code":` + strconv.Itoa(codeUnavailable))

func isRefusal(msg *nats.Msg) bool { return len(msg.Data) < 1024 && bytes.Contains(msg.Data, refusal) }

// useful ends the trouble.
func (l *link) useful() {
	if l.trouble.Load() != 0 {
		l.trouble.Store(0)
	}
}

// troubled gives the link up where there is another server to try, and this one has been of no use for a while: it may be cut off
// from the others.
func (l *link) troubled() {
	now := int64(time.Since(l.driver.started)) + 1
	if l.trouble.CompareAndSwap(0, now) || now-l.trouble.Load() < int64(maxTrouble) || len(l.driver.servers) == 1 {
		return
	}
	l.fail(errCutOff)
}

// deny fails the requests to a subject that the server does not let this user send to. It does not say which of them it means.
func (l *link) deny(subject string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.waiting {
		if r.subject == subject {
			l.drop(r)
			r.put(reply{err: err})
		}
	}
}

// watch pings the server where nothing has come since signs was counted, and gives the link up where no answer comes either.
func (l *link) watch(signs int64) {
	if l.wire.signs.Load() != signs || !l.watched.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer l.watched.Store(false)
		err := l.conn.FlushTimeout(maxSilence)
		if errors.Is(err, nats.ErrTimeout) && l.wire.signs.Load() == signs {
			l.fail(errSilentServer)
		}
	}()
}

// fail breaks the link: what waits on it fails with err. Only the first error counts.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	close(l.broken)
	l.mu.Unlock()
	l.driver.lost(l) // before those who wait hear of it: what they send again is not to go here
	l.mu.Lock()
	for _, r := range l.waiting {
		l.drop(r)
		r.put(reply{err: &brokenLink{err}})
	}
	l.mu.Unlock()
	l.wire.Close()
	l.conn.Close()
}
