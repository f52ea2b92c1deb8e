package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/pgtest"
	"github.com/luastore/store/value"
)

// contested are writes that wait for the row of a key. Each answers as text.
var contested = map[string]func(ctx context.Context, d *Driver, key string) (any, error){
	"set": func(ctx context.Context, d *Driver, key string) (any, error) {
		return "", d.Set(ctx, key, []byte("new"), 0)
	},
	"keep": func(ctx context.Context, d *Driver, key string) (any, error) {
		return "", d.Set(ctx, key, []byte("new"), store.KeepTTL)
	},
	"many": func(ctx context.Context, d *Driver, key string) (any, error) {
		return "", d.SetMany(ctx, []store.Item{{Key: key, Value: []byte("new")}}, 0)
	},
	"touch": func(ctx context.Context, d *Driver, key string) (any, error) { return d.Touch(ctx, key, 0) },
	"cas": func(ctx context.Context, d *Driver, key string) (any, error) {
		return d.CompareAndSwap(ctx, key, one, []byte("new"), 0)
	},
	"swap": func(ctx context.Context, d *Driver, key string) (any, error) {
		return d.CompareAndSwap(ctx, key, one, []byte("new"), store.KeepTTL)
	},
	"drop": func(ctx context.Context, d *Driver, key string) (any, error) {
		return d.CompareAndSwap(ctx, key, one, nil, 0)
	},
	"absent": func(ctx context.Context, d *Driver, key string) (any, error) {
		return d.CompareAndSwap(ctx, key, nil, []byte("new"), 0)
	},
	"delete": func(ctx context.Context, d *Driver, key string) (any, error) { return d.Delete(ctx, key) },
	"remove": func(ctx context.Context, d *Driver, key string) (any, error) { return d.DeleteMany(ctx, []string{key}) },
	"incr":   func(ctx context.Context, d *Driver, key string) (any, error) { return d.Incr(ctx, key, 1, 10, 0) },
}

var one = value.AppendNumber(nil, 1)

// What others may do to a row for which a write waits: what it finds is judged by the time after the wait. Rows hold the number 1.
var waits = map[string]struct {
	lives  time.Duration // of the entries; negative: they have expired; 0: there are none
	midst  string        // what the other one does in its transaction
	expire bool          // whether it waits for the entries to expire
	end    string
	want   string // answer and then what is found: value, and ! where it expires
}{
	"locked and left": {lives: time.Hour, midst: locked, end: "ROLLBACK", want: `set: new; keep: new!; many: new; touch:true 1; cas:true new;
		swap:true new!; drop:true gone; absent:false 1!; delete:true gone; remove:1 gone; incr:2 2!`},
	"locked until it has expired": {lives: 300 * time.Millisecond, midst: locked, expire: true, end: "ROLLBACK", want: `set: new; keep: new; many: new;
		touch:false gone; cas:false gone; swap:false gone; drop:false gone; absent:false gone; delete:false gone; remove:0 gone; incr:11 11`},
	"locked when it has expired": {lives: -time.Hour, midst: locked, end: "ROLLBACK", want: `set: new; keep: new; many: new;
		touch:false gone; cas:false gone; swap:false gone; drop:false gone; absent:true new; delete:false gone; remove:0 gone; incr:11 11`},
	"touched until then": {lives: 300 * time.Millisecond, midst: "UPDATE luastore SET expires = expires + 3600000000", expire: true, end: "COMMIT",
		want: `set: new; keep: new!; many: new; touch:true 1; cas:true new; swap:true new!; drop:true gone; absent:false 1!; delete:true gone; remove:1 gone; incr:2 2!`},
	"revived": {lives: -time.Hour, midst: "UPDATE luastore SET expires = expires + 7200000000", end: "COMMIT",
		want: `set: new; keep: new!; many: new; touch:true 1; cas:true new; swap:true new!; drop:true gone; absent:false 1!; delete:true gone; remove:1 gone; incr:2 2!`},
	"changed": {lives: time.Hour, midst: `UPDATE luastore SET value = '\x6f74686572'`, end: "COMMIT", want: `set: new; keep: new!; many: new; touch:true other;
		cas:false other!; swap:false other!; drop:false other!; absent:false other!; delete:true gone; remove:1 gone; incr:invalid other!`},
	"deleted": {lives: time.Hour, midst: "DELETE FROM luastore", end: "COMMIT", want: `set: new; keep: new; many: new; touch:false gone; cas:false gone;
		swap:false gone; drop:false gone; absent:false gone; delete:false gone; remove:0 gone; incr:11 11`},
	"deleted, but rolled back": {lives: time.Hour, midst: "DELETE FROM luastore", end: "ROLLBACK", want: `set: new; keep: new!; many: new; touch:true 1; cas:true new;
		swap:true new!; drop:true gone; absent:false 1!; delete:true gone; remove:1 gone; incr:2 2!`},
	// DeleteMany does not see the new row: see the package comment.
	"replaced": {lives: time.Hour, midst: "CREATE TEMP TABLE copy ON COMMIT DROP AS TABLE luastore; DELETE FROM luastore; INSERT INTO luastore TABLE copy", end: "COMMIT",
		want: `set: new; keep: new!; many: new; touch:true 1; cas:true new; swap:true new!; drop:true gone; absent:false 1!; delete:true gone; remove:0 1!; incr:2 2!`},
	"created":                  {midst: created, end: "COMMIT", want: `set: new; keep: new!; many: new; absent:false 1!; incr:2 2!`},
	"created, but rolled back": {midst: created, end: "ROLLBACK", want: `set: new; keep: new; many: new; absent:true new; incr:11 11`},
}

