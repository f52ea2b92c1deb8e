package natsstore

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
)

// everyOp calls every method and returns the errors by its name.
func everyOp(ctx context.Context, d *Driver) (reads, writes map[string]error) {
	reads, writes = map[string]error{}, map[string]error{}
	_, reads["get"] = d.Get(ctx, "t:k")
	_, _, reads["entry"] = d.Entry(ctx, "t:k")
	_, reads["ttl"] = d.TTL(ctx, "t:k")
	_, reads["has"] = d.Has(ctx, "t:k")
	_, reads["list"] = d.List(ctx, "t:", "", 10)
	_, reads["get many"] = d.GetMany(ctx, []string{"t:k"})
	writes["set"] = d.Set(ctx, "t:k", []byte("v"), 0)
	_, writes["swap"] = d.CompareAndSwap(ctx, "t:k", nil, []byte("v"), 0)
	writes["set many"] = d.SetMany(ctx, []store.Item{{Key: "t:k"}}, 0)
	_, writes["incr"] = d.Incr(ctx, "t:k", 1, 0, 0)
	return reads, writes
}

func TestHostileReplies_ToReads_AreUnavailable(t *testing.T) {
	for name, reply := range map[string]string{
		"nothing":           "",
		"no JSON":           "hello",
		"an array":          "[]",
		"an empty object":   "{}",
		"another subject":   messageOf("$KV.b.other", 5, "", "v"),
		"no sequence":       messageOf("$KV.b.t.k", 0, "", "v"),
		"no base64":         `{"message":{"subject":"$KV.b.t.k","seq":5,"data":"%%%"}}`,
		"a huge sequence":   `{"message":{"subject":"$KV.b.t.k","seq":99999999999999999999999}}`,
		"half of an object": `{"message":{"subject":"$KV.b.t.k"`,
	} {
		t.Run(name, func(t *testing.T) {
			var armed atomic.Bool
			p := startPuppet(t, func(came post) string {
				if armed.Load() && came.is("STREAM.INFO") || came.is("STREAM.MSG.GET") {
					return orElse(reply, " ")
				}
				return ""
			})
			d := openURL(t, "nats://"+p.addr+"/b")
			armed.Store(true)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			reads, _ := everyOp(ctx, d)
			for op, err := range reads {
				if store.Kind(err) != "unavailable" && store.Kind(err) != "timeout" {
					t.Errorf("%s: %v, want unavailable", op, err)
				}
			}
		})
	}
}

func TestHostileReplies_ToWrites_LeaveTheOutcomeUnknown(t *testing.T) {
	for name, reply := range map[string]string{
		"nothing":             " ",
		"no JSON":             "hello",
		"an empty object":     "{}",
		"another stream":      `{"stream":"KV_other","seq":5}`,
		"no sequence":         `{"stream":"KV_b"}`,
		"an error of no code": `{"error":{"code":500,"description":"oops"}}`,
		"an unknown error":    `{"error":{"code":500,"err_code":10051,"description":"oops"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := startPuppet(t, func(came post) string {
				if strings.HasPrefix(came.subject, "$KV.") {
					return reply
				}
				return ""
			})
			_, writes := everyOp(testContext(t), openURL(t, "nats://"+p.addr+"/b"))
			for op, err := range writes {
				if store.Kind(err) != "unknown_outcome" {
					t.Errorf("%s: %v, want an unknown outcome", op, err)
				}
			}
		})
	}
}

func TestHostileHeaders_AreCorruptAndCanBeOverwrittenAndDeleted(t *testing.T) {
	for name, header := range map[string]string{
		"an expiry that is none": "Luastore-Expires: soon", "a negative expiry": "Luastore-Expires: -5",
		"an expiry beyond all": "Luastore-Expires: 99999999999999999999", "no headers": "garbage",
	} {
		t.Run(name, func(t *testing.T) {
			p := startPuppet(t, func(came post) string {
				if came.is("STREAM.MSG.GET") {
					return messageOf("$KV.b.t.k", 5, header, "v")
				}
				return ""
			})
			d, ctx := openURL(t, "nats://"+p.addr+"/b"), testContext(t)
			corrupt := map[string]error{}
			_, corrupt["get"] = d.Get(ctx, "t:k")
			_, _, corrupt["entry"] = d.Entry(ctx, "t:k")
			_, corrupt["ttl"] = d.TTL(ctx, "t:k")
			_, corrupt["get many"] = d.GetMany(ctx, []string{"t:k"})
			_, corrupt["incr"] = d.Incr(ctx, "t:k", 1, 0, 0)
			_, corrupt["touch"] = d.Touch(ctx, "t:k", 0)
			corrupt["set that keeps"] = d.Set(ctx, "t:k", nil, store.KeepTTL)
			for op, err := range corrupt {
				if store.Kind(err) != "corrupt" {
					t.Errorf("%s: %v, want corrupt", op, err)
				}
			}
			has, err := d.Has(ctx, "t:k")
			existed, errDelete := d.Delete(ctx, "t:k")
			if !has || err != nil || !existed || errDelete != nil || d.Set(ctx, "t:k", nil, 0) != nil {
				t.Errorf("Has = %v, %v; Delete = %v, %v", has, err, existed, errDelete)
			}
		})
	}
}

func TestReplyThatNobodyWaitsForAnyMore_IsDropped(t *testing.T) {
	block := make(chan struct{})
	p := startPuppet(t, func(came post) string {
		if strings.Contains(came.data, "t.slow") {
			<-block
			return messageOf("$KV.b.t.slow", 5, "", "v")
		}
		return ""
	})
	d := openURL(t, "nats://"+p.addr+"/b")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Get(ctx, "t:slow"); store.Kind(err) != "timeout" {
		t.Errorf("a read without a reply: %v, want a timeout", err)
	}
	close(block)
	if _, err := d.Get(testContext(t), "t:k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the next read: %v", err)
	}
	if l := d.live.Load(); l == nil || len(l.slots) != 0 || len(l.waiting) != 0 {
		t.Error("a slot is still taken, or the connection is gone")
	}
}

func TestNoResponders_AreUnavailableAndNothingIsWritten(t *testing.T) {
	var published atomic.Int64
	p := startPuppet(t, func(came post) string {
		if came.is("STREAM.INFO") {
			return ""
		}
		if strings.HasPrefix(came.subject, "$KV.") && published.Add(1)%3 == 0 {
			return ""
		}
		return nobody
	})
	d, ctx := openURL(t, "nats://"+p.addr+"/b"), testContext(t)
	if err := d.Set(ctx, "t:k", nil, 0); err != nil || published.Load() != 3 {
		t.Errorf("a write that a leader takes at the third try: %v after %d", err, published.Load())
	}
	if _, err := d.Get(ctx, "t:k"); store.Kind(err) != "unavailable" {
		t.Errorf("a read that nobody answers: %v", err)
	}
	var batch *store.BatchError
	if _, err := d.GetMany(ctx, []string{"t:k", "t:l"}); !errors.As(err, &batch) || store.Kind(err) != "unavailable" {
		t.Errorf("a batch of reads that nobody answers: %v", err)
	}
}
