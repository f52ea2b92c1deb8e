package sqlite

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/luastore/store"
)

// reads are calls that see whether an entry is there, as 1 or 0.
var reads = map[string]func(ctx context.Context, d *Driver, key string) (int, error){
	"Get": func(ctx context.Context, d *Driver, key string) (int, error) {
		_, err := d.Get(ctx, key)
		return found(err)
	},
	"TTL": func(ctx context.Context, d *Driver, key string) (int, error) {
		_, err := d.TTL(ctx, key)
		return found(err)
	},
	"Has": func(ctx context.Context, d *Driver, key string) (int, error) {
		has, err := d.Has(ctx, key)
		if !has {
			return 0, err
		}
		return 1, err
	},
	"GetMany": func(ctx context.Context, d *Driver, key string) (int, error) {
		values, err := d.GetMany(ctx, []string{key})
		if err != nil || values[0] == nil {
			return 0, err
		}
		return 1, nil
	},
	"List": func(ctx context.Context, d *Driver, key string) (int, error) {
		page, err := d.List(ctx, key, "", 10)
		return len(page.Keys), err
	},
}

func found(err error) (int, error) {
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// whileTouched sets entries that expire, and calls during when they have while a transaction that has extended one of them, t:k,
// is under way. The returned function lets that commit.
func whileTouched(t *testing.T, d *Driver) (commit func()) {
	t.Helper()
	for ttl := 100 * time.Millisecond; ; ttl *= 2 {
		commit, began := touch(t, d, ttl)
		if began {
			later := now() + instant(ttl)
			eventually(t, "the entries have expired", func() bool { return now() > later })
			return commit
		}
		commit() // a slow machine needs longer
	}
}

// touch sets the entries for ttl and begins the transaction. It returns whether that was in time.
func touch(t *testing.T, d *Driver, ttl time.Duration) (commit func(), began bool) {
	t.Helper()
	ctx := testContext(t)
	if err := d.SetMany(ctx, []store.Item{{Key: "t:k", Value: []byte("v")}, {Key: "u:k", Value: []byte("v")}}, ttl); err != nil {
		t.Fatal(err)
	}
	inside, proceed, done := make(chan int64), make(chan struct{}), make(chan error)
	go func() {
		done <- d.write(ctx, 0, func(c *conn, at instant) error {
			n, err := c.exec(touchQuery, []byte("t:k"), at.micros(), at.after(time.Hour))
			inside <- n
			<-proceed
			return err
		})
	}()
	began = <-inside == 1
	return func() {
		close(proceed)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}, began
}

func TestRead_EntryThatExpiresDuringATransaction_IsNotGoneBeforeItIsDecided(t *testing.T) {
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			d := openNew(t)
			commit := whileTouched(t, d)
			ctx, cancel := context.WithTimeout(testContext(t), 10*time.Millisecond)
			defer cancel()
			if n, err := read(ctx, d, "t:k"); !errors.Is(err, store.ErrTimeout) {
				t.Errorf("while the transaction that extends it is under way: %d, %v, want a timeout", n, err)
			}
			answer := make(chan int)
			for _, key := range []string{"t:k", "u:k"} {
				go func() {
					n, err := read(testContext(t), d, key)
					if err != nil {
						t.Error(err)
					}
					answer <- n
				}()
			}
			commit()
			if n := <-answer + <-answer; n != 1 {
				t.Errorf("%d of the two are there, want the one that was extended", n)
			}
			if n, err := read(testContext(t), d, "u:k"); n != 0 || err != nil {
				t.Errorf("the other: %d, %v", n, err)
			}
		})
	}
}

func TestRead_EntryThatExpiredBeforeATransaction_IsGoneAtOnce(t *testing.T) {
	d := openNew(t)
	expired(t, d, 1, 1)
	commit := whileTouched(t, d)
	defer commit()
	for name, read := range reads {
		if n, err := read(testContext(t), d, "t:00000"); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}
