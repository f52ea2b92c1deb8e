package natsstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
)

// stream returns the stream of a bucket as a plain client sees it.
func stream(t testing.TB, s *natstest.Server) jetstream.Stream {
	t.Helper()
	js := must(jetstream.New(s.Conn(t)))(t)
	return must(js.Stream(testContext(t), "KV_"+s.Bucket))(t)
}

func TestBucket_IsMadeAsAskedFor(t *testing.T) {
	server := natstest.Shared(t)
	d := openURL(t, server.URL()+"?storage=memory&max_bytes=123456&replicas=1")
	c := stream(t, server).CachedInfo().Config
	if c.Storage != jetstream.MemoryStorage || c.MaxBytes != 123456 || c.Replicas != 1 || c.MaxMsgsPerSubject != history || c.AllowDirect ||
		c.Discard != jetstream.DiscardNew || !c.AllowMsgTTL || c.MaxAge != 0 || len(c.Subjects) != 1 || c.Subjects[0] != "$KV."+server.Bucket+".>" {
		t.Errorf("made %+v", c)
	}
	if err := d.Set(testContext(t), "t:k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	other := openURL(t, server.URL())
	if v, err := other.Get(testContext(t), "t:k"); string(v) != "v" || err != nil {
		t.Errorf("without parameters the bucket is taken as it is: %q, %v", v, err)
	}
}

func TestBucket_ByDefault_IsInFilesOnOneServer(t *testing.T) {
	server := natstest.Shared(t)
	openURL(t, server.URL())
	c := stream(t, server).CachedInfo().Config
	if c.Storage != jetstream.FileStorage || c.MaxBytes != -1 || c.Replicas != 1 {
		t.Errorf("made %+v", c)
	}
}

func TestBucket_Missing_IsNotMadeWithCreateFalse(t *testing.T) {
	server := natstest.Shared(t)
	o := must(ParseURL(server.URL() + "?create=false"))(t)
	_, err := open(testContext(t), o.target())
	if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "create=false") {
		t.Errorf("got %v", err)
	}
	openURL(t, server.URL())
	openOptions(t, o)
}

func TestBucket_ThatDiffersFromTheParameters_IsRefused(t *testing.T) {
	server := natstest.Shared(t)
	openURL(t, server.URL())
	for query, want := range map[string]string{
		"replicas=3": "--replicas=3", "storage=memory": "its storage is file", "max_bytes=1000": "--max-bytes=1000",
	} {
		o := must(ParseURL(server.URL() + "?" + query))(t)
		if _, err := open(testContext(t), o.target()); store.Kind(err) != "invalid" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want invalid with %q", query, err, want)
		}
	}
}

// Each is a setting of a real server's bucket with which this driver would break its word.
func TestBucket_ThatDoesNotFit_IsRefusedAndToldWhy(t *testing.T) {
	for want, change := range map[string]func(c *jetstream.StreamConfig){
		"--no-allow-direct":         func(c *jetstream.StreamConfig) { c.AllowDirect = true },
		"--max-msgs-per-subject=64": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"allow_rollup_hdrs":         func(c *jetstream.StreamConfig) { c.AllowRollup = false },
		"deny_purge":                func(c *jetstream.StreamConfig) { c.AllowRollup, c.DenyPurge = false, true },
		"--max-age=0":               func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"--allow-msg-ttl":           func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false },
		"subject_delete_marker_ttl": func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL = time.Minute },
		"--max-msgs=-1":             func(c *jetstream.StreamConfig) { c.MaxMsgs = 100 },
		"--discard=new":             func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"discard_new_per_subject":   func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = true },
		"retention":                 func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"subjects":                  func(c *jetstream.StreamConfig) { c.Subjects = []string{"$KV." + c.Name[3:] + ".*"} },
		"acknowledges nothing":      func(c *jetstream.StreamConfig) { c.NoAck = true },
		"changes subjects": func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "$KV." + c.Name[3:] + ".a.>", Destination: "$KV." + c.Name[3:] + ".b.>"}
		},
	} {
		t.Run(want, func(t *testing.T) {
			server := natstest.Shared(t)
			config := jetstream.StreamConfig{
				Name: "KV_" + server.Bucket, Subjects: []string{"$KV." + server.Bucket + ".>"}, MaxMsgsPerSubject: history, Discard: jetstream.DiscardNew,
				AllowMsgTTL: true, AllowRollup: true,
			}
			change(&config)
			must(must(jetstream.New(server.Conn(t)))(t).CreateStream(testContext(t), config))(t)
			o := must(ParseURL(server.URL()))(t)
			if _, err := open(testContext(t), o.target()); store.Kind(err) != "invalid" || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want invalid with %q", err, want)
			}
		})
	}
}

func TestBucket_OfSeveralReplicasThatDeniesDeletion_IsRefused(t *testing.T) {
	p := startPuppet(t, func(came post) string {
		if came.is("STREAM.INFO") {
			return infoOf(func(c *streamConfig) { c.Replicas, c.DenyDelete = 3, true })
		}
		return ""
	})
	_, err := open(testContext(t), must(ParseURL("nats://"+p.addr+"/b"))(t).target())
	if store.Kind(err) != "invalid" || !strings.Contains(err.Error(), "deny_delete") {
		t.Errorf("got %v", err)
	}
}

