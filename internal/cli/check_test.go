package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/luastore/store/internal/redistest"
)

// deniedURL returns the URL of a Redis whose user may do nothing.
func deniedURL(t *testing.T) string {
	t.Helper()
	server := redistest.Start(t, &redistest.Options{Args: strings.Fields("--user someone on >sesame ~* -@all +hello +ping +client +select +auth")})
	_, address, _ := strings.Cut(server.URL(), "://")
	return "redis://someone:${SECRET}@" + address
}

// threeFaults returns the --store flags of one store that answers, one that denies, and one where nobody is.
func threeFaults(t *testing.T) []string {
	t.Helper()
	return []string{"--store", "fine=mem:", "--store", "shut=" + deniedURL(t), "--store", "gone=redis://:${SECRET}@" + refusing(t)}
}

// refusing returns an address where nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

var secretive = call{env: []string{"SECRET=sesame"}}

func TestCheck_EachStore_SaysHowItIs(t *testing.T) {
	t.Chdir(t.TempDir())
	faults := threeFaults(t)
	got := secretive.run(t, append([]string{"check"}, faults...)...)
	if got.code != 3 || strings.Contains(got.stdout+got.stderr, "sesame") {
		t.Errorf("got %+v", got)
	}
	if !matches(`fine  ok           memory  \S+\ngone  unreachable\nshut  denied\n`, got.stdout) {
		t.Errorf("printed\n%s", got.stdout)
	}
	if !matches(`luastore: store "gone": open: store unavailable: .*refused\nluastore: permission denied: store "shut": .*\n`, got.stderr) {
		t.Errorf("told\n%s", got.stderr)
	}

	got = secretive.run(t, append(append([]string{"check", "--json"}, faults...), "fine", "shut", "gone", "fien", "fine")...)
	var statuses []string
	for line := range strings.Lines(got.stdout) {
		var h struct {
			Store, Status, Driver, Error string
			Seconds                      float64
		}
		if err := json.Unmarshal([]byte(line), &h); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if (h.Error == "") != (h.Status == "ok") || (h.Driver == "memory") != (h.Store == "fine") {
			t.Errorf("got %s", line)
		}
		statuses = append(statuses, h.Store+" "+h.Status)
	}
	if want := "fine ok,shut denied,gone unreachable,fien unknown,fine ok"; strings.Join(statuses, ",") != want || got.code != 3 {
		t.Errorf("got %v, exit %d", statuses, got.code)
	}
	if !strings.Contains(got.stderr, `luastore: unknown store "fien": did you mean fine?`) {
		t.Errorf("told\n%s", got.stderr)
	}

	if got := luastore(t, "check", "--store", "fine=mem:"); got.code != 0 || got.stderr != "" {
		t.Errorf("got %+v", got)
	}
}

func TestCheck_WithoutAnyStore_SaysWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	want := outcome{3, "", "luastore: no stores are configured: want a file luastore.yaml here, --config file, or --store id=url\n"}
	if got := luastore(t, "check"); got != want {
		t.Errorf("got %+v", got)
	}
}

func TestCheck_Interrupt_EndsIt(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		if conn, err := listener.Accept(); err == nil {
			cancel(errors.New("interrupt signal received"))
			defer conn.Close()
			<-t.Context().Done()
		}
	}()
	got := call{ctx: ctx}.run(t, "check", "--store", "mute=redis://"+listener.Addr().String())
	if (got != outcome{1, "", "luastore: check stopped: interrupt signal received\n"}) {
		t.Errorf("got %+v", got)
	}
}

// Whatever the command: a store that is unknown, one that denies, and one that is out of reach are told apart, by name, without a secret.
func TestFaultsOfStores_AreToldApartByEveryCommand(t *testing.T) {
	folder(t, "luastore.yaml", `
stores:
  fine: "mem:"
  shut: `+deniedURL(t)+`
  gone: redis://:${SECRET}@`+refusing(t)+`
  kept: "mem:"
  fixed: { url: "mem:", read_only: true }
access:
  - stores: [kept]
    deny: [all]
  - allow: [all]
`, "use.lua", `
local s = assert(require("store").get((...)))
assert(s:set("a:b", 1))`)
	said := map[string]string{
		"fien":  `"fien"`,
		"shut":  `permission denied: store "shut": `,
		"gone":  `store "gone": `,
		"kept":  `permission denied: store "kept": `,
		"fixed": `permission denied: store "fixed": it is read-only`,
	}
	for id, want := range said {
		for command, args := range map[string][]string{"run": {"run", "use.lua", id}, "kv": {"kv", "set", id, "a:b", "1"}, "check": {"check", id}} {
			if command == "check" && (id == "kept" || id == "fixed") {
				continue // rules are not about the one key that check looks for
			}
			got := secretive.run(t, args...)
			code := 3
			if command == "run" {
				code = 1
			}
			named := strings.Contains(got.stderr, `"`+id+`"`)
			if got.code != code || !strings.Contains(got.stderr, want) || !named || strings.Contains(got.stdout+got.stderr, "sesame") {
				t.Errorf("%s of %s: got %+v", command, id, got)
			}
			for kind, word := range map[string]string{"fien": "did you mean fine?", "gone": "refused"} {
				if strings.Contains(got.stderr, word) != (kind == id) {
					t.Errorf("%s of %s says %q wrongly: %s", command, id, word, got.stderr)
				}
			}
		}
	}
}
