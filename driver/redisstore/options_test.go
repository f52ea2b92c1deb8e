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

		"redis+cluster://":                              {Cluster: true},
		"redis+cluster://a,b:2,[::1],[::2]:4":           {Cluster: true, Address: "a:6379,b:2,[::1]:6379,[::2]:4"},
		"redis+cluster://[fe80::1%25eth0],[::2%25e1]:4": {Cluster: true, Address: "[fe80::1%eth0]:6379,[::2%e1]:4"},
		"valkey+cluster://a,b/0":                        {Cluster: true, Address: "a:6379,b:6379"},
		"rediss+cluster://u:p%2C%40@a:1,b/?ca=/a":       {Cluster: true, Address: "a:1,b:6379", TLS: true, Username: "u", Password: "p,@", CAFile: "/a"},
		"valkeys+cluster://:p,q@a:1,b":                  {Cluster: true, Address: "a:1,b:6379", TLS: true, Password: "p,q"},
		"redis+sentinel://u:p@s1,s2:26380/mymaster/2":   {Sentinel: "mymaster", Address: "s1:26379,s2:26380", Username: "u", Password: "p", DB: 2},
		"redis+sentinel:///mymaster":                    {Sentinel: "mymaster"},
		"redis+sentinel://:7/m":                         {Sentinel: "m", Address: "127.0.0.1:7"},
		"valkey+sentinel://[::1]/m/":                    {Sentinel: "m", Address: "[::1]:26379"},
		"rediss+sentinel://a/m?db=3&sentinel_user=x&sentinel_password=%40": {
			Sentinel: "m", Address: "a:26379", TLS: true, DB: 3, SentinelUsername: "x", SentinelPassword: "@",
		},
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

		"redis://a,b":                             "use redis+cluster://",
		"redis+unix://a,b/s":                      "absolute path",
		"redis+unix:///a,b?sentinel_password=x":   "need sentinels",
		"redis+cluster://a,b/2":                   "database 0 only",
		"redis+cluster://a?db=1":                  "database 0 only",
		"redis+cluster://a,,b":                    "%-encoded",
		"redis+cluster://a,":                      "%-encoded",
		"redis+cluster://,a":                      "%-encoded",
		"redis+cluster://a,::1":                   "%-encoded",
		"redis+cluster://a,b:x":                   "%-encoded",
		"redis+cluster://a,[::1":                  "%-encoded",
		"redis+cluster://a,b:70000":               "host:port",
		"redis+cluster://a,b c":                   "%-encoded",
		"redis+cluster://a/mymaster":              "must be a number",
		"redis+cluster://a?sentinel_user=x":       "need sentinels",
		"redis+sentinel://a,b":                    "must name the primary",
		"redis+sentinel://a//1":                   "must name the primary",
		"redis+sentinel://a/m%20n":                "without spaces",
		"redis+sentinel://a/m/n":                  "must be a number",
		"redis+sentinel://a/m/1/2":                "must be a number",
		"redis+sentinel://a/m/1?db=1":             "twice",
		"redis+sentinel://a/m?sentinel_user=x":    "needs sentinel_password",
		"redis+sentinel://a/m?sentinel_password=": "empty",
		"redis+sentinel://a/m?sentinel_password=hunter2&sentinel_password=hunter2": "twice",
		"redis+sentinel://a/m?sentinelpassword=hunter2":                            "unknown parameter",
		"redis://a?sentinel_password=hunter2":                                      "need sentinels",
		"redis+sentinel://a/m?ca=/x":                                               "need TLS",
		"redis+sentinel://a/m?sentinel_password=hunter2@x":                         "%-encoded",
		"redis+sentinel://u:hunter2/x@a,b/m":                                       "%-encoded",
		"redis+sentinel://u:1,hunter2/x@a,b/m":                                     "%-encoded",
		"redis+cluster://u:1,hunter2#@a,b":                                         "%-encoded",
		"redis+cluster://hunter2@a,b":                                              "user without password",
		"redis+nosuch://a":                                                         "unknown scheme",
		"rediss+unix:///s":                                                         "unknown scheme",
		"redis+://a":                                                               "unknown scheme",
		"redis+cluster+sentinel://a/m":                                             "unknown scheme",
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
	for _, o := range []Options{{DB: -1}, {DialTimeout: -1}, {ClientName: "a\nb"}, {CAFile: "x"}, {Address: "/s", TLS: true}, {Address: "h", TLS: true},
		{Address: "a:1,b:2"}, {Cluster: true, Sentinel: "m"}, {Cluster: true, DB: 1}, {Cluster: true, Address: "/s"}, {Sentinel: "m", Address: "/s"},
		{SentinelPassword: "x"}, {Sentinel: "m", SentinelUsername: "x"}, {Sentinel: "a b"}, {Sentinel: "a/b"}, {Cluster: true, Address: "a:1,"},
	} {
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

func TestOptions_OfSentinels_HideBothPasswords(t *testing.T) {
	o := must(ParseURL("rediss+sentinel://us:hunter2@a,b:1/my/2?sentinel_user=su&sentinel_password=hunter3"))(t)
	const want = "rediss+sentinel://us:xxxxx@a:26379,b:1/my/2?sentinel_password=xxxxx&sentinel_user=su"
	text := o.Redacted() + o.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{o, *o, Opener(o), Opener(o).Connection, struct{ O *Options }{o}, []Options{*o}} {
			text += fmt.Sprintf(verb, v)
		}
	}
	json := must(json.Marshal([]any{o, *o, Opener(o).Connection}))(t)
	if text += string(json); strings.Contains(text, "hunter") || strings.Contains(text, fmt.Sprintf("%x", "hunter")) {
		t.Errorf("a password is in %s", text)
	}
	if o.Redacted() != want {
		t.Errorf("Redacted() = %s, want %s", o.Redacted(), want)
	}
	if got := (&Options{Cluster: true, Password: "x"}).Redacted(); got != "redis+cluster://:xxxxx@127.0.0.1:6379" {
		t.Errorf("a cluster: %s", got)
	}
}

