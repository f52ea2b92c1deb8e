package natsstore

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
)

// Answers of servers of a bucket with replicas.
const (
	confirmation = `{"error":{"code":400,"err_code":10043,"description":"sequence 9223372036854775807 not found"}}`
	refused      = `{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`
	wrongLast    = `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}`
	busyLast     = `{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}`
	stored8      = `{"stream":"KV_b","seq":8}`
)

// replicated opens a driver on a puppet that is a bucket with three replicas, and answers what is not about the bucket itself with
// answer.
func replicated(t *testing.T, answer func(came post) string) *Driver {
	t.Helper()
	p := startPuppet(t, func(came post) string {
		if came.is("STREAM.INFO") {
			return infoOf(func(c *streamConfig) { c.Replicas = 3 })
		}
		if text := answer(came); text != "" || !came.is("STREAM.MSG.DELETE") {
			return text
		}
		return confirmation
	})
	return openURL(t, "nats://"+p.addr+"/b")
}

// A leader that was cut off is back and has not heard of the new one yet.
func TestReads_AnsweredByTwoLeaders_AreMadeAgain(t *testing.T) {
	before, now := messageOf("$KV.b.t.k", 3, "", "before"), messageOf("$KV.b.t.k", 7, "", "now")
	for name, first := range map[string]string{
		"the old one is first":      before + and + now,
		"the new one is first":      now + and + before,
		"a third one has no leader": refused + and + before + and + now,
	} {
		t.Run(name, func(t *testing.T) {
			for what, read := range map[string]func(d *Driver) (string, error){
				"Get": func(d *Driver) (string, error) {
					v, err := d.Get(testContext(t), "t:k")
					return string(v), err
				},
				"GetMany": func(d *Driver) (string, error) {
					values, err := d.GetMany(testContext(t), []string{"t:k"})
					return string(values[0]), err
				},
			} {
				var gets atomic.Int64
				d := replicated(t, func(came post) string {
					switch {
					case !came.is("STREAM.MSG.GET"):
						return ""
					case gets.Add(1) == 1:
						return first
					}
					return now
				})
				if v, err := read(d); v != "now" || err != nil || gets.Load() != 2 {
					t.Errorf("%s after %d questions: %q, %v", what, gets.Load(), v, err)
				}
			}
		})
	}
}

// The answer with a long value may come behind that of the majority, which asked later.
func TestReads_AnsweredAfterTheMajority_WaitForTheirAnswer(t *testing.T) {
	now := messageOf("$KV.b.t.k", 7, "", "now")
	var gets atomic.Int64
	d := replicated(t, func(came post) string {
		if came.is("STREAM.MSG.GET") {
			gets.Add(1)
			return afterOthers + now
		}
		return ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if v, err := d.Get(ctx, "t:k"); string(v) != "now" || err != nil || gets.Load() != 1 {
		t.Errorf("after %d questions: %q, %v", gets.Load(), v, err)
	}
}

func TestReads_RefusedByAServerWithoutALeader_TakeTheAnswerOfTheLeader(t *testing.T) {
	now := messageOf("$KV.b.t.k", 7, "", "now")
	for name, answer := range map[string]string{"before it": refused + and + now, "after it": now + and + refused} {
		d := replicated(t, func(came post) string {
			if came.is("STREAM.MSG.GET") {
				return answer
			}
			return ""
		})
		if v, err := d.Get(testContext(t), "t:k"); string(v) != "now" || err != nil {
			t.Errorf("%s: %q, %v", name, v, err)
		}
	}
}

// conditional are writes that expect what is there: 1, as sequence 5.
var conditional = map[string]func(t *testing.T, d *Driver) (string, error){
	"Incr": func(t *testing.T, d *Driver) (string, error) {
		sum, err := d.Incr(testContext(t), "t:k", 1, 0, 0)
		return map[bool]string{true: "done", false: "not done"}[sum == 2], err
	},
	"CompareAndSwap": func(t *testing.T, d *Driver) (string, error) {
		swapped, err := d.CompareAndSwap(testContext(t), "t:k", []byte{1}, []byte{9}, 0)
		return map[bool]string{true: "done", false: "not done"}[swapped], err
	},
	"Delete": func(t *testing.T, d *Driver) (string, error) {
		existed, err := d.Delete(testContext(t), "t:k")
		return map[bool]string{true: "done", false: "not done"}[existed], err
	},
}

func TestWrites_RefusedByTheOldLeaderAndStoredByTheNewOne_AreDoneOnce(t *testing.T) {
	for name, refusal := range map[string]string{"another sequence": wrongLast, "busy": busyLast, "no majority": refused} {
		for what, write := range conditional {
			var stores atomic.Int64
			d := replicated(t, func(came post) string {
				switch {
				case came.is("STREAM.MSG.GET"):
					return messageOf("$KV.b.t.k", 5, "", "\x01")
				case strings.HasPrefix(came.subject, "$KV."):
					stores.Add(1)
					return refusal + and + stored8
				}
				return ""
			})
			if got, err := write(t, d); got != "done" || err != nil || stores.Load() != 1 {
				t.Errorf("%s, %s: %s, %v, %d messages", what, name, got, err, stores.Load())
			}
		}
	}
}

func TestWrites_RefusedWithoutAMajorityBehindIt_HaveAnUnknownOutcome(t *testing.T) {
	var wait sync.WaitGroup
	for name, refusal := range map[string]string{"another sequence": wrongLast, "busy": busyLast, "no majority": refused} {
		for what, write := range conditional {
			d := replicated(t, func(came post) string {
				switch {
				case came.is("STREAM.MSG.GET"):
					return messageOf("$KV.b.t.k", 5, "", "\x01")
				case came.is("STREAM.MSG.DELETE"):
					return nobody
				case strings.HasPrefix(came.subject, "$KV."):
					return refusal
				}
				return ""
			})
			wait.Go(func() {
				if _, err := write(t, d); store.Kind(err) != "unknown_outcome" {
					t.Errorf("%s, %s: %v, want unknown outcome", what, name, err)
				}
			})
		}
	}
	wait.Wait()
}
