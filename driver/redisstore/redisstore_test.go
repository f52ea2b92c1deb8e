package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/value"
)

func TestDriver_StoresTheValueAndNothingElse(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, v := range [][]byte{every, {}, {0}, []byte("\r\n$-1\r\n")} {
		if err := d.Set(ctx, "k:\x7f \"é", v, 0); err != nil {
			t.Fatal(err)
		}
		if got := server.Do(t, "GET", "k:\x7f \"é"); got != string(v) {
			t.Errorf("Redis holds %q, want %q", got, v)
		}
		got, err := d.Get(ctx, "k:\x7f \"é")
		if err != nil || !bytes.Equal(got, v) || got == nil {
			t.Errorf("Get = %q, %v, want %q and not nil", got, err, v)
		}
	}
}

func TestDriver_TTL_IsRoundedUpToMilliseconds(t *testing.T) {
	var sent atomic.Pointer[[]string]
	p := startPuppet(t, nil, func(command []string) string { sent.Store(&command); return "+OK\r\n" })
	d, ctx := openURL(t, "redis://"+p.addr), testContext(t)
	for name, op := range map[string]func(ttl time.Duration){
		"set":      func(ttl time.Duration) { d.Set(ctx, "k:1", nil, ttl) },
		"set many": func(ttl time.Duration) { d.SetMany(ctx, []store.Item{{Key: "k:1"}}, ttl) },
		"touch":    func(ttl time.Duration) { d.Touch(ctx, "k:1", ttl) },
		"create":   func(ttl time.Duration) { d.CompareAndSwap(ctx, "k:1", nil, []byte{}, ttl) },
		"swap":     func(ttl time.Duration) { d.CompareAndSwap(ctx, "k:1", []byte{}, []byte{}, ttl) },
		"incr":     func(ttl time.Duration) { d.Incr(ctx, "k:1", 1, 0, ttl) },
	} {
		for ttl, want := range map[time.Duration]string{
			time.Millisecond: "1", time.Millisecond + 1: "2", 1500 * time.Microsecond: "2",
			store.MaxTTL: "3153600000000", store.MaxTTL - 1: "3153600000000",
		} {
			if op(ttl); !slices.Contains(*sent.Load(), want) {
				t.Errorf("%s with a ttl of %v sent %q, want %s", name, ttl, *sent.Load(), want)
			}
		}
	}
}

func TestDriver_TTL_OfAnEntryAboutToExpire_IsNeverZero(t *testing.T) {
	d, ctx := openURL(t, redistest.Shared(t).URL()), testContext(t)
	for range 5 {
		d.Set(ctx, "k:1", []byte("v"), 15*time.Millisecond)
		for {
			ttl, err := d.TTL(ctx, "k:1")
			if errors.Is(err, store.ErrNotFound) {
				break
			}
			if err != nil || ttl < time.Millisecond {
				t.Fatalf("TTL = %v, %v", ttl, err)
			}
			if _, ttl, err := d.Entry(ctx, "k:1"); !errors.Is(err, store.ErrNotFound) && (err != nil || ttl < time.Millisecond) {
				t.Fatalf("Entry ttl = %v, %v", ttl, err)
			}
		}
	}
	if ttl, err := timeLeft(0); ttl != time.Millisecond || err != nil {
		t.Errorf("PTTL 0 is %v, %v, want 1ms", ttl, err)
	}
}

func TestDriver_Touch_ReportsExistence(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	server.Do(t, "SET", "k:forever", "v")
	server.Do(t, "SET", "k:expires", "v", "PX", "100000")
	for key, want := range map[string]bool{"k:forever": true, "k:expires": true, "k:none": false} {
		for _, ttl := range []time.Duration{store.KeepTTL, 0, 0, time.Hour, store.KeepTTL} {
			if got, err := d.Touch(ctx, key, ttl); got != want || err != nil {
				t.Errorf("Touch(%s, %v) = %v, %v, want %v", key, ttl, got, err, want)
			}
		}
	}
}