func TestBucket_MadeByManyAtOnce_IsOne(t *testing.T) {
	server := natstest.Shared(t)
	o := must(ParseURL(server.URL()))(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			d, err := open(testContext(t), o.target())
			if err != nil {
				t.Error(err)
				return
			}
			defer d.Close()
			if err := d.Set(testContext(t), fmt.Sprint("t:", i), nil, 0); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if page, err := openOptions(t, o).List(testContext(t), "", "", 100); len(page.Keys) != 8 || err != nil {
		t.Errorf("List = %v, %v", page.Keys, err)
	}
}

func TestBucket_ThatIsDeletedMeanwhile_IsUnavailable(t *testing.T) {
	server := natstest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	js := must(jetstream.New(server.Conn(t)))(t)
	if err := js.DeleteStream(ctx, "KV_"+server.Bucket); err != nil {
		t.Fatal(err)
	}
	reads, writes := everyOp(ctx, d)
	for _, errs := range []map[string]error{reads, writes} {
		for op, err := range errs {
			if store.Kind(err) != "unavailable" {
				t.Errorf("%s: %v, want unavailable", op, err)
			}
		}
	}
}

func TestBucket_OnAnOldServer_IsNotMade(t *testing.T) {
	p := startPuppet(t, func(came post) string {
		if came.is("STREAM.INFO") {
			return `{"error":{"code":404,"err_code":10059,"description":"stream not found"}}`
		}
		return ""
	})
	p.version.Store("2.10.27")
	_, err := open(testContext(t), must(ParseURL("nats://"+p.addr+"/b"))(t).target())
	if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "2.11 or later") {
		t.Errorf("got %v", err)
	}
}

func TestEntries_AreThoseOfAKeyValueBucket(t *testing.T) {
	server := natstest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	kv := must(must(jetstream.New(server.Conn(t)))(t).KeyValue(ctx, server.Bucket))(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for key, v := range map[string][]byte{"sessions:u1": every, "a:b:c": {}, "a:b c": []byte("\r\n+OK\r\n")} {
		if err := d.Set(ctx, key, v, time.Hour); err != nil {
			t.Fatal(err)
		}
		got, err := kv.Get(ctx, string(appendKey(nil, key)))
		if err != nil || string(got.Value()) != string(v) {
			t.Errorf("another client reads %q, %v under %q", got, err, key)
		}
	}
	must(kv.Put(ctx, "by.others", []byte("v")))(t)
	if v, ttl, err := d.Entry(ctx, "by:others"); string(v) != "v" || ttl != 0 || err != nil {
		t.Errorf("Entry = %q, %v, %v", v, ttl, err)
	}
	for name, remove := range map[string]func() error{
		"delete": func() error { return kv.Delete(ctx, "by.others") }, "purge": func() error { return kv.Purge(ctx, "by.others") },
	} {
		must(kv.Put(ctx, "by.others", []byte("v")))(t)
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Get(ctx, "by:others"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after %s by another client: %v", name, err)
		}
		if created, err := d.CompareAndSwap(ctx, "by:others", nil, []byte("w"), 0); !created || err != nil {
			t.Errorf("swap if absent after %s: %v, %v", name, created, err)
		}
	}
	if existed, err := d.Delete(ctx, "sessions:u1"); !existed || err != nil {
		t.Fatal(existed, err)
	}
	if _, err := kv.Get(ctx, "sessions.u1"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("another client reads what was deleted: %v", err)
	}
}

func TestServer_ReclaimsWhatIsDeletedAndExpired(t *testing.T) {
	server := natstest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	for i := range 10 {
		d.Set(ctx, fmt.Sprint("t:deleted", i), []byte("v"), 0)
		d.Set(ctx, fmt.Sprint("t:expired", i), []byte("v"), time.Millisecond)
		d.Delete(ctx, fmt.Sprint("t:deleted", i))
	}
	d.Set(ctx, "t:live", []byte("v"), 0)
	s := stream(t, server)
	eventually(t, "only the live entry is stored", func() bool {
		info, err := s.Info(ctx)
		return err == nil && info.State.Msgs == 1
	})
}

func TestHeaders_TellWhenAnEntryEnds(t *testing.T) {
	server := natstest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	for ttl, want := range map[time.Duration]string{time.Millisecond: "6", time.Second: "6", time.Second + 1: "7", time.Hour: "3605", store.MaxTTL: "3153600005"} {
		if err := d.Set(ctx, "t:k", nil, ttl); err != nil {
			t.Fatal(err)
		}
		m := must(stream(t, server).GetLastMsgForSubject(ctx, d.subject("t:k")))(t)
		var ms int64
		json.Unmarshal([]byte(m.Header.Get(headerExpires)), &ms)
		left := time.Until(time.UnixMilli(ms))
		if m.Header.Get(headerTTL) != want || left > ttl+time.Second || left < ttl-time.Minute {
			t.Errorf("a ttl of %v has the headers %v", ttl, m.Header)
		}
	}
	d.Set(ctx, "t:k", nil, 0)
	if m := must(stream(t, server).GetLastMsgForSubject(ctx, d.subject("t:k")))(t); m.Header.Get(headerExpires)+m.Header.Get(headerTTL) != "" {
		t.Errorf("an entry for ever has the headers %v", m.Header)
	}
}
