package bench

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/natsstore"
	"github.com/luastore/store/internal/natstest"
)

// natsOpener returns the opener of a URL.
func natsOpener(b *testing.B, url string) store.Opener {
	b.Helper()
	o, err := natsstore.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	return natsstore.Opener(o)
}

// BenchmarkNATS prints the table of JetStream beside the same messages by its client alone: of a bucket on one server, and of one with
// three replicas whose reads are leased, as otherwise the driver sends messages that the client alone does not.
func BenchmarkNATS(b *testing.B) {
	server := natstest.Start(b, nil)
	show(b, natsTable(b, "NATS, one replica, beside the same messages by jetstream", server.URL(), server.Bucket))
	cluster := natstest.StartCluster(b, 3)
	show(b, natsTable(b, "NATS, three replicas on one machine, leased reads, beside the same messages by jetstream", cluster.URL()+"&reads=lease", cluster.Bucket))
}

func natsTable(b *testing.B, title, url, bucket string) *table {
	s := openSubject(b, natsOpener(b, url))
	s.fill(b)
	nc, err := nats.Connect(servers(url))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	stream, err := js.Stream(context.Background(), "KV_"+bucket)
	if err != nil {
		b.Fatal(err)
	}
	subject := func(key string) string { return "$KV." + bucket + "." + strings.ReplaceAll(key, ":", ".") }
	t := &table{title: title}
	addContests(t, "jetstream", 0.8, contests(s,
		func(ctx context.Context, key string) error {
			_, err := stream.GetLastMsgForSubject(ctx, subject(key))
			return err
		},
		func(ctx context.Context, key string) error {
			_, err := js.PublishMsg(ctx, &nats.Msg{Subject: subject(key), Header: nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}}, Data: freshValue()})
			return err
		}))
	return t
}

// servers is a URL without its bucket, as the client takes it.
func servers(url string) string {
	rest, _, _ := strings.Cut(strings.TrimPrefix(url, "nats://"), "/")
	return rest
}