func TestScrub_PasswordsOfWhichOneIsAPartOfTheOther_LeavesNothingOfEither(t *testing.T) {
	for _, o := range []Options{
		{Password: "hunter", SentinelPassword: "hunter-and-more"}, {Password: "hunter-and-more", SentinelPassword: "hunter"},
	} {
		to := o.target()
		if got := to.scrub("ERR unknown command, with args 'hunter-and-more' 'hunter'"); got != "ERR unknown command, with args 'xxxxx' 'xxxxx'" {
			t.Error(got)
		}
	}
}

func TestOpener_OfEqualOptions_NamesTheSameConnection(t *testing.T) {
	urls := []string{
		"redis://", "redis+cluster://", "redis+cluster://a", "redis+cluster://a,b", "redis+cluster://b,a", "rediss+cluster://a", "redis+sentinel:///m",
		"redis+sentinel:///n", "redis+sentinel:///m/1", "redis+sentinel://:p@/m", "redis+sentinel:///m?sentinel_password=p", "redis+sentinel:///m?sentinel_password=q",
		"redis+sentinel:///m?sentinel_password=p&sentinel_user=u",
	}
	for i, a := range urls {
		for j, b := range urls {
			of := func(url string) any { return Opener(must(ParseURL(url))(t)).Connection }
			if (of(a) == of(b)) != (i == j) {
				t.Errorf("%s and %s: the same is %v", a, b, of(a) == of(b))
			}
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"redis://user:hunter2@h:1/2?dial_timeout=1s", "rediss://h?ca=/a&cert=b&key=c", "redis+unix://:p@/s?db=1", "redis://u:p%40@[::1]:1", "redis://a:b?c@d",
		"redis+cluster://u:p@a,[::1]:2,c", "rediss+sentinel://u:p@a,b:1/m/2?sentinel_user=u&sentinel_password=q", "redis+sentinel://a/m%2Fn%3Fo%23/1",
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
		if want.SentinelPassword != "" {
			want.SentinelPassword = "xxxxx"
		}
		want.DialTimeout = again.withDefaults().DialTimeout
		if again.withDefaults() != want {
			t.Errorf("%q: redacted to %q, which is %#v", raw, o.Redacted(), again)
		}
	})
}
