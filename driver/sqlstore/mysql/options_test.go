package mysql

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
		"mysql://":                           {},
		"mysql://localhost":                  {Address: "localhost:3306"},
		"mariadb://h/app":                    {Address: "h:3306", Database: "app"},
		"MySQL://:3307/app":                  {Address: "127.0.0.1:3307", Database: "app"},
		"mysql://[::1]:3307/a%20b":           {Address: "[::1]:3307", Database: "a b"},
		"mysql:///app":                       {Database: "app"},
		"mysql://u:p%40%3A%2F%23@h:1/d":      {Address: "h:1", Database: "d", Username: "u", Password: "p@:/#"},
		"mysql://u:@h":                       {Address: "h:3306", Username: "u"},
		"mysql:///d?socket=/run/my.sock":     {Address: "/run/my.sock", Database: "d"},
		"mysql://h?dial_timeout=250ms":       {Address: "h:3306", DialTimeout: 250 * time.Millisecond},
		"mysql://h?statement_timeout=3s":     {Address: "h:3306", StatementTimeout: 3 * time.Second},
		"mysql://h?table=t_1&create=false":   {Address: "h:3306", Table: "t_1", NoCreate: true},
		"mysql://h?create=true":              {Address: "h:3306"},
		"mysql://h?max_conns=3":              {Address: "h:3306", MaxConns: 3},
		"mysql://h?max_value_bytes=1000":     {Address: "h:3306", MaxValueBytes: 1000},
		"mysql://h?tls=false":                {Address: "h:3306"},
		"mysql://h?tls=skip-verify":          {Address: "h:3306", TLS: true, SkipVerify: true},
		"mysql://h?tls=true&server_name=x.y": {Address: "h:3306", TLS: true, ServerName: "x.y"},
		"mysql://h?tls=true&ca=/a&cert=/b&key=c": {
			Address: "h:3306", TLS: true, CAFile: "/a", CertFile: "/b", KeyFile: "c",
		},
	} {
		got, err := ParseURL(raw)
		if err != nil || *got != want {
			t.Errorf("ParseURL(%q) = %v, %v", raw, got, err)
		}
	}
}

// mistakes are URLs that are wrong, and what their errors say.
var mistakes = map[string]string{
	"":                                  "unknown scheme",
	"http://h":                          "want mysql://",
	"mysql:h":                           "want mysql://",
	"mysql://h/a/b":                     "one name",
	"mysql://h/a.b":                     "one name",
	"mysql://h?max_conns=1&max_conns=1": "twice",
	"mysql://h?max_conns=0":             "above zero",
	"mysql://h?max_conns=-1":            "above zero",
	"mysql://h?max_conns=x":             "above zero",
	"mysql://h?max_conns=":              "empty",
	"mysql://h?max_value_bytes=9999999999999": "above zero",
	"mysql://h?create=yes":                    "true or false",
	"mysql://h?table=a-b":                     "invalid table name",
	"mysql://h?table=A":                       "invalid table name",
	"mysql://h?timeout=1s":                    `unknown parameter "timeout"`,
	"mysql://h?parseTime=true":                `unknown parameter "parseTime"`,
	"mysql://h?dial_timeout=5":                "such as 2s",
	"mysql://h?dial_timeout=0s":               "above zero",
	"mysql://h?statement_timeout=-1s":         "above zero",
	"mysql://h?statement_timeout=9ms":         "10ms or more",
	"mysql://h?max_conns=1001":                "1000 or less",
	"mysql://h?tls=preferred":                 "true, skip-verify or false",
	"mysql://h?ca=/x":                         "need TLS",
	"mysql://h?tls=false&server_name=x":       "need TLS",
	"mysql://h?tls=skip-verify&ca=/x":         "tls=true",
	"mysql://h?tls=true&cert=/x":              "both or none",
	"mysql:///d?socket=run/s":                 "absolute path",
	"mysql://h/d?socket=/run/s":               "in place of a host",
	"mysql:///d?socket=/run/s&tls=true":       "not supported",
	"mysql://h#1":                             "%-encoded",
	"mysql://h?a;b":                           "%-encoded",
	"mysql://::":                              "%-encoded",
	"mysql://h:port":                          "%-encoded",
	"mysql://h?table=%zz":                     "%-encoded",
	"mysql://user:hunter2#x@h/0":              "%-encoded",
	"mysql://user:hunter2/x@h/0":              "%-encoded",
	"mysql://user:1/hunter2@h/0":              "%-encoded",
	"mysql://user:1?hunter2@h/0":              "%-encoded",
	"mysql://user:1?table=hunter2@h":          "%-encoded",
	"mysql://user:hunter2%zz@h":               "%-encoded",
	"mysql://user:hunter2 \x00@h":             "%-encoded",
	"mysql://user:hunter2@h:hunter2":          "%-encoded",
	"mysql://user:hunter2@h?x=y":              "unknown parameter",
	"mysql://hunter2@h":                       "user without password",
	"mysql://h:65536":                         "host:port",
	"mysql://user:hunter2@tcp(h:3306)/d":      "%-encoded",
	"user:hunter2@tcp(h:3306)/d":              "%-encoded",
	"mysql://user:hunter2@h/a/b":              "one name",
	"mysql://user:hunter2@h?tls=x":            "true, skip-verify",
}

