package natsstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
	"github.com/luastore/store/internal/servertest"
)

func TestFullBucket_RefusesAndLetsDelete(t *testing.T) {
	for name, url := range map[string]string{"one": natstest.Shared(t).URL(), "three": natstest.SharedCluster(t).URL()} {
		t.Run(name, func(t *testing.T) {
			separator := "?"
			if strings.Contains(url, "?") {
				separator = "&"
			}
			d, ctx := openURL(t, url+separator+"max_bytes=20000"), testContext(t)
			v := make([]byte, 1000)
			n := 0
			var err error
			for ; err == nil && n < 100; n++ {
				err = d.Set(ctx, fmt.Sprint("t:", n), v, 0)
			}
			if store.Kind(err) != "full" {
				t.Fatalf("set %d: %v, want full", n, err)
			}
			for i := 0; err == nil || i < 1000; i++ { // until there is not even room for a tombstone
				if err = d.Set(ctx, fmt.Sprint("small:", i), nil, 0); err != nil {
					break
				}
			}
			_, incr := d.Incr(ctx, "t:n", 1, 0, 0)
			_, swap := d.CompareAndSwap(ctx, "t:new", nil, v, 0)
			many := d.SetMany(ctx, []store.Item{{Key: "t:new", Value: v}}, 0)
			for op, err := range map[string]error{"incr": incr, "swap": swap, "set many": many} {
				if store.Kind(err) != "full" {
					t.Errorf("%s: %v, want full", op, err)
				}
			}
			if v, err := d.Get(ctx, "t:0"); len(v) != 1000 || err != nil {
				t.Errorf("a full bucket cannot be read: %v", err)
			}
			if existed, err := d.Delete(ctx, "t:0"); !existed || err != nil {
				t.Errorf("Delete = %v, %v", existed, err)
			}
			if existed, err := d.Delete(ctx, "t:0"); existed || err != nil {
				t.Errorf("Delete again = %v, %v", existed, err)
			}
			if deleted, err := d.DeleteMany(ctx, []string{"t:1", "t:2", "t:none"}); deleted != 2 || err != nil {
				t.Errorf("DeleteMany = %d, %v", deleted, err)
			}
			if created, err := d.CompareAndSwap(ctx, "t:0", nil, v, 0); !created || err != nil {
				t.Errorf("there is no room after a deletion: %v, %v", created, err)
			}
		})
	}
}

func TestValueBeyondTheServersLimit_IsTooLargeAndNotSent(t *testing.T) {
	server := natstest.Start(t, &natstest.Options{Config: "max_payload: 5000"})
	d, ctx := openURL(t, server.URL()), testContext(t)
	most := d.Info().MaxValueBytes
	if most < 4000 || most > 5000 {
		t.Errorf("MaxValueBytes is %d of a max_payload of 5000", most)
	}
	v := bytes.Repeat([]byte("x"), most+1)
	l := d.live.Load()
	for _, fits := range []int{0, most} {
		if err := d.Set(ctx, "t:"+strings.Repeat("x", 1022), v[:fits], store.MaxTTL); err != nil {
			t.Errorf("a value of %d bytes: %v", fits, err)
		}
	}
	if swapped, err := d.CompareAndSwap(ctx, "t:"+strings.Repeat("x", 1022), v[:most], v[:most], store.KeepTTL); !swapped || err != nil {
		t.Errorf("a swap of the longest value: %v, %v", swapped, err)
	}
	many := d.SetMany(ctx, []store.Item{{Key: "t:a", Value: v}, {Key: "t:b", Value: v[:1]}}, 0)
	var batch *store.BatchError
	if !errors.As(many, &batch) || len(batch.Errs) != 1 || store.Kind(many) != "too_large" {
		t.Errorf("a batch with one of them: %v", many)
	}
	if err := d.Set(ctx, "t:k", v, 0); store.Kind(err) != "too_large" {
		t.Errorf("one byte more: %v", err)
	}
	if d.live.Load() != l {
		t.Error("the connection did not survive it")
	}
}

