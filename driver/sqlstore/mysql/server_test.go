package mysql

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
)

// A call is one method of a driver, on the key t:k.
type call struct {
	name   string
	writes bool
	do     func(ctx context.Context, d *Driver) error
}

var calls = []call{
	{"Get", false, func(ctx context.Context, d *Driver) error { _, err := d.Get(ctx, "t:k"); return err }},
	{"Entry", false, func(ctx context.Context, d *Driver) error { _, _, err := d.Entry(ctx, "t:k"); return err }},
	{"TTL", false, func(ctx context.Context, d *Driver) error { _, err := d.TTL(ctx, "t:k"); return err }},
	{"Has", false, func(ctx context.Context, d *Driver) error { _, err := d.Has(ctx, "t:k"); return err }},
	{"List", false, func(ctx context.Context, d *Driver) error { _, err := d.List(ctx, "t:", "", 10); return err }},
	{"GetMany", false, func(ctx context.Context, d *Driver) error {
		_, err := d.GetMany(ctx, []string{"t:k", "t:l"})
		return err
	}},
	{"Set", true, func(ctx context.Context, d *Driver) error { return d.Set(ctx, "t:k", []byte{1}, store.MaxTTL) }},
	{"SetKeep", true, func(ctx context.Context, d *Driver) error { return d.Set(ctx, "t:k", []byte{1}, store.KeepTTL) }},
	{"Delete", true, func(ctx context.Context, d *Driver) error { _, err := d.Delete(ctx, "t:k"); return err }},
	{"Touch", true, func(ctx context.Context, d *Driver) error { _, err := d.Touch(ctx, "t:k", 0); return err }},
	{"Swap", true, func(ctx context.Context, d *Driver) error {
		_, err := d.CompareAndSwap(ctx, "t:k", []byte{1}, []byte{2}, 0)
		return err
	}},
	{"Create", true, func(ctx context.Context, d *Driver) error {
		_, err := d.CompareAndSwap(ctx, "t:k", nil, []byte{2}, 0)
		return err
	}},
	{"Incr", true, func(ctx context.Context, d *Driver) error { _, err := d.Incr(ctx, "t:k", 1, 0, 0); return err }},
	{"SetMany", true, func(ctx context.Context, d *Driver) error {
		return d.SetMany(ctx, []store.Item{{Key: "t:k", Value: []byte{1}}, {Key: "t:l"}}, 0)
	}},
	{"DeleteMany", true, func(ctx context.Context, d *Driver) error {
		_, err := d.DeleteMany(ctx, []string{"t:k", "t:l"})
		return err
	}},
}

// wantKinds states what all calls answer: the reads one kind, the writes another.
func wantKinds(t *testing.T, d *Driver, read, write, text string) {
	t.Helper()
	for _, c := range calls {
		want := read
		if c.writes {
			want = write
		}
		err := c.do(testContext(t), d)
		if store.Kind(err) != want || want != "" && !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q with %q", c.name, err, want, text)
		}
	}
}

func TestServer_ReadOnly_RefusesWritesAsUnavailable(t *testing.T) {
	server := mariadbtest.Shared(t)
	d := openURL(t, server.URL())
	must(0, d.Set(testContext(t), "t:k", []byte{1}, 0))(t)
	server.Exec(t, "SET GLOBAL read_only = 1")
	t.Cleanup(func() { server.Exec(t, "SET GLOBAL read_only = 0") })
	wantKinds(t, d, "", "unavailable", "is read-only")
	if open := d.db.Stats().OpenConnections; open > 1 {
		t.Errorf("%d connections: one that met a read-only server must not be used again", open)
	}
	server.Exec(t, "SET GLOBAL read_only = 0")
	wantKinds(t, d, "", "", "")
}