const (
	locked  = "SELECT count(*) FROM (SELECT FROM luastore FOR UPDATE) e"
	created = `INSERT INTO luastore SELECT convert_to(k, 'UTF8'), '\x{one}', 9e15 FROM unnest('{keys}'::text[]) k`
)

func TestDriver_WriteThatWaited_IsJudgedByTheTimeAfter(t *testing.T) {
	for name, w := range waits {
		t.Run(name, func(t *testing.T) {
			got, inTime := contest(t, w.lives, w.midst, w.end, w.expire)
			for lives := 2 * w.lives; !inTime; lives *= 2 { // a slow machine needs longer to wait for what is not to have expired
				if lives > time.Minute {
					t.Fatal("entries that live half a minute expire before some writes wait for them")
				}
				got, inTime = contest(t, lives, w.midst, w.end, w.expire)
			}
			for _, want := range strings.Split(w.want, ";") {
				key, answer, _ := strings.Cut(strings.TrimSpace(want), ":")
				if got[key] != answer {
					t.Errorf("%s: got %q, want %q", key, got[key], answer)
				}
			}
		})
	}
}

// contest makes all contested writes at a time while another one has the rows, and returns what they answered and what is found
// then. It returns whether all of them waited before the entries had expired, where that is what they are to wait for.
func contest(t *testing.T, lives time.Duration, midst, end string, expire bool) (got map[string]string, inTime bool) {
	t.Helper()
	server := pgtest.Shared(t)
	drivers := []*Driver{openURL(t, server.URL()), openURL(t, server.URL()+"?max_conns=20")}
	ctx := testContext(t)
	var keys []string
	for name := range contested {
		keys = append(keys, name)
	}
	fill(t, server, keys, lives)
	rival := must(drivers[0].pool.acquire(ctx))(t)
	midst = strings.NewReplacer("{one}", fmt.Sprintf("%x", one), "{keys}", "{"+strings.Join(keys, ",")+"}").Replace(midst)
	script(t, rival, "BEGIN; "+midst)
	answers := make(chan string, len(keys))
	for i, key := range keys {
		go func() {
			answer, err := contested[key](ctx, drivers[i%2], key)
			if err != nil {
				answer = store.Kind(err)
			}
			answers <- fmt.Sprintf("%s:%v", key, answer)
		}()
	}
	eventually(t, "all have answered or wait", func() bool {
		return fmt.Sprint(len(keys)-len(answers)) == server.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
	})
	inTime = true
	if expire {
		inTime = server.Query(t, "SELECT count(*) FROM luastore WHERE expires <= extract(epoch FROM clock_timestamp()) * 1000000") == "0"
		<-time.After(lives + time.Millisecond)
	}
	script(t, rival, end)
	drivers[0].pool.release(rival)
	got = map[string]string{}
	for range keys {
		key, answer, _ := strings.Cut(<-answers, ":")
		got[key] = answer + " " + found(t, drivers[1], key)
	}
	drivers[0].sweep(ctx)
	if n := server.Query(t, "SELECT count(*) FROM luastore WHERE expires < 1e15"); n != "0" {
		t.Errorf("%s rows that have expired are left", n)
	}
	return got, inTime
}

// fill makes an entry of each key, if it lives at all.
func fill(t *testing.T, server *pgtest.Server, keys []string, lives time.Duration) {
	t.Helper()
	if lives == 0 {
		return
	}
	server.Exec(t, fmt.Sprintf(`INSERT INTO luastore SELECT convert_to(k, 'UTF8'), '\x%x', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + %d
		FROM unnest('{%s}'::text[]) k`, one, lives.Microseconds(), strings.Join(keys, ",")))
}

func script(t *testing.T, c *conn, sql string) {
	t.Helper()
	if _, err := c.pg.Exec(testContext(t), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// found describes an entry.
func found(t *testing.T, d *Driver, key string) string {
	t.Helper()
	v, ttl, err := d.Entry(testContext(t), key)
	text := string(v)
	if n, ok := value.ParseNumber(v); ok {
		text = fmt.Sprint(n)
	}
	switch {
	case store.Kind(err) == "not_found":
		return "gone"
	case err != nil:
		t.Fatal(err)
	case ttl > 0:
		text += "!"
	}
	return text
}
