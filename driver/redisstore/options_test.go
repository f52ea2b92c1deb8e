package redisstore

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
		"redis://":                        {},
		"redis://localhost":               {Address: "localhost:6379"},
		"redis://:6380":                   {Address: "127.0.0.1:6380"},
		"redis://[::1]:6380/2":            {Address: "[::1]:6380", DB: 2},
		"redis://[::1]":                   {Address: "[::1]:6379"},
		"valkey://h/":                     {Address: "h:6379"},
		"redis:///3":                      {DB: 3},
		"redis://h?db=4":                  {Address: "h:6379", DB: 4},
		"redis://u:p%40%3A%2F%23@h:1/0":   {Address: "h:1", Username: "u", Password: "p@:/#"},
		"redis://:p@h":                    {Address: "h:6379", Password: "p"},
		"redis://u:@h":                    {Address: "h:6379", Username: "u"},
		"redis://h?dial_timeout=250ms":    {Address: "h:6379", DialTimeout: 250 * time.Millisecond},
		"redis://h?client_name=app-1":     {Address: "h:6379", ClientName: "app-1"},
		"rediss://h":                      {Address: "h:6379", TLS: true},
		"REDISS://h":                      {Address: "h:6379", TLS: true},
		"valkeys://h?ca=/a&cert=/b&key=c": {Address: "h:6379", TLS: true, CAFile: "/a", CertFile: "/b", KeyFile: "c"},
		"rediss://h?server_name=x.y":      {Address: "h:6379", TLS: true, ServerName: "x.y"},
		"redis+unix:///run/redis.sock":    {Address: "/run/redis.sock"},
		"unix://u:p@/a%20b?db=7":          {Address: "/a b", Username: "u", Password: "p", DB: 7},
	} {
		got, err := ParseURL(raw)
		if err != nil || *got != want {
			t.Errorf("ParseURL(%q) = %v, %v", raw, got, err)
		}
	}
}

func TestParseURL_Mistakes_AreInvalidAndTellWhatToDo(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                  "unknown scheme",
		"http://h":                          "want redis, rediss",
		"redis:h":                           "want redis://",
		"redis://h/x":                       "must be a number",
		"redis://h/1/2":                     "must be a number",
		"redis://h/-1":                      "must be a number",
		"redis://h/99999999999":             "must be a number",
		"redis://h/1?db=2":                  "twice",
		"redis://h?db=1&db=1":               "twice",
		"redis://h?db=x":                    "must be a number",
		"redis://h?db=":                     "empty",
		"redis://h?timeout=1s":              `unknown parameter "timeout"`,
		"redis://h?insecure=true":           `unknown parameter "insecure"`,
		"redis://h?dial_timeout=5":          "such as 2s",
		"redis://h?dial_timeout=0s":         "above zero",
		"redis://h?dial_timeout=-1s":        "above zero",
		"redis://h?client_name=a%20b":       "without spaces",
		"redis://h?ca=/x":                   "need TLS",
		"redis://h?server_name=x":           "need TLS",
		"rediss://h?cert=/x":                "both or none",
		"redis+unix://h/path":               "absolute path",
		"redis+unix://":                     "absolute path",
		"redis+unix:///":                    "absolute path",
		"redis+unix:///s?ca=/x":             "need TLS",
		"redis://h#1":                       "%-encoded",
		"redis://h?a;b":                     "%-encoded",
		"redis://::":                        "%-encoded",
		"redis://h:port":                    "%-encoded",
		"redis://h?db=%zz":                  "%-encoded",
		"redis://user:hunter2#x@h/0":        "%-encoded",
		"redis://user:hunter2/x@h/0":        "%-encoded",
		"redis://user:1/hunter2@h/0":        "%-encoded",
		"redis://user:1?hunter2@h/0":        "%-encoded",
		"redis://user:1?db=hunter2@h":       "%-encoded",
		"redis://user:hunter2%zz@h":         "%-encoded",
		"redis://user:hunter2 \x00@h":       "%-encoded",
		"redis://user:hunter2@h:hunter2":    "%-encoded",
		"redis://user:hunter2@h?x=y":        "unknown parameter",
		"redis://hunter2@h":                 "user without password",
		"redis+unix://hunter2@/s":           "user without password",
		"redis://h:65536":                   "host:port",
		"redis://user:hunter2@h/x":          "must be a number",
		"redis://user:hunter2@h?db=1&db=2":  "twice",
		"rediss://user:hunter2@h?cert=only": "both or none",
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
	for _, o := range []Options{{DB: -1}, {DialTimeout: -1}, {ClientName: "a\nb"}, {CAFile: "x"}, {Address: "/s", TLS: true}, {Address: "h", TLS: true}} {
		if _, err := Opener(&o).Open(testContext(t)); store.Kind(err) != "invalid" {
			t.Errorf("%v: %v, want invalid", o, err)
		}
	}
}

func TestOptions_AddressThatIsNone_IsInvalidAndNotRepeated(t *testing.T) {
	for _, address := range []string{"redis://u:hunter2@h", "redis://u:hunter2@h:6379", "u:hunter2@h:1", "hunter2", "h:hunter2", "hunter2:", "h:70000", "hunter2/x:1"} {
		for _, tls := range []bool{false, true} {
			o := Options{Address: address, TLS: tls}
			_, err := Opener(&o).Open(testContext(t))
			if store.Kind(err) != "invalid" || !strings.Contains(err.Error(), "host:port") {
				t.Errorf("%s: %v, want invalid", address, err)
			}
			if text := fmt.Sprint(err, o, Opener(&o).Connection); strings.Contains(text, "hunter2") {
				t.Errorf("%s is repeated: %s", address, text)
			}
		}
	}
	for _, address := range []string{"", "h:1", "/s", "[::1]:1", "[fe80::1%eth0]:6379", ":6379"} {
		if err := (&Options{Address: address}).check(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestOptions_PrintedInAnyWay_HideThePassword(t *testing.T) {
	o := must(ParseURL("rediss://us%20er:hunter2@h:1/2?ca=/ca.pem"))(t)
	const want = "rediss://us%20er:xxxxx@h:1/2?ca=%2Fca.pem"
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
	if got := (&Options{Address: "/s", DB: 2, Password: "x"}).Redacted(); got != "redis+unix://:xxxxx@/s?db=2" {
		t.Errorf("a socket: %s", got)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"redis://user:hunter2@h:1/2?dial_timeout=1s", "rediss://h?ca=/a&cert=b&key=c", "redis+unix://:p@/s?db=1", "redis://u:p%40@[::1]:1", "redis://a:b?c@d",
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
		want.DialTimeout = again.withDefaults().DialTimeout
		if again.withDefaults() != want {
			t.Errorf("%q: redacted to %q, which is %#v", raw, o.Redacted(), again)
		}
	})
}
