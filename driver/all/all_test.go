package all_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/all"
)

func TestOpener_KnownSchemes(t *testing.T) {
	for _, url := range []string{
		"mem:", "mem:?max_entries=10", "MEM:",
		"redis://localhost", "rediss://h:1/2", "valkey://h", "valkeys://h", "REDIS://h", "redis+unix:///run/redis.sock",
		"redis+cluster://a,b:7000", "rediss+cluster://a", "valkey+cluster://a", "valkeys+cluster://a,b", "redis+sentinel://a,b/mymaster",
		"rediss+sentinel://a/m/2", "valkey+sentinel://a/m", "valkeys+sentinel://a/m", "valkey+unix:///run/valkey.sock", "unix:///run/redis.sock",
		"pebble:data", "pebble:/var/lib/data", "sqlite:data.db", "sqlite:./data.db?busy_timeout=1s",
		"postgres://h/d", "postgresql://u:p@h:5432/d?sslmode=disable", "mysql://h/d", "mariadb://u:p@h:3306/d",
		"nats://h/bucket", "natss://a,b:4333/bucket?replicas=3",
	} {
		open, err := all.Opener(url)
		if err != nil || open.Open == nil {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

func TestOpener_Mem_Opens(t *testing.T) {
	open, err := all.Opener("mem:")
	if err != nil {
		t.Fatal(err)
	}
	d, err := open.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Info().Driver; got != "memory" {
		t.Errorf("got driver %q", got)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpener_WrongURL_SaysWhatIsThere(t *testing.T) {
	const list = "mem:, pebble:, sqlite:, redis://, rediss://, redis+cluster://, rediss+cluster://, redis+sentinel://, rediss+sentinel://, " +
		"redis+unix://, postgres://, mysql://, nats://, natss://"
	for url, want := range map[string]string{
		"":                         "invalid store URL: want it to begin with one of " + list,
		"localhost":                "want it to begin with one of " + list,
		"://h":                     "want it to begin with one of " + list,
		"reddis://h":               `unknown scheme "reddis" of a store URL: want one of ` + list,
		"mem://host":               "a memory URL has no host",
		"mem:?max_entry=1":         "max_entry",
		"redis://h/x":              "the database in a Redis URL must be a number",
		"redis://h?tiemout=":       `unknown parameter "tiemout"`,
		"pebble:":                  "path",
		"pebble:d?snyc=1":          `unknown parameter "snyc"`,
		"sqlite:":                  "path",
		"sqlite::memory:":          "mem:",
		"sqlite:d?snyc=1":          `unknown parameter "snyc"`,
		"postgres://h/d?tabel=t":   `unknown parameter "tabel"`,
		"postgres://h/d?table=a-b": `table name "a-b"`,
		"mysql://h/d?tabel=t":      `unknown parameter "tabel"`,
		"mysql://h/d?table=a-b":    `table name "a-b"`,
	} {
		open, err := all.Opener(url)
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) || open.Open != nil {
			t.Errorf("%q: got %v, want %s", url, err, want)
		}
	}
}

func TestOpener_NoErrorHoldsASecret(t *testing.T) {
	for _, url := range []string{
		"redis://user:s3cr%zzt@host", "redis://user:s3cr t@host", "redis://user:s3cr/t@host", "redis://user:s3cr?t@host",
		"redis://user:s3cr#t@host", "redis://u:s3crt@host/x", "redis://u:s3crt@host?nope=1", "redis://u:s3crt@host:port",
		"foo://u:s3crt@host", "s3cr@t:x", "_s3cr:x", "mem://u:s3crt@host", "mem:s3crt",
		"postgres://u:s3cr%zzt@h/d", "postgres://u:s3cr t@h/d", "postgres://u:s3cr/t@h/d", "postgres://u:s3cr?t@h/d", "postgres://u:s3crt@h/d?nope=1",
		"postgres://u:s3crt@h:port/d", "postgres://u:s3crt@h/d/x", "postgres://u:s3cr#t@h/d",
		"mysql://u:s3cr%zzt@h/d", "mysql://u:s3cr t@h/d", "mysql://u:s3cr/t@h/d", "mysql://u:s3cr?t@h/d", "mysql://u:s3crt@h/d?nope=1",
		"mysql://u:s3crt@h:port/d", "mysql://u:s3crt@h/d/x", "mysql://u:s3cr#t@h/d", "pebble://u:s3crt@h/d", "sqlite://u:s3crt@h/d",
	} {
		_, err := all.Opener(url)
		if err == nil || strings.Contains(err.Error(), "s3cr") {
			t.Errorf("%s: got %v", url, err)
		}
	}
}
