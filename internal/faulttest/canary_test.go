package faulttest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/faulttest"
	"github.com/luastore/store/internal/servertest"
)

// discreet are options that nothing prints.
type discreet struct {
	addr     string
	password func() string
}

func (o discreet) Format(f fmt.State, _ rune)   { io.WriteString(f, "options for "+o.addr) }
func (o discreet) MarshalText() ([]byte, error) { return []byte("options for " + o.addr), nil }

// whole is the rest of a driver, for a toy that is asked for everything.
type whole struct{ *toy }

func (d whole) Info() store.Info { return store.Info{Driver: "toy"} }
func (d whole) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	v, err := d.Get(ctx, key)
	return v, 0, err
}
func (d whole) TTL(ctx context.Context, key string) (time.Duration, error) {
	_, err := d.Get(ctx, key)
	return 0, err
}
func (d whole) Touch(ctx context.Context, key string, _ time.Duration) (bool, error) {
	return d.Has(ctx, key)
}
func (d whole) List(ctx context.Context, prefix, _ string, _ int) (store.Page, error) {
	_, err := d.Has(ctx, prefix)
	return store.Page{}, err
}
func (d whole) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	_, err := d.Has(ctx, keys[0])
	return nil, err
}
func (d whole) SetMany(ctx context.Context, entries []store.Item, _ time.Duration) error {
	return d.Set(ctx, entries[0].Key, entries[0].Value, 0)
}
func (d whole) DeleteMany(ctx context.Context, keys []string) (int, error) {
	_, err := d.Delete(ctx, keys[0])
	return 0, err
}

// parseToy is a ParseURL that says nothing.
func parseToy(raw string) (*discreet, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "toy" || u.Host == "" || u.Port() == "" || u.User.Username() != "user" {
		return nil, store.Errorf(store.ErrInvalid, "invalid URL")
	}
	password, _ := u.User.Password()
	return &discreet{addr: u.Host, password: func() string { return password }}, nil
}

func openerOfToy(o *discreet) store.Opener {
	return store.Opener{Connection: o.addr, Open: func(ctx context.Context) (store.Driver, error) {
		d := whole{openToy(o.addr, fault{})}
		if _, err := d.Has(ctx, "key"); err != nil {
			d.Close()
			return nil, err
		}
		return d, nil
	}}
}

func secret(t *testing.T) faulttest.Secret[*discreet] {
	server := startToy(t)
	at := "user:" + servertest.Password() + "@" + server.addr + "/db"
	return faulttest.Secret[*discreet]{
		URL: "toy://" + at, TLSURL: "toys://" + at, ParseURL: parseToy, Opener: openerOfToy, Kill: server.kill,
	}
}

func TestCanary_DiscreetDriver_Passes(t *testing.T) {
	if n := faulttest.Canary(t, secret(t)); n < 50 {
		t.Errorf("only %d ways to fail", n)
	}
}

// A leak is a driver that tells its password in one way.
type leak struct {
	name string
	leak func(s *faulttest.Secret[*discreet])
}

var leaks = []leak{
	{"in the error of a URL", func(s *faulttest.Secret[*discreet]) {
		s.ParseURL = func(raw string) (*discreet, error) {
			if _, err := url.Parse(raw); err != nil {
				return nil, err
			}
			return parseToy(raw)
		}
	}},
	{"in an error behind an error", inOpenError(func(password string) error {
		return fmt.Errorf("cannot connect%w", quiet{errors.New("as " + password)})
	})},
	{"reversed", inOpenError(func(password string) error {
		backwards := []byte(password)
		slices.Reverse(backwards)
		return errors.New(string(backwards))
	})},
	{"in base64", inOpenError(func(password string) error {
		return errors.New("Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+password)))
	})},
	{"a half of it", inOpenError(func(password string) error { return errors.New(password[:len(password)/2]) })},
	{"in the log", inOpenError(func(password string) error {
		log.Print("login with ", password)
		return errors.New("refused")
	})},
	{"in the connection", func(s *faulttest.Secret[*discreet]) {
		s.Opener = func(o *discreet) store.Opener {
			opener := openerOfToy(o)
			opener.Connection = struct{ addr, password string }{o.addr, o.password()}
			return opener
		}
	}},
}

// quiet wraps an error and says nothing of it.
type quiet struct{ err error }

func (q quiet) Error() string { return "" }
func (q quiet) Unwrap() error { return q.err }

// inOpenError makes the error of each failed opening.
func inOpenError(of func(password string) error) func(s *faulttest.Secret[*discreet]) {
	return func(s *faulttest.Secret[*discreet]) {
		s.Opener = func(o *discreet) store.Opener {
			opener := openerOfToy(o)
			open := opener.Open
			opener.Open = func(ctx context.Context) (store.Driver, error) {
				d, err := open(ctx)
				if err != nil {
					return nil, of(o.password())
				}
				return d, nil
			}
			return opener
		}
	}
}

// leakToRun names the leak that a child of this test binary runs on.
const leakToRun = "FAULTTEST_LEAK"

// TestLeak looks at a driver that leaks: it fails in the children that the next test starts, and runs nowhere else.
func TestLeak(t *testing.T) {
	if i := slices.IndexFunc(leaks, func(l leak) bool { return l.name == os.Getenv(leakToRun) }); i >= 0 {
		s := secret(t)
		leaks[i].leak(&s)
		faulttest.Canary(t, s)
	}
}

func TestCanary_EveryLeak_IsSeen(t *testing.T) {
	for _, l := range leaks {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLeak$", "-test.timeout=2m")
			child.Env = append(os.Environ(), leakToRun+"="+l.name)
			out, err := child.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "the password is there") || strings.Contains(string(out), "panic: ") {
				t.Errorf("not seen (%v):\n%s", err, out)
			}
		})
	}
}
