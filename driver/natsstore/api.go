package natsstore

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/luastore/store"
)

// Headers of messages.
const (
	headerExpires   = "Luastore-Expires"                    // when the entry ends, in ms since 1970 of the leader's clock
	headerTTL       = "Nats-TTL"                            // after how many seconds the server may drop the message
	headerRollup    = "Nats-Rollup"                         // the server drops the older messages of the subject, and notes that it did
	headerExpected  = "Nats-Expected-Last-Subject-Sequence" // the message that the subject must have last, 0 for none
	headerOperation = "KV-Operation"                        // there and not PUT: the entry was deleted
	headerMarker    = "Nats-Marker-Reason"                  // the server wrote it in place of an entry that it dropped
	operationDelete = "DEL"
	operationPut    = "PUT"
	rollupSubject   = "sub"
)

// An apiError is an error reply of JetStream.
type apiError struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return e.Description + " (" + strconv.Itoa(e.Code) + ")" }

// A pubAck answers a message that was to be stored.
type pubAck struct {
	Error    *apiError `json:"error"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"seq"`
}

// parseAck returns the sequence under which the message was stored.
func (d *Driver) parseAck(msg *nats.Msg) (uint64, error) {
	var ack pubAck
	switch err := json.Unmarshal(msg.Data, &ack); {
	case err != nil:
		return 0, errUnasked
	case ack.Error != nil:
		return 0, ack.Error
	case ack.Stream != d.stream || ack.Sequence == 0:
		return 0, errUnasked
	}
	return ack.Sequence, nil
}

// A getReply answers STREAM.MSG.GET.
type getReply struct {
	Error   *apiError `json:"error"`
	Message *struct {
		Subject  string `json:"subject"`
		Sequence uint64 `json:"seq"`
		Header   []byte `json:"hdrs"`
		Data     []byte `json:"data"`
	} `json:"message"`
}

// An entry is what a key has: the last message of its subject.
type entry struct {
	sequence uint64 // of the message; 0: there is none
	value    []byte // not nil; nil: there is none, or it was deleted
	expires  int64  // in ms since 1970 of the leader's clock; 0: never
}

// parseEntry returns the entry that a reply to STREAM.MSG.GET tells of.
func parseEntry(msg *nats.Msg, subject string) (entry, error) {
	var got getReply
	err := json.Unmarshal(msg.Data, &got)
	switch {
	case err != nil:
		return entry{}, errUnasked
	case got.Error != nil && got.Error.Code == codeNoMessage:
		return entry{}, nil
	case got.Error != nil:
		return entry{}, got.Error
	case got.Message == nil || got.Message.Subject != subject || got.Message.Sequence == 0:
		return entry{}, errUnasked
	}
	e := entry{sequence: got.Message.Sequence, value: got.Message.Data}
	if e.value == nil {
		e.value = []byte{}
	}
	if len(got.Message.Header) == 0 {
		return e, nil
	}
	header, err := nats.DecodeHeadersMsg(got.Message.Header)
	if err != nil {
		return e, errCorrupt
	}
	return e.with(header)
}

var errCorrupt = store.Errorf(store.ErrCorrupt, "corrupt entry: the headers of the message are not what this driver writes")

// with returns e as its headers tell it.
func (e entry) with(header nats.Header) (entry, error) {
	if operation := header.Get(headerOperation); operation != "" && operation != operationPut || header.Get(headerMarker) != "" {
		e.value = nil
		return e, nil
	}
	text := header.Get(headerExpires)
	if text == "" {
		return e, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms <= 0 {
		return e, errCorrupt
	}
	e.expires = ms
	return e, nil
}

// A streamInfo answers STREAM.INFO and STREAM.CREATE.
type streamInfo struct {
	Error  *apiError    `json:"error"`
	Config streamConfig `json:"config"`
	State  struct {
		Subjects map[string]uint64 `json:"subjects"`
	} `json:"state"`
	Cluster *struct {
		Leader string `json:"leader"`
	} `json:"cluster"`
	Time  time.Time `json:"ts"`
	Total int       `json:"total"` // subjects, of which those from an offset on are there
}

var errNoLeader = errors.New("the bucket has no leader at the moment")

// parseInfo returns what the leader of the bucket says; others answer too where there is none.
func parseInfo(msg *nats.Msg) (*streamInfo, error) {
	info := &streamInfo{}
	switch err := json.Unmarshal(msg.Data, info); {
	case err != nil:
		return nil, errUnasked
	case info.Error != nil:
		return nil, info.Error
	case info.Cluster != nil && info.Cluster.Leader == "":
		return nil, errNoLeader
	case info.Config.Name == "" || info.Time.IsZero():
		return nil, errUnasked
	}
	return info, nil
}
