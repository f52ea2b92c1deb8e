package natsstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/benchtest"
	"github.com/luastore/store/internal/natstest"
	"github.com/luastore/store/value"
)

// A bare is the JetStream client of nats.go on the stream of a bucket, with the messages that the driver sends.
type bare struct {
	js      jetstream.JetStream
	stream  jetstream.Stream
	conn    *nats.Conn
	subject string
	value   []byte
	guard   string
}

func newBare(b *testing.B, server *natstest.Server, bucket, key string, v []byte) *bare {
	js := must(jetstream.New(server.Conn(b)))(b)
	return &bare{
		js: js, stream: must(js.Stream(testContext(b), "KV_"+bucket))(b), conn: js.Conn(), subject: "$KV." + bucket + "." + key, value: v,
		guard: "$JS.API.STREAM.MSG.DELETE.KV_" + bucket,
	}
}

func (c *bare) get(ctx context.Context) error {
	_, err := c.stream.GetLastMsgForSubject(ctx, c.subject)
	return err
}

// confirmedGet asks the majority first, as the driver does where there are replicas.
func (c *bare) confirmedGet(ctx context.Context) error {
	if _, err := c.conn.RequestWithContext(ctx, c.guard, askQuorum); err != nil {
		return err
	}
	return c.get(ctx)
}

func (c *bare) set(ctx context.Context) error {
	_, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: c.subject, Data: c.value, Header: nats.Header{headerRollup: {rollupSubject}}})
	return err
}

func (c *bare) setTTL(ctx context.Context) error {
	_, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: c.subject, Data: c.value, Header: nats.Header{
		headerRollup: {rollupSubject}, headerExpires: {strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)}, headerTTL: {"3605"},
	}})
	return err
}

// BenchmarkBare compares the driver with the bare client; the ratio is that of their rates, higher is better.
func BenchmarkBare(b *testing.B) {
	v := value.AppendString(nil, strings.Repeat("x", 55))
	one, three := natstest.Shared(b), natstest.SharedCluster(b)
	for _, on := range []struct {
		name, url, bucket string
		server            *natstest.Server
	}{{"one", one.URL(), one.Bucket, one}, {"three", three.URL(), three.Bucket, three.Servers[0]}} {
		d := openURL(b, on.url)
		d.Set(context.Background(), "b:k", v, 0)
		c := newBare(b, on.server, on.bucket, "b.k", v)
		get := c.get
		if d.quorum.needed() {
			get = c.confirmedGet
		}
		for _, callers := range []int{1, 64} {
			for _, pair := range []struct {
				name         string
				driver, bare func(ctx context.Context) error
			}{
				{"get", func(ctx context.Context) error { _, err := d.Get(ctx, "b:k"); return err }, get},
				{"set", func(ctx context.Context) error { return d.Set(ctx, "b:k", v, 0) }, c.set},
				{"setTTL", func(ctx context.Context) error { return d.Set(ctx, "b:k", v, time.Hour) }, c.setTTL},
			} {
				b.Run(fmt.Sprintf("%s/%s/callers=%d", on.name, pair.name, callers), func(b *testing.B) {
					benchtest.Compare(b, callers, benchtest.By("driver", pair.driver), benchtest.By("bare", pair.bare))
				})
			}
		}
	}
}

// BenchmarkReads compares reads=lease with reads=quorum on three replicas; the ratio says how many times faster the lease is.
func BenchmarkReads(b *testing.B) {
	url := natstest.SharedCluster(b).URL()
	read := func(d *Driver) func(ctx context.Context) error {
		return func(ctx context.Context) error { _, err := d.Get(ctx, "b:k"); return err }
	}
	lease, quorum := openURL(b, url+"&reads=lease"), openURL(b, url)
	lease.Set(context.Background(), "b:k", []byte("v"), 0)
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			benchtest.Compare(b, callers, benchtest.By("lease", read(lease)), benchtest.By("quorum", read(quorum)))
		})
	}
}

// BenchmarkIncr compares increments of one key by the driver with a read and a conditional write for each; the ratio is that of
// their rates.
func BenchmarkIncr(b *testing.B) {
	server := natstest.Shared(b)
	d := openURL(b, server.URL())
	d.Incr(context.Background(), "b:n", 1, 0, 0)
	c := newBare(b, server, server.Bucket, "b.m", nil)
	c.set(context.Background())
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			benchtest.Compare(b, callers,
				benchtest.By("driver", func(ctx context.Context) error { _, err := d.Incr(ctx, "b:n", 1, 0, 0); return err }),
				benchtest.By("bare", c.swap))
		})
	}
}

// swap reads and writes conditionally until no other write comes between.
func (c *bare) swap(ctx context.Context) error {
	for {
		m, err := c.stream.GetLastMsgForSubject(ctx, c.subject)
		if err != nil {
			return err
		}
		reply, err := c.conn.RequestMsgWithContext(ctx, &nats.Msg{Subject: c.subject, Data: m.Data, Header: nats.Header{
			headerRollup:   {rollupSubject},
			headerExpected: {strconv.FormatUint(m.Sequence, 10)},
		}})
		if err != nil {
			return err
		}
		var ack pubAck
		if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Error == nil {
			return err
		}
	}
}

// BenchmarkBatch compares a batch of 100 keys with 100 single calls; the ratio says how many times faster the batch is.
func BenchmarkBatch(b *testing.B) {
	d := openURL(b, natstest.Shared(b).URL())
	keys, entries := make([]string, 100), make([]store.Item, 100)
	for i := range keys {
		keys[i] = fmt.Sprint("b:", i)
		entries[i] = store.Item{Key: keys[i], Value: []byte("0123456789abcdef")}
	}
	d.SetMany(context.Background(), entries, 0)
	b.Run("get", func(b *testing.B) {
		benchtest.Compare(b, 1,
			benchtest.By("batch", func(ctx context.Context) error { _, err := d.GetMany(ctx, keys); return err }),
			benchtest.By("single", func(ctx context.Context) error {
				for _, key := range keys {
					if _, err := d.Get(ctx, key); err != nil {
						return err
					}
				}
				return nil
			}))
	})
	b.Run("set", func(b *testing.B) {
		benchtest.Compare(b, 1,
			benchtest.By("batch", func(ctx context.Context) error { return d.SetMany(ctx, entries, 0) }),
			benchtest.By("single", func(ctx context.Context) error {
				for _, e := range entries {
					if err := d.Set(ctx, e.Key, e.Value, 0); err != nil {
						return err
					}
				}
				return nil
			}))
	})
}

// BenchmarkList lists a page of 100 keys of a small prefix beside many others, and of all of them.
func BenchmarkList(b *testing.B) {
	d := openURL(b, natstest.Shared(b).URL())
	var entries []store.Item
	for i := range 100_000 {
		entries = append(entries, store.Item{Key: fmt.Sprintf("large:%06d", i), Value: []byte("v")})
	}
	for i := range 100 {
		entries = append(entries, store.Item{Key: fmt.Sprintf("small:%d", i), Value: []byte("v")})
	}
	if err := d.SetMany(context.Background(), entries, 0); err != nil {
		b.Fatal(err)
	}
	for _, prefix := range []string{"small:", "large:"} {
		b.Run(prefix, func(b *testing.B) {
			for b.Loop() {
				if page, err := d.List(context.Background(), prefix, "", 100); err != nil || len(page.Keys) != 100 {
					b.Fatal(len(page.Keys), err)
				}
			}
		})
	}
}