func TestPermissions_ThatLack_AreDeniedSoon(t *testing.T) {
	server := natstest.Start(t, &natstest.Options{Config: `authorization { users: [
		{ user: all, password: p },
		{ user: reader, password: p, permissions: { publish: { deny: ["$KV.>"] } } },
		{ user: writer, password: p, permissions: { publish: { deny: ["$JS.API.STREAM.MSG.GET.>"] } } },
		{ user: deaf, password: p, permissions: { subscribe: { deny: ["_INBOX.>"] } } },
		{ user: own, password: p, permissions: { subscribe: { allow: ["_INBOX_own.>"] } } },
	] }`})
	as := func(user string) string { return strings.Replace(server.URL(), "://", "://"+user+":p@", 1) }
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	all := openURL(t, as("all"))
	if err := all.Set(ctx, "t:k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	reader := openURL(t, as("reader"))
	if v, err := reader.Get(ctx, "t:k"); string(v) != "v" || err != nil {
		t.Errorf("a reader reads: %q, %v", v, err)
	}
	_, deleted := reader.Delete(ctx, "t:k")
	_, incr := reader.Incr(ctx, "t:n", 1, 0, 0)
	_, read := openURL(t, as("writer")).Get(ctx, "t:k")
	_, opened := open(ctx, must(ParseURL(as("deaf")))(t).target())
	for op, err := range map[string]error{
		"set": reader.Set(ctx, "t:k", nil, 0), "delete": deleted, "incr": incr, "get": read, "open": opened,
		"set many": reader.SetMany(ctx, []store.Item{{Key: "t:k"}}, 0),
	} {
		if store.Kind(err) != "denied" {
			t.Errorf("%s: %v, want denied", op, err)
		}
	}
	if v, err := openURL(t, as("own")+"?inbox_prefix=_INBOX_own").Get(ctx, "t:k"); string(v) != "v" || err != nil {
		t.Errorf("with an inbox of its own: %q, %v", v, err)
	}
}

func TestLogin_InEveryWay(t *testing.T) {
	secret := servertest.Password()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server natstest.Options
		with   func(s *natstest.Server, o *Options)
	}{
		"user":       {natstest.Options{User: "u", Password: secret}, func(_ *natstest.Server, o *Options) { o.Username, o.Password = "u", secret }},
		"token":      {natstest.Options{Token: secret}, func(_ *natstest.Server, o *Options) { o.Token = secret }},
		"token file": {natstest.Options{Token: secret}, func(_ *natstest.Server, o *Options) { o.TokenFile = file }},
		"nkey":       {natstest.Options{NKey: true}, func(s *natstest.Server, o *Options) { o.NKeyFile = s.SeedFile }},
		"creds":      {natstest.Options{Creds: true}, func(s *natstest.Server, o *Options) { o.CredsFile = s.CredsFile }},
		"TLS with a certificate": {natstest.Options{TLS: true}, func(s *natstest.Server, o *Options) {
			o.TLS, o.CAFile, o.CertFile, o.KeyFile = true, s.CAFile, s.CertFile, s.KeyFile
		}},
	} {
		t.Run(name, func(t *testing.T) {
			server := natstest.Start(t, &c.server)
			o := Options{Servers: server.Addr(), Bucket: server.Bucket}
			if _, err := open(testContext(t), o.target()); store.Kind(err) != "unavailable" {
				t.Errorf("without: %v, want unavailable", err)
			}
			c.with(server, &o)
			d := openOptions(t, &o)
			if err := d.Set(testContext(t), "t:k", nil, 0); err != nil {
				t.Error(err)
			}
			server.Restart(t)
			eventually(t, "the driver is connected again", func() bool { return d.Set(testContext(t), "t:k", nil, 0) == nil })
		})
	}
}