func TestParseURL_Mistakes_AreInvalidAndTellWhatToDo(t *testing.T) {
	for raw, want := range mistakes {
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
		{DialTimeout: -1}, {StatementTimeout: -1}, {MaxConns: -1}, {MaxValueBytes: -1}, {CAFile: "x"}, {SkipVerify: true},
		{Address: "/s", TLS: true}, {Address: "h", TLS: true}, {Table: "`"}, {Database: "a`b"},
		{TLS: true, CAFile: "/no/such/file"}, {TLS: true, CertFile: "/no/such/file", KeyFile: "/no/such/file"},
	} {
		if _, err := Opener(&o).Open(testContext(t)); store.Kind(err) != "invalid" {
			t.Errorf("%v: %v, want invalid", o, err)
		}
	}
}

func TestOptions_AddressThatIsNone_IsInvalidAndNotRepeated(t *testing.T) {
	for _, address := range []string{"mysql://u:hunter2@h", "u:hunter2@tcp(h:1)/d", "hunter2", "h:hunter2", "hunter2:", "h:70000", "hunter2/x:1"} {
		o := Options{Address: address}
		_, err := Opener(&o).Open(testContext(t))
		if store.Kind(err) != "invalid" || !strings.Contains(err.Error(), "host:port") {
			t.Errorf("%s: %v, want invalid", address, err)
		}
		if text := fmt.Sprint(err, o, Opener(&o).Connection); strings.Contains(text, "hunter2") {
			t.Errorf("%s is repeated: %s", address, text)
		}
	}
}

func TestOpener_EqualOptions_NameTheSameConnection(t *testing.T) {
	connection := func(raw string) any { return Opener(must(ParseURL(raw))(t)).Connection }
	same := connection("mysql://u:p@127.0.0.1/luastore")
	for raw, want := range map[string]bool{
		"mysql://u:p@127.0.0.1:3306/luastore?table=luastore&max_conns=16": true,
		"mariadb://u:p@127.0.0.1":        true,
		"mysql://u:other@127.0.0.1":      false,
		"mysql://u:p@127.0.0.1/other":    false,
		"mysql://u:p@127.0.0.1?table=t2": false,
	} {
		if got := connection(raw) == same; got != want {
			t.Errorf("%s names the same connection: %v, want %v", raw, got, want)
		}
	}
	if Opener(nil).Connection != Opener(&Options{}).Connection {
		t.Error("nil options are not the defaults")
	}
}

func TestOptions_PrintedInAnyWay_HideThePassword(t *testing.T) {
	o := must(ParseURL("mysql://us%20er:hunter2@h:1/d?tls=true&ca=/ca.pem"))(t)
	const want = "mysql://us%20er:xxxxx@h:1/d?ca=%2Fca.pem&tls=true"
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
		t.Errorf("the password is in %s", &out)
	}
	if o.Redacted() != want || fmt.Sprintf("%+v", *o) != want {
		t.Errorf("Redacted() = %s, %%+v = %+v, want %s", o.Redacted(), *o, want)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"mysql://user:hunter2@h:1/d?dial_timeout=1s&create=false", "mariadb://h?tls=true&ca=/a&cert=b&key=c",
		"mysql:///d?socket=/s", "mysql://u:p%40@[::1]:1", "mysql://a:b?c@d", "mysql://h?tls=skip-verify&max_conns=2&max_value_bytes=7",
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
		if again.withDefaults() != want {
			t.Errorf("%q: redacted to %q, which is %#v", raw, o.Redacted(), again)
		}
	})
}