func TestServer_WithoutPrivilege_Denies(t *testing.T) {
	server := mariadbtest.Shared(t)
	o := optionsOf(openURL(t, server.URL()))
	account := fmt.Sprintf("'reader_%s'@'%%'", o.Database)
	server.Exec(t, fmt.Sprintf("CREATE USER %s IDENTIFIED BY 'reads'; GRANT SELECT ON %s.* TO %[1]s", account, o.Database))
	t.Cleanup(func() { server.Exec(t, "DROP USER "+account) })
	o.Username, o.Password = "reader_"+o.Database, "reads"
	d := openOptions(t, o)
	must(0, openURL(t, server.URL()).Set(testContext(t), "t:k", []byte{1}, 0))(t)
	wantKinds(t, d, "", "denied", "command denied")
	o.Table = "other"
	if _, err := Opener(o).Open(testContext(t)); store.Kind(err) != "denied" {
		t.Errorf("creating a table without the privilege: %v", err)
	}
}

func TestServer_TableDroppedWhileOpen_SaysHowToCreateIt(t *testing.T) {
	server := mariadbtest.Shared(t)
	d := openURL(t, server.URL())
	must(0, d.Set(testContext(t), "t:k", []byte{1}, 0))(t)
	server.Exec(t, "DROP TABLE luastore")
	wantKinds(t, d, "unavailable", "unavailable", "CREATE TABLE IF NOT EXISTS `luastore`")
	server.Exec(t, d.sql.definition)
	must(0, d.Set(testContext(t), "t:k", []byte{1}, 0))(t)
	wantKinds(t, d, "", "", "")
}

func TestServer_ThatWasRestarted_IsFoundAgain(t *testing.T) {
	server := mariadbtest.Start(t, nil)
	d := openURL(t, server.URL())
	must(0, d.Set(testContext(t), "t:k", []byte{1}, 0))(t)
	server.Stop()
	wantKinds(t, d, "unavailable", "unavailable", "no connection to MySQL at "+server.Addr())
	server.Restart(t)
	wantKinds(t, d, "", "", "")
}

func TestOpen_RefusedLogin_TellsWhy(t *testing.T) {
	server := mariadbtest.Shared(t)
	good := *must(ParseURL(server.URL()))(t)
	limited := fmt.Sprintf("'limited_%s'@'%%'", good.Database)
	server.Exec(t, fmt.Sprintf("CREATE USER %s IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 1; GRANT ALL ON %s.* TO %[1]s", limited, good.Database))
	t.Cleanup(func() { server.Exec(t, "DROP USER "+limited) })
	only := good
	only.Username, only.Password = "limited_"+good.Database, "x"
	openOptions(t, &only)
	for want, change := range map[string]func(o *Options){
		"refuses the login of user":          func(o *Options) { o.Password = "wrong" },
		`refuses the login of user "nobody"`: func(o *Options) { o.Username = "nobody" },
		"no database":                        func(o *Options) { o.Database = "luastore_none" },
		`for database "mysql"`:               func(o *Options) { o.Database = "mysql" },
		"no connection left":                 func(o *Options) { *o = only; o.Table = "t2" },
		"connection refused":                 func(o *Options) { o.Address = "127.0.0.1:1" },
		"does not support TLS":               func(o *Options) { o.TLS = true },
	} {
		o := good
		change(&o)
		_, err := Opener(&o).Open(testContext(t))
		if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestOpen_SysdateIsNow_IsRefused(t *testing.T) {
	server := mariadbtest.Start(t, &mariadbtest.Options{Args: []string{"--sysdate-is-now"}})
	_, err := Opener(must(ParseURL(server.URL()))(t)).Open(testContext(t))
	if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "sysdate-is-now") {
		t.Errorf("got %v", err)
	}
}

func TestOpen_WithTLS_VerifiesTheServer(t *testing.T) {
	server := mariadbtest.Start(t, &mariadbtest.Options{TLS: true})
	good := *must(ParseURL(server.URL()))(t)
	must(0, openOptions(t, &good).Set(testContext(t), "t:k", []byte{1}, 0))(t)
	verified := good
	verified.CertFile, verified.KeyFile = "", ""
	skipping := verified
	skipping.CAFile, skipping.SkipVerify = "", true
	openOptions(t, &skipping)
	for want, change := range map[string]func(o *Options){
		"certificate":       func(o *Options) { o.CAFile = "" },
		"not other.example": func(o *Options) { o.ServerName = "other.example" },
		"tls=true":          func(o *Options) { o.TLS, o.CAFile = false, "" },
	} {
		o := verified
		change(&o)
		_, err := Opener(&o).Open(testContext(t))
		if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
