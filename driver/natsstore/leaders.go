package natsstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// There may be two leaders for a moment: one that was cut off and comes back goes on leading until it hears of the other, for up to a
// second. Whoever reaches both gets two answers to each request, and that of the old one may be the first: an old value, or an
// error for a write that the new one stores.
//
// Every leader answers, and the true one answers a request before one that was sent after it on the same link, as a rule. So a request is
// sent first, and then the majority is asked: when that has answered, the true leader has answered the request, and where one answer
// came that is its own. The server does not promise that order: of 5,400 reads of small values three were overtaken, each by less than a
// millisecond, and more of the writes. So a write that was refused waits for a moment more, unless the refusal itself shows whose it is.

// errTwoLeaders says that it is not known which answer is that of the true leader.
var errTwoLeaders = errors.New("two servers answer for the bucket")

// leadersPause is how long to wait for the old leader to hear of the new one before a request is made again.
const leadersPause = 5 * time.Millisecond

// readSure is read from a leader that had a majority after readSure was called.
func (d *Driver) readSure(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	if ctx.Err() != nil {
		return nil, &notSent{d.ended(ctx)}
	}
	for begun := time.Now(); ; {
		l, err := d.connect(ctx)
		if err != nil {
			return nil, err
		}
		msg, err := d.readSureOn(ctx, l, subject, data)
		if errors.Is(err, errTwoLeaders) && pause(ctx, leadersPause) != nil {
			return nil, errUnanswered
		}
		if !d.again(ctx, err, begun) {
			return msg, err
		}
	}
}

// readSureOn is one try of readSure.
func (d *Driver) readSureOn(ctx context.Context, l *link, subject string, data []byte) (*nats.Msg, error) {
	r, err := l.sendPoll(ctx, d.api+subject, nil, data)
	if err != nil {
		return nil, err
	}
	defer l.forget(r)
	by, err := d.quorum.confirm(ctx)
	for err == nil && !l.answered(r) {
		// The true leader takes longer for it than a majority: the value is long.
		if err = l.awaitAnswer(ctx, r); err == nil {
			by, err = d.quorum.confirm(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	return d.soleAnswer(l, r, by)
}

// soleAnswer ends a poll after a majority answered on the link by, and returns the one answer to it.
func (d *Driver) soleAnswer(l *link, r *request, by *link) (*nats.Msg, error) {
	if answers := l.end(r); answers != 1 || by != l {
		return nil, errTwoLeaders
	}
	for {
		select {
		case got := <-r.reply:
			if got.err == nil && !isRefusal(got.msg) {
				return got.msg, nil
			}
		default:
			return nil, errUnanswered // it came after too many refusals
		}
	}
}

// loadSure is load from a leader that had a majority after loadSure was called.
func (d *Driver) loadSure(ctx context.Context, subject string) (entry, error) {
	if !d.quorum.needed() {
		return d.load(ctx, subject)
	}
	msg, err := d.readSure(ctx, "STREAM.MSG.GET."+d.stream, getRequest(subject))
	if err != nil {
		return entry{}, err
	}
	return d.remembered(subject, msg)
}

// lateAnswer is how long the true leader's answer to a write may come after that of a majority.
const lateAnswer = 20 * time.Millisecond

// settled returns what became of a message that was to be stored, of which a server said that it is not, with err. It is stored all the
// same if the true leader did so.
func (d *Driver) settled(ctx context.Context, l *link, r *request, err error) (uint64, error) {
	by, unknown := d.quorum.confirm(ctx)
	if unknown != nil || by != l {
		return 0, errUnanswered
	}
	timer := time.NewTimer(lateAnswer)
	defer timer.Stop()
	for {
		select {
		case got := <-r.reply:
			if got.err != nil {
				return 0, errUnanswered
			}
			if sequence, err := d.parseAck(got.msg); err == nil {
				return sequence, nil
			}
		case <-timer.C:
			if len(r.reply) > 0 { // both came while others had the processors
				timer.Reset(lateAnswer)
				continue
			}
			if isUnavailable(err) {
				return 0, errUnanswered // that was a server without a majority, and the true leader's answer is still to come
			}
			return 0, err
		case <-ctx.Done():
			return 0, errUnanswered
		}
	}
}

func isUnavailable(err error) bool {
	var api *apiError
	return errors.As(err, &api) && api.Code == codeUnavailable
}

// lastOf returns the last message of a subject that a refused write was told of, if it was told.
func lastOf(err error) (uint64, bool) {
	var api *apiError
	if !errors.As(err, &api) || api.Code != codeWrongSequence {
		return 0, false
	}
	last, err := strconv.ParseUint(api.Description[strings.LastIndexByte(api.Description, ' ')+1:], 10, 64)
	return last, err == nil && last > 0
}

// surelyRefused reports whether err says that a write which expected a message is not stored by any leader: a newer one came after that.
func surelyRefused(err error, expected uint64) bool {
	last, ok := lastOf(err)
	return ok && expected > 0 && last > expected
}

// outdated reports whether err is of a leader that does not know the message yet which a write expected: an old one. The true one has yet
// to answer, and a majority may answer before it does: nothing orders that after writes.
func outdated(err error, expected uint64) bool {
	last, ok := lastOf(err)
	return ok && last < expected
}
