package natsstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]Options{
		"nats://":                                     {},
		"nats://localhost":                            {Servers: "localhost:4222"},
		"nats://localhost/":                           {Servers: "localhost:4222"},
		"nats://h:/b":                                 {Servers: "h:4222", Bucket: "b"},
		"nats://h:1/sessions":                         {Servers: "h:1", Bucket: "sessions"},
		"nats:///sessions":                            {Bucket: "sessions"},
		"nats://:5000":                                {Servers: "127.0.0.1:5000"},
		"nats://a,b:1,[::1],[::2]:3/x_Y-9":            {Servers: "a:4222,b:1,[::1]:4222,[::2]:3", Bucket: "x_Y-9"},
		"nats://u:p%40%3A%2F%23%2C@h:1/b":             {Servers: "h:1", Bucket: "b", Username: "u", Password: "p@:/#,"},
		"nats://t%2Cok@h,i":                           {Servers: "h:4222,i:4222", Token: "t,ok"},
		"nats://h?creds=/c&replicas=3":                {Servers: "h:4222", CredsFile: "/c", Replicas: 3},
		"nats://h?nkey=/n&storage=memory":             {Servers: "h:4222", NKeyFile: "/n", Storage: "memory"},
		"nats://h?token_file=/t&max_bytes=1000":       {Servers: "h:4222", TokenFile: "/t", MaxBytes: 1000},
		"nats://h?create=false&reads=lease":           {Servers: "h:4222", NoCreate: true, Reads: ReadsLease},
		"nats://h?create=true&reads=quorum":           {Servers: "h:4222", Reads: ReadsQuorum},
		"nats://h?dial_timeout=250ms&client_name=a-1": {Servers: "h:4222", DialTimeout: 250 * time.Millisecond, ClientName: "a-1"},
		"nats://h?domain=hub&inbox_prefix=_I.x":       {Servers: "h:4222", Domain: "hub", InboxPrefix: "_I.x"},
		"natss://h":                                   {Servers: "h:4222", TLS: true},
		"NATSS://h?ca=/a&cert=/b&key=c&server_name=x": {Servers: "h:4222", TLS: true, CAFile: "/a", CertFile: "/b", KeyFile: "c", ServerName: "x"},
	} {
		got, err := ParseURL(raw)
		if err != nil || *got != want {
			t.Errorf("ParseURL(%q) = %v, %v", raw, got, err)
		}
	}
}

func TestParseURL_Mistakes_AreInvalidAndTellWhatToDo(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                     "unknown scheme",
		"http://h":                             "want nats://",
		"tls://h":                              "want nats://",
		"nats:h":                               "want nats://",
		"nats://h/a/b":                         "name of a bucket",
		"nats://h/a.b":                         "name of a bucket",
		"nats://h/a%20b":                       "name of a bucket",
		"nats://h/é":                           "name of a bucket",
		"nats://h/" + strings.Repeat("x", 251): "name of a bucket",
		"nats://h?timeout=1s":                  `unknown parameter "timeout"`,
		"nats://h?insecure=true":               `unknown parameter "insecure"`,
		"nats://h?replicas=1&replicas=3":       "twice",
		"nats://h?replicas=":                   "empty",
		"nats://h?replicas=0":                  "1, 3 or 5",
		"nats://h?replicas=2":                  "1, 3 or 5",
		"nats://h?replicas=x":                  "1, 3 or 5",
		"nats://h?storage=disk":                "file or memory",
		"nats://h?max_bytes=0":                 "above zero",
		"nats://h?max_bytes=1k":                "above zero",
		"nats://h?create=no":                   "true or false",
		"nats://h?reads=any":                   "quorum or lease",
		"nats://h?dial_timeout=5":              "such as 2s",
		"nats://h?dial_timeout=-1s":            "above zero",
		"nats://h?client_name=a%20b":           "without spaces",
		"nats://h?domain=a.b":                  "domain",
		"nats://h?inbox_prefix=a..b":           "inbox_prefix",
		"nats://h?inbox_prefix=a.*":            "inbox_prefix",
		"nats://h?ca=/x":                       "need TLS",
		"natss://h?cert=/x":                    "both or none",
		"nats://h?creds=/x&nkey=/y":            "more than one way",
		"nats://u:p@h?creds=/x":                "more than one way",
		"nats://t@h?token_file=/x":             "more than one way",
		"nats://u:@h":                          "half a login",
		"nats://:hunter2@h":                    "half a login",
		"nats://h#1":                           "%-encoded",
		"nats://h,":                            "%-encoded",
		"nats://h:port":                        "%-encoded",
		"nats://h:70000":                       "host:port",
		"nats://h:1:2":                         "%-encoded",
		"nats://h?a;b":                         "%-encoded",
		"nats://h?replicas=%zz":                "%-encoded",
		"nats://user:hunter2#x@h/b":            "%-encoded",
		"nats://user:hunter2/x@h/b":            "%-encoded",
		"nats://user:1/hunter2@h/b":            "%-encoded",
		"nats://user:1?hunter2@h/b":            "%-encoded",
		"nats://user:1?replicas=hunter2@h":     "%-encoded",
		"nats://user:hunter2%zz@h":             "%-encoded",
		"nats://user:hunter2 \x00@h":           "%-encoded",
		"nats://user:hunter2@h:hunter2":        "%-encoded",
		"nats://hunter2%zz@h":                  "%-encoded",
		"nats://user:hunter2@h?x=y":            "unknown parameter",
		"nats://user:hunter2@h?reads=hunter2":  "quorum or lease",
	} {
		_, err := ParseURL(raw)
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseURL(%q): %v, want invalid with %q", raw, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseURL(%q): the password is in %q", raw, err)
		}
	}
}

