package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
)

// killed are the writes whose answer tells whether there was an entry. Each is asked about one that there is for sure, and
// answers false to the contrary; restore makes it be again.
var killed = map[string]struct {
	do      func(ctx context.Context, d *Driver, key string) (bool, error)
	restore bool
}{
	"Delete": {func(ctx context.Context, d *Driver, key string) (bool, error) { return d.Delete(ctx, key) }, true},
	"SwapDelete": {func(ctx context.Context, d *Driver, key string) (bool, error) {
		return d.CompareAndSwap(ctx, key, []byte{1}, nil, 0)
	}, true},
	"DeleteMany": {func(ctx context.Context, d *Driver, key string) (bool, error) {
		n, err := d.DeleteMany(ctx, []string{key})
		return n == 1, err
	}, true},
	"Touch": {func(ctx context.Context, d *Driver, key string) (bool, error) { return d.Touch(ctx, key, time.Hour) }, false},
	"Swap": {func(ctx context.Context, d *Driver, key string) (bool, error) {
		return d.CompareAndSwap(ctx, key, []byte{1}, []byte{1}, 0)
	}, false},
	"SwapKeep": {func(ctx context.Context, d *Driver, key string) (bool, error) {
		return d.CompareAndSwap(ctx, key, []byte{1}, []byte{1}, store.KeepTTL)
	}, false},
	"Create": {func(ctx context.Context, d *Driver, key string) (bool, error) {
		ok, err := d.CompareAndSwap(ctx, key, nil, []byte{2}, 0)
		return !ok, err
	}, false},
	"Incr": {func(ctx context.Context, d *Driver, key string) (bool, error) {
		d.metAt.Store(math.MaxInt64)
		n, err := d.Incr(ctx, key+"n", 1, 0, 0)
		return n > 0, err
	}, false},
	"Has": {func(ctx context.Context, d *Driver, key string) (bool, error) { return d.Has(ctx, key) }, false},
}

// MariaDB answers some statements that an administrator kills as if they had found no row.
func TestKill_OfAStatement_NeverMakesItAnswerThatThereIsNoEntry(t *testing.T) {
	server := mariadbtest.Shared(t)
	var keepers sync.WaitGroup
	d, beside := openURL(t, server.URL()), openURL(t, watcherURL(t, server))
	stop := make(chan struct{})
	keepers.Go(func() { killQueries(t, server, stop) })
	for name, k := range killed {
		t.Run(name, func(t *testing.T) {
			var wrong, asked, failed atomic.Int64
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					key := fmt.Sprint("t:", i)
					ctx := testContext(t)
					if err := beside.Set(ctx, key, []byte{1}, 0); err != nil {
						t.Error(err)
						return
					}
					for start := time.Now(); time.Since(start) < killFor || failed.Load() < killedEnough && time.Since(start) < 20*time.Second; {
						found, err := k.do(ctx, d, key)
						asked.Add(1)
						if err != nil {
							failed.Add(1)
						} else if !found {
							wrong.Add(1)
						}
						if !k.restore {
							continue
						}
						if err := beside.Set(ctx, key, []byte{1}, 0); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if wrong.Load() > 0 || failed.Load() == 0 {
				t.Errorf("%d of %d answered that there is no entry, %d failed", wrong.Load(), asked.Load(), failed.Load())
			}
			t.Logf("%d asked, %d failed", asked.Load(), failed.Load())
		})
	}
	close(stop)
	keepers.Wait()
}

const (
	// killFor is how long each operation is asked, or until enough were killed.
	killFor = 250 * time.Millisecond
	// killedEnough shows about four deletions of the form that is answered as if it had found nothing.
	killedEnough = 10
)

// watcherURL returns the address of the database for a user who is not killed.
func watcherURL(t *testing.T, server *mariadbtest.Server) string {
	t.Helper()
	o := must(ParseURL(server.URL()))(t)
	server.Exec(t, "CREATE USER watcher@'%' IDENTIFIED BY 'w'; GRANT ALL ON "+o.Database+".* TO watcher@'%'")
	t.Cleanup(func() { server.Exec(t, "DROP USER watcher@'%'") })
	return fmt.Sprintf("mysql://watcher:w@%s/%s", o.Address, o.Database)
}

// killQueries kills what the sessions of the driver do, again and again.
func killQueries(t *testing.T, server *mariadbtest.Server, stop chan struct{}) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr = "root", server.Password, "unix", server.Dir+"/socket"
	db := sql.OpenDB(must(mysql.NewConnector(config))(t))
	defer db.Close()
	for {
		for _, id := range sessions(t, db) {
			if _, err := db.Exec("KILL QUERY " + id); err != nil && number(err) != 1094 { // it is gone
				t.Error(err)
			}
			for range rand.IntN(20) { // to meet statements at each of their stages
				select {
				case <-stop:
					return
				default:
				}
			}
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

func sessions(t *testing.T, db *sql.DB) []string {
	rows, err := db.Query("SELECT id FROM information_schema.processlist WHERE user = ?", mariadbtest.User)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Error(err)
		}
		ids = append(ids, id)
	}
	return ids
}
