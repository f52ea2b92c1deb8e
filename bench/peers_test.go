package bench

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/luastore/store/internal/servertest"
)

// The environment variables of the comparison with peers.
const (
	envPeersRequire = "LUASTORE_BENCH_REQUIRE" // 1: a peer that is not installed is an error, not a row that says so
	envPeersRounds  = "PEERS_ROUNDS"           // how often each case is measured; default 5
	envPeersOut     = "PEERS_OUT"              // the file that the page is written to, as Markdown, beside standard output; default none
)

// The names of the peers that targets are set for.
const (
	gopherLuaLibsName = "gopher-lua-libs storage"
	nginxName         = "nginx shared.DICT, cjson"
	redisName         = "Redis EVAL, cmsgpack"
	tarantoolName     = "Tarantool memtx"
)

// maxThreads is how many interpreters of a peer run at the same time, at most.
const maxThreads = 2

// A peer is one of the ways to keep values for Lua scripts that a user could pick.
type peer struct {
	name    string
	two     string // how two threads are had
	dialect dialect
	start   func(t testing.TB) ([maxThreads]interpreter, error) // an absent error where the peer is not on this machine
}

// A running peer can be measured until the test or benchmark ends.
type running struct {
	*peer
	version string
	luas    [maxThreads]interpreter
}

// absent is the error of a peer that is not installed: what to do about it.
type absent string

func (a absent) Error() string { return "not installed: " + string(a) }

// peers returns all that are compared; the first is luastore.
func peers() []*peer {
	return []*peer{luastorePeer(), jsonMapPeer(), gopherLuaLibsPeer(), nginxPeer(), redisPeer(), tarantoolPeer()}
}

// run starts a peer for the length of a test or benchmark. Of one that is not installed it returns an absent error, where that is allowed.
func (p *peer) run(t testing.TB) (*running, error) {
	t.Helper()
	luas, err := p.start(t)
	if missing := absent(""); errors.As(err, &missing) && os.Getenv(envPeersRequire) != "1" {
		return nil, missing
	}
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	version, err := luas[0].run(`return function() return `+p.dialect.version+` end`, 1)
	if err != nil {
		t.Fatalf("%s: its version: %v", p.name, err)
	}
	return &running{peer: p, version: version, luas: luas}, nil
}

// BenchmarkPeers prints the table of all peers that this machine has, after it has seen that they all answer the same.
func BenchmarkPeers(b *testing.B) {
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv(envPeersRounds), "5"))
	if err != nil || rounds < 1 {
		b.Fatalf("%s=%q: want a number of rounds, 1 or more", envPeersRounds, os.Getenv(envPeersRounds))
	}
	machine := describeMachine() // before the load is our own
	table := &peersTable{rounds: rounds, round: *round}
	var want []string
	for _, p := range peers() {
		r, err := p.run(b)
		if err != nil {
			table.addMissing(p, err.Error())
			continue
		}
		got := mustAnswer(b, r)
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			b.Fatalf("%s answers\n%q, want\n%q", p.name, got, want)
		}
		table.add(b, r)
	}
	table.measure()
	page := table.page(machine)
	fmt.Print("\n", page)
	if file := os.Getenv(envPeersOut); file != "" {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// mustAnswer returns what a peer answers for each of the values.
func mustAnswer(t testing.TB, p *running) []string {
	t.Helper()
	var all []string
	for i, v := range values {
		got, err := p.answers(fmt.Sprint("check", i), v.source)
		if err != nil {
			t.Fatalf("%s: %s: %v", p.name, v.name, err)
		}
		all = append(all, got)
	}
	return all
}

// mustRun starts a peer for a test, which ends as servertest says where the machine lacks the peer.
func mustRun(t testing.TB, p *peer) *running {
	t.Helper()
	r, err := p.run(t)
	if err != nil {
		servertest.Missing(t, p.name+" is "+err.Error())
	}
	return r
}

func TestPeers_AfterASetInOneInterpreter_AnswerTheSameAsLuastoreInAnother(t *testing.T) {
	want := mustAnswer(t, mustRun(t, luastorePeer()))
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			r := mustRun(t, p)
			for i, got := range mustAnswer(t, r) {
				if got != want[i] {
					t.Errorf("%s: %s, luastore answers %s", values[i].name, got, want[i])
				}
			}
			for _, task := range tasks() {
				if err := errors.Join(r.prepare(task), r.do(task, maxThreads, 2)); err != nil {
					t.Errorf("%s %s: %v", task.operation, task.value, err)
				}
			}
		})
	}
}

func TestLuastore_AfterASet_AnswersWhatTheLiteralIs(t *testing.T) {
	got := mustAnswer(t, mustRun(t, luastorePeer()))[1]
	const want = `nil nil, boolean false; then ` +
		`{string fontSize=14,string notifications=boolean true,string theme=string dark}, boolean true`
	if got != want {
		t.Errorf("preferences: %s, want %s", got, want)
	}
}

func TestAnswers_OfAPeerWithAFault_DifferFromLuastore(t *testing.T) {
	want := mustAnswer(t, mustRun(t, luastorePeer()))[1] // the preferences
	cases := map[string]func(d *dialect){
		"a get that loses a field":             func(d *dialect) { d.get += ` if type(r) == "table" then r.theme = nil end` },
		"a get that makes a number a string":   func(d *dialect) { d.get += ` if type(r) == "table" and r.fontSize then r.fontSize = "14" end` },
		"a set that does nothing":              func(d *dialect) { d.set = `` },
		"a has that is always true":            func(d *dialect) { d.has = `local r = true` },
		"a get that invents what is not there": func(d *dialect) { d.get += ` r = r or {}` },
	}
	for name, plant := range cases {
		t.Run(name, func(t *testing.T) {
			faulty := jsonMapPeer()
			plant(&faulty.dialect)
			if got := mustAnswer(t, mustRun(t, faulty))[1]; got == want {
				t.Errorf("the fault is not seen: %s", got)
			}
		})
	}
}
