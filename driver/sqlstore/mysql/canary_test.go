package mysql

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/luastore/store/internal/mariadbtest"
)

// canary is a password that must show nowhere.
const canary = "canary-7f3a9c"

// A listener gathers all that is said, and how often something failed.
type listener struct {
	mu       sync.Mutex
	said     strings.Builder
	failures int
}

func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.Write(p)
}

func (l *listener) heard(err error) {
	if err != nil {
		l.failures++
	}
	fmt.Fprintf(l, "%v|%+v|%#v\n", err, err, err)
	slog.New(slog.NewJSONHandler(l, nil)).Info("failed", "err", err)
}

func TestPassword_IsInNoErrorLogOrInfo(t *testing.T) {
	l := &listener{}
	log.SetOutput(l)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	server := mariadbtest.Start(t, &mariadbtest.Options{Password: canary})
	for raw := range mistakes {
		_, err := ParseURL(strings.ReplaceAll(raw, "hunter2", canary))
		l.heard(err)
	}
	good := *must(ParseURL(server.URL()))(t)
	for _, change := range []func(o *Options){
		func(o *Options) { o.Username = "nobody" },
		func(o *Options) { o.Password += canary },
		func(o *Options) { o.Database = "luastore_none" },
		func(o *Options) { o.Address = canary },
		func(o *Options) { o.Address = "127.0.0.1:1" },
		func(o *Options) { o.TLS = true },
		func(o *Options) { o.NoCreate = true },
	} {
		o := good
		change(&o)
		_, err := Opener(&o).Open(testContext(t))
		l.heard(err)
		fmt.Fprintf(l, "%v %+v %#v %s %v\n", o, &o, o, o.Redacted(), Opener(&o).Connection)
	}
	d := openOptions(t, &good)
	fmt.Fprintf(l, "%+v %+v %+v\n", d.Info(), d, d.target)
	for _, state := range []func() context.Context{
		func() context.Context { return testContext(t) },
		func() context.Context { server.Exec(t, "SET GLOBAL read_only = 1"); return testContext(t) },
		func() context.Context { ctx, cancel := context.WithCancel(testContext(t)); cancel(); return ctx },
		func() context.Context { server.Exec(t, "DROP TABLE luastore"); return testContext(t) },
		func() context.Context {
			server.Exec(t, "ALTER USER luastore IDENTIFIED BY 'changed'")
			d.silent()
			return testContext(t)
		},
		func() context.Context { server.Kill(); return testContext(t) },
		func() context.Context { d.Close(); return testContext(t) },
	} {
		ctx := state()
		for _, c := range calls {
			l.heard(c.do(ctx, d))
		}
	}
	if l.failures < 50 {
		t.Errorf("only %d failures", l.failures)
	}
	for line := range strings.Lines(l.said.String()) {
		if strings.Contains(line, canary) || strings.Contains(line, fmt.Sprintf("%x", canary)) {
			t.Errorf("the password is in %s", line)
		}
	}
	t.Logf("%d failures", l.failures)
}