func TestOptions_MadeInGo_AreChecked(t *testing.T) {
	for _, o := range []Options{
		{DialTimeout: -1}, {ClientName: "a\nb"}, {CAFile: "x"}, {Bucket: "a.b"}, {Replicas: 2}, {Storage: "x"}, {MaxBytes: -1}, {Reads: "x"},
		{Servers: "h"}, {Servers: "h:1,"}, {Servers: "nats://u:hunter2@h:1"}, {Servers: "u:hunter2@h:1"}, {Servers: "hunter2"}, {Bucket: "hunter2/"},
		{Password: "hunter2"}, {Username: "u", Password: "hunter2", Token: "hunter2"}, {Domain: "a b"}, {InboxPrefix: "."},
	} {
		_, err := Opener(&o).Open(testContext(t))
		if store.Kind(err) != "invalid" {
			t.Errorf("%v: %v, want invalid", o, err)
		}
		if text := fmt.Sprint(err, o, Opener(&o).Connection); strings.Contains(text, "hunter2") {
			t.Errorf("a secret is repeated: %s", text)
		}
	}
}

func TestOptions_Equal_AreOneConnection(t *testing.T) {
	same := func(a, b *Options) bool { return Opener(a).Connection == Opener(b).Connection }
	if !same(nil, &Options{Servers: DefaultServers, Bucket: DefaultBucket, Reads: ReadsQuorum, DialTimeout: DefaultDialTimeout}) {
		t.Error("the defaults are another connection than nil")
	}
	for _, o := range []Options{{Bucket: "b"}, {Token: "t"}, {Username: "u", Password: "p"}, {Servers: "h:1"}, {Replicas: 3}, {NoCreate: true}} {
		if again := o; same(&o, nil) || !same(&o, &again) {
			t.Errorf("%v is compared wrongly", o)
		}
	}
	if same(&Options{Token: "a"}, &Options{Token: "b"}) || same(&Options{Username: "u", Password: "a"}, &Options{Username: "u", Password: "b"}) {
		t.Error("other secrets are the same connection")
	}
}

func TestOptions_PrintedInAnyWay_HideSecrets(t *testing.T) {
	for raw, want := range map[string]string{
		"natss://us%20er:hunter2@h:1,i/b?ca=/ca.pem&replicas=3": "natss://us%20er:xxxxx@h:1,i:4222/b?ca=%2Fca.pem&replicas=3",
		"nats://hunter2@h/b?create=false":                       "nats://xxxxx@h:4222/b?create=false",
	} {
		o := must(ParseURL(raw))(t)
		var out bytes.Buffer
		nested := struct {
			A Options
			B *Options
			C any
			D store.Opener
		}{*o, o, *o, Opener(o)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, o)
			fmt.Fprintf(&out, verb, *o)
			fmt.Fprintf(&out, verb, nested)
		}
		fmt.Fprint(&out, o, *o, o.String(), o.Redacted(), Opener(o).Connection)
		fmt.Fprintf(&out, "%#v %+v", Opener(o).Connection, Opener(o))
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "o", o, "v", *o, "n", nested)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "o", o, "v", *o)
		json.NewEncoder(&out).Encode([]any{o, *o, nested.A, nested.B})
		if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("the secret is in %s", &out)
		}
		if o.Redacted() != want || fmt.Sprintf("%+v", *o) != want {
			t.Errorf("Redacted() = %s, %%+v = %+v, want %s", o.Redacted(), *o, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"nats://user:hunter2@h:1,i/b?dial_timeout=1s", "natss://h?ca=/a&cert=b&key=c", "nats://tok@h/b?replicas=3&reads=lease", "nats://u:p%40@[::1]:1", "nats://a:b?c@d",
		"nats://h,i:1/b?create=false&max_bytes=9",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := ParseURL(raw)
		if err != nil {
			if store.Kind(err) != "invalid" {
				t.Errorf("%q: %v is not invalid", raw, err)
			}
			return
		}
		again, err := ParseURL(o.Redacted())
		if err != nil {
			t.Fatalf("%q: redacted to %q, which is refused: %v", raw, o.Redacted(), err)
		}
		want, got := o.withDefaults(), again.withDefaults()
		if want.Password != "" {
			want.Password = "xxxxx"
		}
		if want.Token != "" {
			want.Token = "xxxxx"
		}
		want.DialTimeout = got.DialTimeout
		if got != want {
			t.Errorf("%q: redacted to %q, which is %#v", raw, o.Redacted(), again)
		}
	})
}
