package postgres

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
		"postgres://":                                          {},
		"postgres://localhost":                                 {Address: "localhost:5432"},
		"postgresql://:6432":                                   {Address: "127.0.0.1:6432"},
		"POSTGRES://h/app":                                     {Address: "h:5432", Database: "app"},
		"postgres://[::1]:5433/a%20b":                          {Address: "[::1]:5433", Database: "a b"},
		"postgres://u:p%40%3A%2F%23@h:1/d":                     {Address: "h:1", Username: "u", Password: "p@:/#", Database: "d"},
		"postgres://u:@h":                                      {Address: "h:5432", Username: "u"},
		"postgres:///d?host=/run/postgresql":                   {Address: "/run/postgresql/.s.PGSQL.5432", Database: "d"},
		"postgres:///?host=/a%20b/&port=1":                     {Address: "/a b/.s.PGSQL.1"},
		"postgres://h?port=1":                                  {Address: "h:1"},
		"postgres://h?connect_timeout=3":                       {Address: "h:5432", DialTimeout: 3 * time.Second},
		"postgres://h?dial_timeout=250ms":                      {Address: "h:5432", DialTimeout: 250 * time.Millisecond},
		"postgres://h?statement_timeout=2s":                    {Address: "h:5432", StatementTimeout: 2 * time.Second},
		"postgres://h?table=t_1&create=false":                  {Address: "h:5432", Table: "t_1", NoCreate: true},
		"postgres://h?create=true":                             {Address: "h:5432"},
		"postgres://h?statement_cache=false":                   {Address: "h:5432", Unprepared: true},
		"postgres://h?max_conns=3":                             {Address: "h:5432", MaxConns: 3},
		"postgres://h?max_value_bytes=1024":                    {Address: "h:5432", MaxValueBytes: 1024},
		"postgres://h?application_name=my%20app":               {Address: "h:5432", ApplicationName: "my app"},
		"postgres://h?sslmode=require&channel_binding=require": {Address: "h:5432", SSLMode: Require, ChannelBinding: "require"},
		"postgres://h?sslmode=verify-full&sslrootcert=/a&sslcert=/b&sslkey=c": {
			Address: "h:5432", SSLMode: VerifyFull, RootCert: "/a", Cert: "/b", Key: "c"},
	} {
		got, err := ParseURL(raw)
		if err != nil || *got != want {
			t.Errorf("ParseURL(%q) = %v, %v", raw, got, err)
		}
	}
}

func TestParseURL_Mistakes_AreInvalidAndTellWhatToDo(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                               "unknown scheme",
		"mysql://h":                                      "want postgres://",
		"postgres:h":                                     "want postgres://",
		"postgres://h/a/b":                               "%-encoded",
		"postgres://h1,h2/d":                             "several hosts",
		"postgres://h?host=/run":                         "for the folder of a unix socket",
		"postgres:///?host=run":                          "for the folder of a unix socket",
		"postgres://h:1?port=2":                          "%-encoded",
		"postgres://h?port=x":                            "host:port",
		"postgres://h?max_conns=0":                       "from 1 to 1000",
		"postgres://h?max_conns=x":                       "from 1 to 1000",
		"postgres://h?max_value_bytes=9e9":               "from 1 to",
		"postgres://h?create=no":                         "true or false",
		"postgres://h?create=":                           "empty",
		"postgres://h?create=true&create=no":             "twice",
		"postgres://h?pool_max_conns=3":                  `unknown parameter "pool_max_conns"`,
		"postgres://h?dial_timeout=5":                    "such as 2s",
		"postgres://h?dial_timeout=0s":                   "such as 2s",
		"postgres://h?statement_timeout=10us":            "such as 2s",
		"postgres://h?statement_timeout=99h":             "1ms to 24h",
		"postgres://h?connect_timeout=0":                 "from 1 to",
		"postgres://h?connect_timeout=1&dial_timeout=1s": "are the same",
		"postgres://h?table=a.b":                         "invalid table name",
		"postgres://h?table=A":                           "invalid table name",
		"postgres://h?sslmode=on":                        "verify-full",
		"postgres://h?channel_binding=on":                "prefer, require or disable",
		"postgres://h?sslrootcert=/x":                    "need TLS",
		"postgres://h?sslmode=require&sslcert=/x":        "both or none",
		"postgres:///?host=/run&sslmode=require":         "unix socket",
		"postgres://h?application_name=%0a":              "printable ASCII",
		"postgres://h#1":                                 "%-encoded",
		"postgres://h?a;b":                               "%-encoded",
		"postgres://h:port":                              "%-encoded",
		"postgres://h:70000":                             "host:port",
		"postgres://u:hunter2#x@h/0":                     "%-encoded",
		"postgres://u:hunter2/x@h/0":                     "%-encoded",
		"postgres://u:1/hunter2@h/0":                     "%-encoded",
		"postgres://u:1?hunter2@h/0":                     "%-encoded",
		"postgres://u:hunter2%zz@h":                      "%-encoded",
		"postgres://u:hunter2%00@h":                      "zero byte",
		"postgres://u:hunter2 \x00@h":                    "%-encoded",
		"postgres://u:p@h:hunter2":                       "%-encoded",
		"postgres://u:hunter2@h?x=y":                     "unknown parameter",
		"postgres://h?password=hunter2":                  "unknown parameter",
		"postgres://u:hunter2@h?create=x":                "true or false",
		"postgres://u:hunter2@h1,h2":                     "several hosts",
		"postgres://hunter2@h/d":                         "user without password",
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
		{MaxConns: -1}, {MaxConns: 1001}, {MaxValueBytes: -1}, {DialTimeout: -1}, {StatementTimeout: -1}, {StatementTimeout: time.Microsecond},
		{Table: "a b"}, {Address: "h"}, {Address: "/run/x"}, {Address: "postgres://u:hunter2@h"}, {Address: "u:hunter2@h:1"}, {Address: "h:0"},
		{SSLMode: "x"}, {ApplicationName: "ä"}, {ApplicationName: strings.Repeat("x", 64)}, {RootCert: "x"}, {Password: "hunter2\x00"},
	} {
		_, err := Opener(&o).Open(testContext(t))
		if store.Kind(err) != "invalid" {
			t.Errorf("%v: %v, want invalid", o, err)
		}
		if text := fmt.Sprint(err, o, Opener(&o).Connection); strings.Contains(text, "hunter2") {
			t.Errorf("a secret is in %s", text)
		}
	}
}

