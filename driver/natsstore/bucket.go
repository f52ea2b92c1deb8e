package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/luastore/store"
)

// A streamConfig is what this driver sets or looks at of the configuration of a stream.
type streamConfig struct {
	Name              string          `json:"name"`
	Subjects          []string        `json:"subjects"`
	Retention         string          `json:"retention"`
	MaxConsumers      int             `json:"max_consumers"`
	MaxMessages       int64           `json:"max_msgs"`
	MaxBytes          int64           `json:"max_bytes"`
	MaxAge            time.Duration   `json:"max_age"`
	MaxPerSubject     int64           `json:"max_msgs_per_subject"`
	MaxMessageSize    int64           `json:"max_msg_size"`
	Storage           string          `json:"storage"`
	Discard           string          `json:"discard"`
	DiscardPerSubject bool            `json:"discard_new_per_subject,omitempty"`
	Replicas          int             `json:"num_replicas"`
	Duplicates        time.Duration   `json:"duplicate_window"`
	AllowDirect       bool            `json:"allow_direct"`
	MirrorDirect      bool            `json:"mirror_direct"`
	AllowRollup       bool            `json:"allow_rollup_hdrs"`
	DenyPurge         bool            `json:"deny_purge"`
	DenyDelete        bool            `json:"deny_delete"`
	AllowTTL          bool            `json:"allow_msg_ttl"`
	MarkerTTL         time.Duration   `json:"subject_delete_marker_ttl,omitempty"`
	Sealed            bool            `json:"sealed,omitempty"`
	NoAck             bool            `json:"no_ack,omitempty"`
	Counter           bool            `json:"allow_msg_counter,omitempty"`
	Schedules         bool            `json:"allow_msg_schedules,omitempty"`
	Mirror            json.RawMessage `json:"mirror,omitempty"`
	Sources           json.RawMessage `json:"sources,omitempty"`
	Transform         json.RawMessage `json:"subject_transform,omitempty"`
}

// history is how many messages of a subject a bucket may keep that is made: the most that clients of buckets know. This driver leaves one, of
// which it tells the server to drop those before. The server could do so by itself, for a history of 1, but does not note it on its disk:
// when it is killed it has them all again, drops the older ones again, and so brings back those whose newer one has expired, or was a
// deletion, and is gone.
const history = 64

// newBucket is the configuration of a bucket that is made.
func (d *Driver) newBucket() streamConfig {
	c := streamConfig{
		Name: d.stream, Subjects: []string{d.subjects + ">"}, Retention: "limits", MaxConsumers: -1, MaxMessages: -1, MaxBytes: -1,
		MaxPerSubject: history, MaxMessageSize: -1, Storage: orElse(d.target.Storage, "file"), Discard: "new", Replicas: max(d.target.Replicas, 1),
		Duplicates:  100 * time.Millisecond, // the least: nothing relies on it
		AllowRollup: true, AllowTTL: true,
	}
	if d.target.MaxBytes > 0 {
		c.MaxBytes = d.target.MaxBytes
	}
	return c
}

// findBucket looks at the bucket, or makes it, and learns from it what the driver has to know.
func (d *Driver) findBucket(ctx context.Context) error {
	info, err := d.askInfo(ctx)
	var api *apiError
	if errors.As(err, &api) && api.Code == codeNotFound {
		info, err = d.makeBucket(ctx)
	}
	if errors.As(err, &api) && d.answered(api) == nil {
		return store.Errorf(store.ErrInvalid, "the bucket %q at %s cannot be used: %s", d.target.Bucket, d.where(), d.scrub(api.Description))
	}
	if err != nil {
		return d.readError(ctx, err)
	}
	d.maxMessage, d.inMemory = d.sizeLimit(info.Config), info.Config.Storage == "memory"
	return d.checkBucket(info.Config)
}

// sizeLimit returns how long a message may be, headers included.
func (d *Driver) sizeLimit(c streamConfig) int {
	most := int64(maxPayload)
	if l := d.live.Load(); l != nil && l.conn.MaxPayload() > 0 {
		most = l.conn.MaxPayload()
	}
	if c.MaxMessageSize > 0 {
		most = min(most, c.MaxMessageSize)
	}
	return int(most)
}

// makeBucket makes the bucket. Somebody else may have done so meanwhile.
func (d *Driver) makeBucket(ctx context.Context) (*streamInfo, error) {
	if d.target.NoCreate {
		return nil, store.Errorf(store.ErrUnavailable, "store unavailable: there is no bucket %q at %s, and create=false: make it, or leave create out",
			d.target.Bucket, d.where())
	}
	if err := d.checkVersion(); err != nil {
		return nil, err
	}
	config, err := json.Marshal(d.newBucket())
	if err != nil {
		return nil, err
	}
	msg, err := d.read(ctx, "STREAM.CREATE."+d.stream, config)
	if err != nil {
		return nil, err
	}
	info, err := parseInfo(msg)
	var api *apiError
	if errors.Is(err, errNoLeader) || errors.As(err, &api) && api.Code == codeInUse {
		return d.awaitInfo(ctx)
	}
	return info, err
}

