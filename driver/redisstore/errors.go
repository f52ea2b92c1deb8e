package redisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
)

var errClosed = store.Errorf(store.ErrUnavailable, "store unavailable: the Redis driver is closed")

// ended is the error of a call whose context ended before anything was sent.
func (d *Driver) ended(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return store.Errorf(store.ErrCanceled, "canceled before Redis at %s was asked: %w", d.target.Address, err)
	}
	return store.Errorf(store.ErrTimeout, "timeout before Redis at %s could be asked: %w", d.target.Address, context.DeadlineExceeded)
}

// unreachable is the error of an attempt to connect.
func (d *Driver) unreachable(err error) error {
	return store.Errorf(store.ErrUnavailable, "store unavailable: no connection to Redis at %s: %s", d.target.Address, d.scrub(err.Error()))
}

// readError turns an error of the client into one of the store, for a command that changes nothing.
func (d *Driver) readError(ctx context.Context, err error) error {
	if known := d.knownError(err); known != nil {
		return known
	}
	switch {
	case !ended(ctx, err):
		return store.Errorf(store.ErrUnavailable, "store unavailable: the connection to Redis at %s broke: %s", d.target.Address, d.scrub(err.Error()))
	case errors.Is(ctx.Err(), context.Canceled):
		return store.Errorf(store.ErrCanceled, "canceled while Redis at %s was asked: %w", d.target.Address, context.Canceled)
	}
	return store.Errorf(store.ErrTimeout, "timeout: no reply from Redis at %s in time: %w", d.target.Address, context.DeadlineExceeded)
}

// writeError is readError for a command that changes something: what may have been sent has an unknown outcome.
func (d *Driver) writeError(ctx context.Context, err error) error {
	if known := d.knownError(err); known != nil {
		return known
	}
	reason := error(&plain{d.scrub(err.Error())})
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		reason = context.Canceled
	case ended(ctx, err):
		reason = context.DeadlineExceeded
	}
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: Redis at %s may or may not have done it, no reply came (%w); read the key to find out", d.target.Address, reason)
}

// plain is an error that is only its text. Errors of the client are not wrapped: their texts may hold what was sent.
type plain struct{ text string }

func (p *plain) Error() string { return p.text }

// knownError returns the error of a command that the server answered or that was not sent; nil if it may have been sent.
func (d *Driver) knownError(err error) error {
	var unsent *notSent
	var handshake *errHandshake
	if errors.As(err, &unsent) {
		return unsent.err
	}
	if errors.As(err, &handshake) {
		return d.unreachable(handshake.cause)
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
	at, scrubbed := d.target.Address, d.scrub(text)
	switch word, _, _ := strings.Cut(text, " "); word {
	case "WRONGTYPE":
		return store.Errorf(store.ErrCorrupt, "corrupt value: the key holds a Redis value of another type (list, hash, set, stream), not a string")
	case "OOM":
		return store.Errorf(store.ErrFull, "store full: Redis at %s has reached its maxmemory and may not evict", at)
	case "NOPERM":
		return store.Errorf(store.ErrDenied, "permission denied: Redis at %s: %s", at, scrubbed)
	case "MOVED", "ASK", "CLUSTERDOWN":
		return store.Errorf(store.ErrUnavailable, "store unavailable: Redis at %s is a node of a cluster, and this driver speaks to one server and not to a cluster: %s", at, scrubbed)
	}
	for _, words := range unavailable {
		if strings.HasPrefix(text, words) {
			return store.Errorf(store.ErrUnavailable, "store unavailable: Redis at %s: %s", at, scrubbed)
		}
	}
	return &plain{"Redis at " + at + ": " + scrubbed}
}

// scrub takes the password out of a text: servers that do not know a command repeat its arguments.
func (d *Driver) scrub(text string) string {
	if password := d.target.password.Value(); password != "" {
		return strings.ReplaceAll(text, password, "xxxxx")
	}
	return text
}