func TestDriver_OtherTypes(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	for kind, command := range map[string][]string{
		"list": {"RPUSH", "k:x", "a"}, "hash": {"HSET", "k:x", "f", "v"}, "set": {"SADD", "k:x", "a"},
		"zset": {"ZADD", "k:x", "1", "a"}, "stream": {"XADD", "k:x", "*", "f", "v"},
	} {
		t.Run(kind, func(t *testing.T) {
			put := func() { server.Do(t, "DEL", "k:x"); server.Do(t, command...) }
			put()
			server.Do(t, "SET", "k:fine", "v")
			corrupt := map[string]error{}
			_, corrupt["get"] = d.Get(ctx, "k:x")
			_, _, corrupt["entry"] = d.Entry(ctx, "k:x")
			_, corrupt["incr"] = d.Incr(ctx, "k:x", 1, 0, 0)
			_, corrupt["swap"] = d.CompareAndSwap(ctx, "k:x", []byte("a"), []byte("b"), 0)
			_, corrupt["swap to delete"] = d.CompareAndSwap(ctx, "k:x", []byte("a"), nil, 0)
			var values [][]byte
			values, corrupt["get many"] = d.GetMany(ctx, []string{"k:none", "k:x", "k:fine"})
			if len(values) != 3 || values[0] != nil || values[1] != nil || string(values[2]) != "v" {
				t.Errorf("GetMany = %q, want what did not fail", values)
			}
			server.Do(t, "DEL", "k:fine")
			for op, err := range corrupt {
				if !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("%s: %v, want a corrupt value", op, err)
				}
			}
			var batch *store.BatchError
			if !errors.As(corrupt["get many"], &batch) || !slices.Equal(batch.Keys(), []string{"k:x"}) {
				t.Errorf("the batch names %v", corrupt["get many"])
			}
			if has, err := d.Has(ctx, "k:x"); !has || err != nil {
				t.Errorf("Has = %v, %v: something is there", has, err)
			}
			if swapped, err := d.CompareAndSwap(ctx, "k:x", nil, []byte("b"), 0); swapped || err != nil {
				t.Errorf("swap if absent = %v, %v: it is not absent", swapped, err)
			}
			if page, err := d.List(ctx, "k:", "", 10); len(page.Keys) != 0 || err != nil {
				t.Errorf("List = %v, %v", page, err)
			}
			if err := d.Set(ctx, "k:x", []byte("v"), 0); err != nil {
				t.Errorf("Set: %v", err)
			}
			put()
			if existed, err := d.Delete(ctx, "k:x"); !existed || err != nil {
				t.Errorf("Delete = %v, %v", existed, err)
			}
		})
	}
}

func TestDriver_Batches(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	entries := []store.Item{{Key: "k:1", Value: []byte("a")}, {Key: "k:2", Value: []byte{}}, {Key: "j:{3}", Value: []byte("c\x00")}}
	if err := d.SetMany(ctx, entries, time.Hour); err != nil {
		t.Fatal(err)
	}
	values, err := d.GetMany(ctx, []string{"j:{3}", "k:none", "k:2", "k:1"})
	if err != nil || len(values) != 4 || string(values[0]) != "c\x00" || values[1] != nil || values[2] == nil || string(values[3]) != "a" {
		t.Errorf("GetMany = %q, %v", values, err)
	}
	for _, e := range entries {
		if ttl, err := d.TTL(ctx, e.Key); ttl <= 0 || ttl > time.Hour {
			t.Errorf("TTL(%s) = %v, %v", e.Key, ttl, err)
		}
	}
	if n, err := d.DeleteMany(ctx, []string{"k:1", "k:none", "j:{3}"}); n != 2 || err != nil {
		t.Errorf("DeleteMany = %d, %v", n, err)
	}
	if n, err := d.DeleteMany(ctx, nil); n != 0 || err != nil {
		t.Errorf("DeleteMany of nothing = %d, %v", n, err)
	}
}

func TestDriver_ScriptsForgottenByTheServer_AreSentAgain(t *testing.T) {
	server := redistest.Start(t, nil)
	d, ctx := openURL(t, server.URL()), testContext(t)
	for want := 1.0; want <= 3; want++ {
		if got, err := d.Incr(ctx, "k:n", 1, 0, 0); got != want || err != nil {
			t.Fatalf("Incr = %v, %v, want %v", got, err, want)
		}
		server.Do(t, "SCRIPT", "FLUSH")
	}
}

func TestDriver_FullServer_RefusesWritesAndServesReads(t *testing.T) {
	server := redistest.Start(t, nil)
	d, ctx := openURL(t, server.URL()), testContext(t)
	number := value.AppendNumber(nil, 1)
	d.Set(ctx, "k:n", number, 0)
	d.Touch(ctx, "k:n", 0)
	d.Incr(ctx, "k:n", 0, 0, 0)
	server.Do(t, "CONFIG", "SET", "maxmemory", "1")
	_, incr := d.Incr(ctx, "k:n", 1, 0, 0)
	_, swap := d.CompareAndSwap(ctx, "k:n", number, []byte("b"), 0)
	_, absent := d.CompareAndSwap(ctx, "k:m", nil, []byte("b"), 0)
	many := d.SetMany(ctx, []store.Item{{Key: "k:m", Value: number}}, 0)
	for op, err := range map[string]error{"set": d.Set(ctx, "k:m", nil, 0), "incr": incr, "swap": swap, "swap absent": absent, "set many": many} {
		if store.Kind(err) != "full" || !strings.Contains(err.Error(), "store full") {
			t.Errorf("%s: %v, want store full", op, err)
		}
	}
	if got, err := d.Get(ctx, "k:n"); !bytes.Equal(got, number) || err != nil {
		t.Errorf("Get = %q, %v", got, err)
	}
	if existed, err := d.Delete(ctx, "k:n"); !existed || err != nil {
		t.Errorf("Delete = %v, %v", existed, err)
	}
}