func TestTLS_VerifiesTheServer(t *testing.T) {
	server := natstest.Start(t, &natstest.Options{TLS: true})
	right := Options{Servers: server.Addr(), Bucket: server.Bucket, TLS: true, CAFile: server.CAFile, CertFile: server.CertFile, KeyFile: server.KeyFile}
	openOptions(t, &right)
	for name, change := range map[string]func(o *Options){
		"another name":          func(o *Options) { o.ServerName = "other.example" },
		"unknown authority":     func(o *Options) { o.CAFile = "" },
		"no client certificate": func(o *Options) { o.CertFile, o.KeyFile = "", "" },
		"no TLS":                func(o *Options) { *o = Options{Servers: o.Servers, Bucket: o.Bucket} },
	} {
		o := right
		change(&o)
		if _, err := open(testContext(t), o.target()); store.Kind(err) != "unavailable" {
			t.Errorf("%s: %v, want unavailable", name, err)
		}
	}
	plain := natstest.Shared(t)
	o := right
	o.Servers = strings.TrimPrefix(strings.TrimSuffix(plain.URL(), "/"+plain.Bucket), "nats://")
	if _, err := open(testContext(t), o.target()); store.Kind(err) != "unavailable" {
		t.Errorf("a server without TLS: %v, want unavailable", err)
	}
}

func TestFiles_ThatAreMissingOrWrong_AreInvalid(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("SUAHUNTER2hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startPuppet(t, func(post) string { return "" })
	missing := filepath.Join(dir, "missing")
	for _, o := range []Options{
		{CredsFile: missing}, {CredsFile: garbage}, {NKeyFile: missing}, {NKeyFile: garbage}, {TokenFile: missing}, {TokenFile: empty},
		{TLS: true, CAFile: missing}, {TLS: true, CAFile: garbage}, {TLS: true, CertFile: garbage, KeyFile: garbage},
	} {
		o.Servers, o.Bucket = p.addr, "b"
		_, err := open(testContext(t), o.target())
		if store.Kind(err) != "invalid" || strings.Contains(err.Error(), "unter2") {
			t.Errorf("%v: %v, want invalid", o, err)
		}
	}
	if p.dials.Load() != 0 {
		t.Error("a server was asked all the same")
	}
}

func TestServerWithoutJetStream_IsUnavailable(t *testing.T) {
	p := startPuppet(t, func(post) string { return nobody })
	if _, err := open(testContext(t), must(ParseURL("nats://"+p.addr))(t).target()); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "JetStream is off") {
		t.Errorf("got %v", err)
	}
}

func TestAnswersOfTheServer_HaveTheirKinds(t *testing.T) {
	for reply, want := range map[string]string{
		`{"error":{"code":503,"err_code":10023,"description":"insufficient resources"}}`:                   "full",
		`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`:                   "full",
		`{"error":{"code":400,"err_code":10002,"description":"resource limits exceeded for account"}}`:     "full",
		`{"error":{"code":500,"err_code":10047,"description":"insufficient storage resources available"}}`: "full",
		`{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}`:     "too_large",
		`{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`: "unavailable",
		`{"error":{"code":400,"err_code":10109,"description":"invalid operation on sealed stream"}}`:       "unavailable",
		`{"error":{"code":404,"err_code":10059,"description":"stream not found"}}`:                         "unavailable",
		`{"error":{"code":429,"err_code":10167,"description":"too many requests"}}`:                        "unavailable",
		`{"error":{"code":503,"err_code":10077,"description":"disk on fire"}}`:                             "unknown_outcome",
	} {
		p := startPuppet(t, func(came post) string {
			if strings.HasPrefix(came.subject, "$KV.") {
				return reply
			}
			return ""
		})
		_, writes := everyOp(testContext(t), openURL(t, "nats://"+p.addr+"/b"))
		for op, err := range writes {
			if store.Kind(err) != want {
				t.Errorf("%s after %s: %v, want %s", op, reply, err, want)
			}
		}
	}
}
