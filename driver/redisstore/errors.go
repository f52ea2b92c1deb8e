package redisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
)

var errClosed = store.Errorf(store.ErrUnavailable, "store unavailable: the Redis driver is closed")

// ended is the error of a call whose context ended before anything was sent to at.
func ended(ctx context.Context, at string) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return store.Errorf(store.ErrCanceled, "canceled before %s was asked: %w", at, err)
	}
	return store.Errorf(store.ErrTimeout, "timeout before %s could be asked: %w", at, context.DeadlineExceeded)
}

func (n *node) ended(ctx context.Context) error { return ended(ctx, n.String()) }

// unreachable is the error of an attempt to connect to at.
func (t *target) unreachable(at string, err error) error {
	if strings.HasPrefix(err.Error(), "NOPERM") {
		return store.Errorf(store.ErrDenied, "permission denied: no connection to %s: %s", at, t.scrub(err.Error()))
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: no connection to %s: %s", at, t.scrub(err.Error()))
}

func (n *node) unreachable(err error) error {
	if text := err.Error(); strings.HasPrefix(text, "NOAUTH") || strings.HasPrefix(text, "WRONGPASS") {
		err = &plain{text + n.loginHint}
	}
	return n.target.unreachable(n.String(), err)
}

var errNoSlots = errors.New("it knows no slots: the cluster is not set up yet")

// inquiryError is the error of a question about the servers that n did not answer as it should.
func (d *Driver) inquiryError(ctx context.Context, n *node, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "cluster support disabled"):
		text = "it is not in a cluster: use a redis:// URL"
	case strings.HasPrefix(text, "unknown command") && d.target.Sentinel != "":
		text = "it is no sentinel: name the sentinels, port 26379 by default, or use a redis:// URL"
	}
	var unsent *notSent
	switch {
	case errors.As(err, &unsent):
		return unsent.err
	case outOfTime(ctx, err):
		return store.Errorf(store.ErrUnavailable, "store unavailable: no reply from %s in time", n)
	case strings.HasPrefix(text, "NOPERM"):
		return store.Errorf(store.ErrDenied, "permission denied: %s may not be asked for the others: %s", n, d.target.scrub(text))
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: %s cannot tell of the others: %s", n, d.target.scrub(text))
}

// readError turns an error of the client into one of the store, for a command that changes nothing.
func (d *Driver) readError(ctx context.Context, err error) error {
	if known := d.knownError(err); known != nil {
		return known
	}
	switch {
	case !outOfTime(ctx, err):
		return store.Errorf(store.ErrUnavailable, "store unavailable: the connection to %s broke: %s", d.name, d.target.scrub(err.Error()))
	case errors.Is(ctx.Err(), context.Canceled):
		return store.Errorf(store.ErrCanceled, "canceled while %s was asked: %w", d.name, context.Canceled)
	}
	return store.Errorf(store.ErrTimeout, "timeout: no reply from %s in time: %w", d.name, context.DeadlineExceeded)
}

// writeError is readError for a command that changes something: what may have been sent has an unknown outcome.
func (d *Driver) writeError(ctx context.Context, err error) error {
	if known := d.knownError(err); known != nil {
		return known
	}
	reason := error(&plain{d.target.scrub(err.Error())})
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		reason = context.Canceled
	case outOfTime(ctx, err):
		reason = context.DeadlineExceeded
	}
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: %s may or may not have done it, no reply came (%w); read the key to find out", d.name, reason)
}

// plain is an error that is only its text. Errors of the client are not wrapped: their texts may hold what was sent.
type plain struct{ text string }

func (p *plain) Error() string { return p.text }

// knownError returns the error of a command that the server answered or that was not sent; nil if it may have been sent.
func (d *Driver) knownError(err error) error {
	var unsent *notSent
	var handshake *errHandshake
	if errors.As(err, &unsent) {
		if d.closing.Err() != nil && errors.Is(unsent.err, store.ErrUnavailable) {
			return errClosed // which is why, whatever the last thing was that was tried
		}
		return unsent.err
	}
	if errors.As(err, &handshake) {
		return d.target.unreachable(d.name, handshake.cause)
	}
	if reply, ok := rueidis.IsRedisErr(err); ok {
		return d.replyError(reply.Error())
	}
	return nil
}

// unavailable are the first words of error replies that say that the server cannot serve now. It did nothing.
var unavailable = []string{
	"LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "BUSY", "NOAUTH", "WRONGPASS",
	"max number of clients reached",
}

// replyError turns an error reply into an error of the store. The server did nothing. What the text says is told before the
// password is taken out, which may be a word of it.
func (d *Driver) replyError(text string) error {
	at, scrubbed := d.name, d.target.scrub(text)
	switch word, _, _ := strings.Cut(text, " "); word {
	case "WRONGTYPE":
		return store.Errorf(store.ErrCorrupt, "corrupt value: the key holds a Redis value of another type (list, hash, set, stream), not a string")
	case "OOM":
		return store.Errorf(store.ErrFull, "store full: %s has reached its maxmemory and may not evict", at)
	case "NOPERM":
		return store.Errorf(store.ErrDenied, "permission denied: %s: %s", at, scrubbed)
	case "MOVED", "ASK", "CLUSTERDOWN":
		return store.Errorf(store.ErrUnavailable, "store unavailable: %s: %s%s", at, scrubbed, d.clusterHint())
	}
	for _, words := range unavailable {
		if strings.HasPrefix(text, words) {
			return store.Errorf(store.ErrUnavailable, "store unavailable: %s: %s", at, scrubbed)
		}
	}
	return &plain{at + ": " + scrubbed}
}

// clusterHint says what to do where a cluster is taken for one server.
func (d *Driver) clusterHint() string {
	if d.target.Cluster {
		return ""
	}
	return " (it is a node of a cluster: use a redis+cluster:// URL)"
}

// scrub takes the passwords out of a text: servers that do not know a command repeat its arguments. The longer one goes first, as the
// other may be a part of it.
func (t *target) scrub(text string) string {
	first, second := t.password.Value(), t.sentinelPassword.Value()
	if len(first) < len(second) {
		first, second = second, first
	}
	for _, password := range []string{first, second} {
		if password != "" {
			text = strings.ReplaceAll(text, password, "xxxxx")
		}
	}
	return text
}