func TestDriver_ReadOnlyReplica_IsUnavailableForWrites(t *testing.T) {
	server := redistest.Start(t, nil)
	d, ctx := openURL(t, server.URL()), testContext(t)
	server.Do(t, "REPLICAOF", "127.0.0.1", "1")
	_, incr := d.Incr(ctx, "k:n", 1, 0, 0)
	_, persist := d.Touch(ctx, "k:n", 0)
	for op, err := range map[string]error{"set": d.Set(ctx, "k:m", nil, 0), "incr": incr, "persist": persist} {
		if store.Kind(err) != "unavailable" {
			t.Errorf("%s: %v, want unavailable", op, err)
		}
	}
}

func TestDriver_ACLUser_IsDeniedByKind(t *testing.T) {
	server := redistest.Start(t, nil)
	server.Do(t, "ACL", "SETUSER", "reader", "on", ">s3cret", "~k:*", "+get", "+hello")
	d, ctx := openURL(t, "redis://reader:s3cret@"+server.Addr()), testContext(t)
	if _, err := d.Get(ctx, "k:1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an allowed command: %v", err)
	}
	_, other := d.Get(ctx, "other:1")
	for op, err := range map[string]error{"command": d.Set(ctx, "k:1", nil, 0), "key": other} {
		if store.Kind(err) != "denied" || !strings.HasPrefix(err.Error(), "permission denied: ") {
			t.Errorf("%s: %v, want denied", op, err)
		}
	}
}

