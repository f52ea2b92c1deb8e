package natstest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/luastore/store/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// bucket makes the bucket that the URL of a server names.
func bucket(t *testing.T, s *Server) jetstream.KeyValue {
	t.Helper()
	kv, err := jetStream(t, s).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: s.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func jetStream(t *testing.T, s *Server) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(s.Conn(t))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestStart_ServesUntilTheTestEnds(t *testing.T) {
	var addr, dir string
	t.Run("inner", func(t *testing.T) {
		s := Start(t, nil)
		addr, dir = s.Addr(), s.Dir
		bucket(t, s)
	})
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the server outlived its test")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder outlived its test: %v", err)
	}
}

func TestStart_Restart_KeepsTheAddressAndTheData(t *testing.T) {
	s := Start(t, nil)
	addr, pid := s.Addr(), s.PID()
	kv := bucket(t, s)
	if _, err := kv.PutString(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	if s.Addr() != addr || s.PID() == pid {
		t.Errorf("after the restart: address %s, was %s; process %d, was %d", s.Addr(), addr, s.PID(), pid)
	}
	kv, err := jetStream(t, s).KeyValue(t.Context(), s.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := kv.Get(t.Context(), "k"); err != nil || string(entry.Value()) != "v" {
		t.Errorf("after the restart: %v, %v", entry, err)
	}
}

func TestConn_ComesBackWithTheServer(t *testing.T) {
	s := Start(t, nil)
	conn := s.Conn(t)
	s.Restart(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := servertest.Within(10*time.Second, nil, func() error { return conn.FlushWithContext(ctx) }); err != nil {
		t.Error(err)
	}
}

func TestStart_Config_WinsOverWhatIsThere(t *testing.T) {
	s := Start(t, &Options{Config: "max_payload: 12345\njetstream { store_dir: other, max_memory_store: 7MB }"})
	if got := s.Conn(t).MaxPayload(); got != 12345 {
		t.Errorf("max_payload is %d", got)
	}
	bucket(t, s)
	if _, err := os.Stat(filepath.Join(s.Dir, "other")); err != nil {
		t.Error(err)
	}
}

func TestStart_WithAccess_TakesNobodyWithout(t *testing.T) {
	for name, o := range map[string]*Options{
		"TLS":   {TLS: true},
		"user":  {User: "alice", Password: servertest.Password()},
		"token": {Token: servertest.Password()},
		"nkey":  {NKey: true},
		"creds": {Creds: true},
		"both":  {TLS: true, Creds: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := Start(t, o)
			if _, err := bucket(t, s).PutString(t.Context(), "k", "v"); err != nil {
				t.Error(err)
			}
			if conn, err := nats.Connect("nats://" + s.Addr()); err == nil {
				conn.Close()
				t.Error("a client that shows nothing is let in")
			}
			if (s.CAFile != "") != o.TLS || (s.SeedFile != "") != o.NKey || (s.CredsFile != "") != o.Creds {
				t.Errorf("files %q, %q, %q", s.CAFile, s.SeedFile, s.CredsFile)
			}
		})
	}
}

func TestServer_URL_NamesTheBucketAndNoSecret(t *testing.T) {
	s := Start(t, &Options{User: "alice", Password: "canary"})
	u, err := url.Parse(s.URL())
	if err != nil || u.Scheme != "nats" || u.Host != s.Addr() || u.Path != "/"+s.Bucket || u.User != nil || u.RawQuery != "" {
		t.Errorf("%s: %v", s.URL(), err)
	}
}

func TestShared_GivesEachTestABucketThatIsDeletedAfterIt(t *testing.T) {
	a := Shared(t)
	var b *Server
	t.Run("inner", func(t *testing.T) {
		b = Shared(t)
		bucket(t, b)
	})
	if a.PID() != b.PID() || a.URL() == b.URL() {
		t.Fatalf("%s and %s, processes %d and %d", a.URL(), b.URL(), a.PID(), b.PID())
	}
	if _, err := jetStream(t, b).KeyValue(t.Context(), b.Bucket); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Errorf("the bucket outlived its test: %v", err)
	}
}

func TestNewEnough_OnlyFromTheVersionOnThatTestsNeed(t *testing.T) {
	for text, want := range map[string]bool{
		"nats-server: v2.9.25": false, "nats-server: v2.11.0": true, "nats-server: v2.20.1-RC.1": true,
		"nats-server: v1.99.0": false, "nats-server: v3.0.0": false, "": false,
	} {
		if got := newEnough(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestFind_MissingServer_SkipsOrFails(t *testing.T) {
	for require, want := range map[string]string{"": "SKIP", "1": "FAIL"} {
		command := exec.Command(os.Args[0], "-test.run=TestStart_ServesUntil", "-test.v")
		command.Env = append(os.Environ(), EnvServer+"=/no/such/server", EnvRequire+"="+require)
		output, _ := command.CombinedOutput()
		if !strings.Contains(string(output), want) || !strings.Contains(string(output), "go install github.com/nats-io/nats-server") {
			t.Errorf("with %s=%q, want %s and advice, got:\n%s", EnvRequire, require, want, output)
		}
	}
}