// awaitInfo asks until a new bucket has a leader.
func (d *Driver) awaitInfo(ctx context.Context) (*streamInfo, error) {
	for {
		info, err := d.askInfo(ctx)
		if !errors.Is(err, errNoLeader) {
			return info, err
		}
		if err := pause(ctx, handoverPause); err != nil {
			return nil, errNoLeader
		}
	}
}

// checkVersion refuses servers that would make the bucket without what is asked for, and not say so.
func (d *Driver) checkVersion() error {
	l := d.live.Load()
	if l == nil {
		return nil
	}
	version := l.conn.ConnectedServerVersion()
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	m, errMajor := strconv.Atoi(major)
	n, errMinor := strconv.Atoi(minor)
	if errMajor == nil && errMinor == nil && (m < 2 || m == 2 && n < 11) {
		return store.Errorf(store.ErrUnavailable, "store unavailable: %s is version %d.%d: this driver needs 2.11 or later", d.where(), m, n)
	}
	return nil
}

// checkBucket reports what does not fit of a bucket that is there, and what to do about it.
func (d *Driver) checkBucket(c streamConfig) error {
	for _, fault := range []struct {
		is   bool
		text string
	}{
		{len(c.Subjects) != 1 || c.Subjects[0] != d.subjects+">", fmt.Sprintf("its subjects are not %s>", d.subjects)},
		{c.AllowDirect || c.MirrorDirect, "allow_direct is on, with which replicas that lag answer reads: nats stream edit " + d.stream + " --no-allow-direct"},
		{c.MaxPerSubject == 1, fmt.Sprintf("its history is 1, with which a server that is killed brings back what was deleted: nats stream edit %s "+
			"--max-msgs-per-subject=%d", d.stream, history)},
		{!c.AllowRollup || c.DenyPurge, "allow_rollup_hdrs is off, or deny_purge on, without which older values stay: make another bucket"},
		{c.MaxAge != 0, "max_age is set, which drops entries that never expire: nats stream edit " + d.stream + " --max-age=0"},
		{!c.AllowTTL, "allow_msg_ttl is off, without which expired entries stay: nats stream edit " + d.stream + " --allow-msg-ttl"},
		{c.MarkerTTL != 0, "subject_delete_marker_ttl is set, with which a marker may replace an entry that was just written: make another bucket"},
		{c.MaxMessages > 0, "max_msgs is set: bound it by max_bytes: nats stream edit " + d.stream + " --max-msgs=-1"},
		{c.Discard != "new", "discard is not new, so that a full bucket drops entries: nats stream edit " + d.stream + " --discard=new"},
		{c.DiscardPerSubject, "discard_new_per_subject is on, with which nothing can be written twice: nats stream edit " + d.stream + " --no-discard-per-subject"},
		{c.Retention != "limits", "its retention is not limits: make another bucket"},
		{c.Replicas > 1 && c.DenyDelete, "deny_delete is on, without which no read can be confirmed by the replicas: make another bucket"},
		{c.Sealed || c.NoAck || c.Counter || c.Schedules, "it is sealed, acknowledges nothing, or is for counters or schedules: make another bucket"},
		{isSet(c.Mirror) || isSet(c.Sources) || isSet(c.Transform), "it mirrors others, has sources, or changes subjects: make another bucket"},
		{d.target.Replicas > 0 && c.Replicas != d.target.Replicas, fmt.Sprintf("it has %d replicas, not %d: nats stream edit %s --replicas=%d, or leave replicas out",
			c.Replicas, d.target.Replicas, d.stream, d.target.Replicas)},
		{d.target.Storage != "" && c.Storage != d.target.Storage, "its storage is " + c.Storage + ": leave storage out, or make another bucket"},
		{d.target.MaxBytes > 0 && c.MaxBytes != d.target.MaxBytes, fmt.Sprintf("its max_bytes is %d, not %d: nats stream edit %s --max-bytes=%d, or leave max_bytes out",
			c.MaxBytes, d.target.MaxBytes, d.stream, d.target.MaxBytes)},
	} {
		if fault.is {
			return store.Errorf(store.ErrInvalid, "the bucket %q at %s cannot be used: %s", d.target.Bucket, d.where(), fault.text)
		}
	}
	d.replicas.Store(int64(c.Replicas))
	return nil
}

func isSet(raw json.RawMessage) bool {
	text := string(raw)
	return text != "" && text != "null" && text != "[]" && text != "{}"
}

// askInfo asks the leader for the state of the bucket, without its subjects, and takes the time that it tells.
func (d *Driver) askInfo(ctx context.Context) (*streamInfo, error) {
	for begun := time.Now(); ; {
		l, err := d.connect(ctx)
		if err != nil {
			return nil, err
		}
		sent := time.Now()
		msg, err := d.readOn(ctx, l, "STREAM.INFO."+d.stream, nil)
		if d.again(ctx, err, begun) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := parseInfo(msg)
		if err == nil {
			d.clock.observe(l, sent, time.Now(), info.Time)
			d.replicas.Store(int64(info.Config.Replicas))
		}
		return info, err
	}
}