func TestOpen_UnixSocket(t *testing.T) {
	server := redistest.Start(t, nil)
	for _, scheme := range []string{"redis+unix", "valkey+unix", "unix"} {
		d, ctx := openURL(t, scheme+"://"+server.Socket()+"?db=3"), testContext(t)
		if err := d.Set(ctx, "k:1", []byte(scheme), 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.Do(t, "INFO", "keyspace"); !strings.Contains(got, "db3:keys=1") {
		t.Errorf("the database was not chosen: %s", got)
	}
}

func TestOpen_TLS(t *testing.T) {
	server := redistest.Start(t, &redistest.Options{TLS: true})
	d, ctx := openURL(t, server.URL()), testContext(t)
	if err := d.Set(ctx, "k:1", bytes.Repeat([]byte("v"), 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	if v, err := d.Get(ctx, "k:1"); len(v) != 1<<20 || err != nil {
		t.Errorf("Get = %d bytes, %v", len(v), err)
	}
	files := fmt.Sprintf("&cert=%s&key=%s", server.CertFile, server.KeyFile)
	for name, url := range map[string]string{
		"unknown authority":     "rediss://" + server.Addr() + "?dial_timeout=9s" + files,
		"wrong name":            "rediss://" + server.Addr() + "?server_name=elsewhere&ca=" + server.CAFile + files,
		"no client":             "rediss://" + server.Addr() + "?ca=" + server.CAFile,
		"plain to a TLS port":   "redis://" + server.Addr(),
		"TLS to a plain port":   "rediss://" + redistest.Shared(t).Addr() + "?ca=" + server.CAFile,
		"another name it bears": "rediss://" + server.Addr() + "?server_name=localhost&ca=" + server.CAFile + files,
	} {
		o := must(ParseURL(url))(t)
		d, err := open(ctx, o.target())
		if name == "another name it bears" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			d.Close()
		} else if store.Kind(err) != "unavailable" {
			t.Errorf("%s: %v, want unavailable", name, err)
		}
	}
}

func TestOpen_TLSFiles_ThatCannotBeRead_AreInvalid(t *testing.T) {
	for _, query := range []string{"ca=/no/such", "ca=/dev/null", "cert=/no/such&key=/no/such"} {
		o := must(ParseURL("rediss://127.0.0.1:1?" + query))(t)
		if _, err := open(testContext(t), o.target()); store.Kind(err) != "invalid" {
			t.Errorf("%s: %v, want invalid", query, err)
		}
	}
}

func TestOpener_EqualOptions_AreOneConnection(t *testing.T) {
	connection := func(url string) any { return Opener(must(ParseURL(url))(t)).Connection }
	if connection("redis://u:p@h:1/2") != connection("redis://u:p@h:1?db=2") {
		t.Error("two spellings are two connections")
	}
	if Opener(nil).Connection != connection("redis://127.0.0.1:6379/0?dial_timeout=5s") {
		t.Error("defaults spelt out are another connection")
	}
	for _, other := range []string{"redis://u:q@h:1/2", "redis://v:p@h:1/2", "redis://u:p@h:1/3", "rediss://u:p@h:1/2"} {
		if connection("redis://u:p@h:1/2") == connection(other) {
			t.Errorf("%s is the same connection", other)
		}
	}
}

func TestOpen_DeadServer_IsUnavailable(t *testing.T) {
	server := redistest.Start(t, nil)
	server.Kill()
	before := goleak.IgnoreCurrent()
	_, err := Opener(must(ParseURL(server.URL()))(t)).Open(testContext(t))
	if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), server.Addr()) {
		t.Errorf("got %v", err)
	}
	goleak.VerifyNone(t, before)
}

func TestDriver_ServerRestart_IsHealedByTheDriver(t *testing.T) {
	server := redistest.Start(t, nil)
	for _, callers := range []int{1, 8} {
		t.Run(fmt.Sprint(callers, " callers"), func(t *testing.T) {
			d, ctx := openURL(t, server.URL()), testContext(t)
			use := func() error {
				errs := make(chan error)
				for range callers {
					go func() { errs <- d.Set(ctx, "k:1", []byte("v"), 0) }()
				}
				var failed error
				for range callers {
					if err := <-errs; err != nil {
						failed = err
					}
				}
				return failed
			}
			if err := use(); err != nil {
				t.Fatal(err)
			}
			server.Kill()
			eventually(t, "the driver noticed", func() bool { return use() != nil })
			if kind := store.Kind(use()); kind != "unavailable" {
				t.Errorf("a write to a dead server is %s, want unavailable: it was not sent", kind)
			}
			server.Restart(t)
			eventually(t, "the driver recovered", func() bool { return use() == nil })
		})
	}
}

func TestDriver_Close(t *testing.T) {
	server := redistest.Shared(t)
	before := goleak.IgnoreCurrent()
	d := must(open(testContext(t), must(ParseURL(server.URL()))(t).target()))(t)
	ctx := testContext(t)
	done := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				err := d.Set(ctx, "k:1", []byte("v"), 0)
				if kind := store.Kind(err); err != nil {
					if kind != "unavailable" && kind != "unknown_outcome" {
						t.Errorf("a call beside Close: %v", err)
					}
					return
				}
			}
		}()
	}
	d.Close()
	d.Close()
	for range 8 {
		<-done
	}
	_, get := d.Get(ctx, "k:1")
	_, list := d.List(ctx, "", "", 1)
	_, many := d.GetMany(ctx, []string{"k:1"})
	for op, err := range map[string]error{"get": get, "list": list, "many": many, "set": d.Set(ctx, "k:1", nil, 0)} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s after Close: %v", op, err)
		}
	}
	goleak.VerifyNone(t, before)
}

func TestDriver_ContextThatEndedBefore_SendsNothing(t *testing.T) {
	server := redistest.Shared(t)
	d := openURL(t, server.URL())
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	for kind, ctx := range map[string]context.Context{"canceled": canceled, "timeout": late} {
		_, get := d.Get(ctx, "k:1")
		_, incr := d.Incr(ctx, "k:1", 1, 0, 0)
		many := d.SetMany(ctx, []store.Item{{Key: "k:1"}}, 0)
		for op, err := range map[string]error{"get": get, "set": d.Set(ctx, "k:1", nil, 0), "incr": incr, "set many": many} {
			if store.Kind(err) != kind || !errors.Is(err, ctx.Err()) {
				t.Errorf("%s: %v, want %s", op, err, kind)
			}
		}
	}
	if got := server.Do(t, "EXISTS", "k:1"); got != "0" {
		t.Error("something was written")
	}
}

func TestDriver_OneConnectionForAllCallers(t *testing.T) {
	server := redistest.Start(t, nil)
	d, ctx := openURL(t, server.URL()+"?client_name=luastore-test"), testContext(t)
	done := make(chan struct{})
	for range 2_000 {
		go func() { d.Set(ctx, "k:1", []byte("v"), 0); done <- struct{}{} }()
	}
	for range 2_000 {
		<-done
	}
	if got := strings.Count(server.Do(t, "CLIENT", "LIST"), "name=luastore-test"); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	if commands := only(d).live.Load().commands.Load(); len(only(d).slots) != 0 || commands != 0 {
		t.Errorf("%d slots and %d commands are still taken", len(only(d).slots), commands)
	}
}
