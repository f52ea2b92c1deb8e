package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/luastore/store"
)

// A full bucket has no room for a tombstone either. There the message of the entry is deleted itself, and nothing else could make room.

// full reports whether err says that the bucket has no room.
func (d *Driver) full(err error) bool {
	var api *apiError
	return errors.As(err, &api) && errors.Is(d.answered(api), store.ErrFull)
}

// remove deletes the last message of a subject from a full bucket. The servers do not order that after writes of the same moment, so where
// there are several of them a tombstone, which has room now, has to follow upon nothing: else somebody wrote, perhaps in between.
func (d *Driver) remove(ctx context.Context, m *nats.Msg, last uint64) error {
	if err := d.removeMessage(ctx, last); err != nil || d.replicas.Load() <= 1 {
		return err
	}
	err := d.replace(ctx, m, 0)
	if err != nil {
		return errUnclear
	}
	return nil
}

var errUnclear = errors.New("the bucket is full, and another write came while the entry was removed")

// errNotPermitted is the answer of a bucket with deny_delete.
var errNotPermitted = errors.New("message delete not permitted")

// removeMessage deletes a message, once. It is lost where the message is not there any more.
func (d *Driver) removeMessage(ctx context.Context, sequence uint64) error {
	l, err := d.connect(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	r, err := l.send(ctx, d.api+"STREAM.MSG.DELETE."+d.stream, nil, fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, sequence))
	if err != nil {
		return err
	}
	msg, err := l.wait(ctx, r, writePatienceMost)
	if err != nil {
		return err
	}
	err = parseRemoved(msg)
	if err == nil {
		d.quorum.follows(l, begun)
	}
	return err
}

// parseRemoved tells whether a message was deleted.
func parseRemoved(msg *nats.Msg) error {
	var got struct {
		Error   *apiError `json:"error"`
		Success bool      `json:"success"`
	}
	switch err := json.Unmarshal(msg.Data, &got); {
	case err != nil:
		return errUnasked
	case got.Success:
		return nil
	case got.Error == nil:
		return errUnasked
	case got.Error.Code == codeDeleteFailed && strings.Contains(got.Error.Description, "not permitted"):
		return errNotPermitted
	case got.Error.Code == codeNoSequence || got.Error.Code == codeDeleteFailed:
		return &apiError{Code: codeWrongSequence, Description: got.Error.Description}
	}
	return got.Error
}