func TestOptions_PrintedInAnyWay_HideThePassword(t *testing.T) {
	o := must(ParseURL("postgres://us%20er:hunter2@h:1/d?table=t&sslmode=verify-full&sslrootcert=/ca.pem"))(t)
	const want = "postgres://us%20er:xxxxx@h:1/d?sslmode=verify-full&sslrootcert=%2Fca.pem&table=t"
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
		fmt.Fprintf(&out, verb, Opener(o))
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "o", o, "v", *o)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "o", o, "v", *o)
	json.NewEncoder(&out).Encode([]any{o, *o, nested.A, nested.B})
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("the password is in %s", &out)
	}
	if o.Redacted() != want || fmt.Sprintf("%+v", *o) != want {
		t.Errorf("Redacted() = %s, %%+v = %+v, want %s", o.Redacted(), *o, want)
	}
}

func TestOpener_EqualOptions_NameOneConnection(t *testing.T) {
	short, long := must(ParseURL("postgres://u:p@h/u"))(t), must(ParseURL("postgres://u:p@h:5432?table=luastore&max_conns=10"))(t)
	if Opener(short).Connection != Opener(long).Connection {
		t.Error("equal options name two connections")
	}
	if other := must(ParseURL("postgres://u:q@h/u"))(t); Opener(short).Connection == Opener(other).Connection {
		t.Error("another password names the same connection")
	}
}

// What the environment says to clients of PostgreSQL is not for this one.
func TestTarget_TheEnvironment_ChangesNothing(t *testing.T) {
	for name, v := range map[string]string{
		"PGHOST": "elsewhere", "PGPORT": "1", "PGUSER": "other", "PGPASSWORD": "other", "PGDATABASE": "other", "PGSSLMODE": "verify-full",
		"PGSSLCERT": "/none", "PGSSLKEY": "/none", "PGSSLROOTCERT": "/none", "PGCONNECT_TIMEOUT": "x", "PGOPTIONS": "-c x=y", "PGTZ": "x",
		"PGPASSFILE": "/none", "PGAPPNAME": "other", "PGTARGETSESSIONATTRS": "x", "PGREQUIREAUTH": "none", "PGCHANNELBINDING": "x",
		"PGMINPROTOCOLVERSION": "x", "PGSSLNEGOTIATION": "direct", "PGSSLCERTMODE": "x", "PGSSLSNI": "0",
		"PGSERVICE": "other", "PGSERVICEFILE": "/none",
	} {
		t.Setenv(name, v)
	}
	to := must(ParseURL("postgres://h/d?sslmode=disable"))(t).target()
	c, err := to.config()
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "h" || c.Port != 5432 || c.User != "postgres" || c.Password != "" || c.Database != "d" || c.TLSConfig != nil || len(c.Fallbacks) != 0 ||
		c.ChannelBinding != "prefer" || c.RequireAuth != "" || c.SSLNegotiation == "direct" || c.SSLCertMode != "allow" || c.ValidateConnect != nil ||
		len(c.RuntimeParams) != 4 || c.RuntimeParams["application_name"] != "luastore" {
		t.Errorf("the environment changed %+v", c.RuntimeParams)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"postgres://user:hunter2@h:1/d?dial_timeout=1s", "postgresql://h?sslmode=require&sslcert=b&sslkey=c", "postgres:///d?host=/run&port=1", "postgres://a:b?c@d",
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
		want := o.withDefaults()
		if want.Password != "" {
			want.Password = "xxxxx"
		}
		got := again.withDefaults()
		want.DialTimeout, want.StatementTimeout = got.DialTimeout, got.StatementTimeout
		if got != want {
			t.Errorf("%q: redacted to %q, which is %#v", raw, o.Redacted(), again)
		}
	})
}
