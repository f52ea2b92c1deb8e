package postgres

import (
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/pgtest"
)

func TestOpen_ByUnixSocket(t *testing.T) {
	server := pgtest.Shared(t)
	u := must(url.Parse(server.URL()))(t)
	u.Host = ""
	u.RawQuery = url.Values{"host": {server.Dir}, "port": {strconv.Itoa(server.Port)}}.Encode()
	d := openURL(t, u.String())
	if err := d.Set(testContext(t), "k:k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if n := server.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'luastore' AND client_addr IS NULL AND datname = current_database()"); n != "1" {
		t.Errorf("%s connections by the socket, want 1", n)
	}
	// The end of a connection shows on a socket too.
	server.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'luastore'")
	eventually(t, "the connection ended", func() bool { return connections(t, server) == "0" })
	if err := d.Set(testContext(t), "k:k", []byte("v"), 0); err != nil {
		t.Error(err)
	}
	u.RawQuery = url.Values{"host": {server.Dir}, "port": {"1"}}.Encode()
	if _, err := Opener(must(ParseURL(u.String()))(t)).Open(testContext(t)); store.Kind(err) != "unavailable" {
		t.Errorf("no socket: %v", err)
	}
}

func TestOpen_ClientCertificate(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, &pgtest.Options{TLS: true})
	d := openURL(t, server.URL())
	if err := d.Set(testContext(t), "k:k", nil, 0); err != nil {
		t.Fatal(err)
	}
	const shown = "SELECT client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'luastore'"
	if dn := server.Query(t, shown); dn == "" {
		t.Error("the server has not seen the certificate of the client")
	}
	hba := filepath.Join(server.Dir, "data", "pg_hba.conf")
	rules := "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"
	if err := os.WriteFile(hba, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "SELECT pg_reload_conf()")
	plain, _, _ := strings.Cut(server.URL(), "?")
	without := must(ParseURL(plain + "?sslmode=require"))(t)
	eventually(t, "the server demands a certificate", func() bool {
		d, err := Opener(without).Open(testContext(t))
		if err == nil {
			d.Close()
		}
		return store.Kind(err) == "unavailable"
	})
	openURL(t, server.URL()+"&application_name=with")
}

// A standby reads, and when it has become the primary the driver writes again by itself.
func TestDriver_Standby_ReadsUntilItIsPromoted(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, nil)
	d := openURL(t, server.URL())
	ctx := testContext(t)
	d.Set(ctx, "k:k", []byte("v"), 0)
	server.Stop()
	if err := os.WriteFile(filepath.Join(server.Dir, "data", "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	server.Restart(t)
	eventually(t, "the standby reads", func() bool { v, err := d.Get(ctx, "k:k"); return err == nil && string(v) == "v" })
	for _, err := range []error{d.Set(ctx, "k:k", nil, 0), second(d.Incr(ctx, "k:n", 1, 0, 0)), second(d.Delete(ctx, "k:k")), second(d.CompareAndSwap(ctx, "k:k", []byte("v"), nil, 0))} {
		if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "standby or read-only") {
			t.Errorf("a write: %v", err)
		}
	}
	openURL(t, server.URL())
	if _, err := Opener(must(ParseURL(server.URL() + "?table=other"))(t)).Open(ctx); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "standby") {
		t.Errorf("a standby without the table: %v", err)
	}
	server.Exec(t, "SELECT pg_promote()")
	eventually(t, "the primary writes", func() bool { return d.Set(ctx, "k:k", nil, 0) == nil })
}

func TestDriver_DiskFull_IsFullAndChangesNothing(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	ctx := testContext(t)
	d.Incr(ctx, "k:n", 1, 0, 0)
	server.Exec(t, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
		CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON luastore FOR EACH ROW EXECUTE FUNCTION full_disk()`)
	for name, err := range map[string]error{
		"set": d.Set(ctx, "k:k", nil, 0), "incr": second(d.Incr(ctx, "k:n", 1, 0, 0)), "touch": second(d.Touch(ctx, "k:n", 0)),
		"add": second(d.CompareAndSwap(ctx, "k:k", nil, []byte("v"), 0)), "many": d.SetMany(ctx, []store.Item{{Key: "k:k"}}, 0),
	} {
		if store.Kind(err) != "full" || !strings.Contains(err.Error(), "No space left") {
			t.Errorf("%s: %v", name, err)
		}
	}
	server.Exec(t, "DROP TRIGGER full_disk ON luastore")
	if n, err := d.Incr(ctx, "k:n", 1, 0, 0); n != 2 || err != nil {
		t.Errorf("when there is room again: %v, %v", n, err)
	}
}

// Statements that the server has forgotten, or that another shape of the table has made useless, cost one call and not a connection
// for good.
func TestDriver_StatementsForgotten_ArePreparedAnew(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL()+"?max_conns=1")
	ctx := testContext(t)
	d.Set(ctx, "k:k", []byte("v"), 0)
	c := must(d.pool.acquire(ctx))(t)
	script(t, c, "DEALLOCATE ALL")
	d.pool.release(c)
	if err := d.Set(ctx, "k:k", []byte("v"), 0); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "statement_cache=false") {
		t.Errorf("got %v", err)
	}
	if err := d.Set(ctx, "k:k", []byte("v"), 0); err != nil {
		t.Errorf("the next call: %v", err)
	}
}
