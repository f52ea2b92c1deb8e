package bench

import (
	"testing"
	"time"
)

// A caseKey names what is measured of a peer: an operation on a value by so many threads.
type caseKey struct {
	operation, value string
	threads          int
}

// A peerColumn is one peer with what was measured of it, or with what is to be done about one that is missing.
type peerColumn struct {
	name, two, version string
	missing            string // "" where the peer is there
	cases              map[caseKey]*bench
}

// A peersTable is the comparison of all peers. The first column is luastore, which all are compared with.
type peersTable struct {
	rounds  int
	round   time.Duration
	columns []*peerColumn
}

// add adds a peer that is there.
func (t *peersTable) add(b testing.TB, p *running) {
	c := &peerColumn{name: p.name, two: p.two, version: p.version, cases: make(map[caseKey]*bench)}
	for _, task := range tasks() {
		if err := p.prepare(task); err != nil {
			b.Fatalf("%s: %s %s: %v", p.name, task.operation, task.value, err)
		}
		for threads := 1; threads <= maxThreads; threads++ {
			c.cases[caseKey{task.operation, task.value, threads}] = &bench{per: 1, run: func(n int) {
				if err := p.do(task, threads, n); err != nil {
					b.Fatalf("%s: %s %s: %v", p.name, task.operation, task.value, err)
				}
			}}
		}
	}
	t.columns = append(t.columns, c)
}

// addMissing adds a peer that is not there.
func (t *peersTable) addMissing(p *peer, what string) {
	t.columns = append(t.columns, &peerColumn{name: p.name, two: p.two, missing: what})
}

// measure measures all cases, rounds times. Within a round the peers come one after the other for each case, so that what slows the
// machine for a moment slows all of them.
func (t *peersTable) measure() {
	for _, c := range t.columns {
		for _, b := range c.cases {
			b.calibrate(t.round)
		}
	}
	for range t.rounds {
		for threads := 1; threads <= maxThreads; threads++ {
			for _, task := range tasks() {
				t.measureCase(caseKey{task.operation, task.value, threads})
			}
		}
	}
}

func (t *peersTable) measureCase(key caseKey) {
	for _, c := range t.columns {
		if c.missing == "" {
			c.cases[key].measure()
		}
	}
}

// ns returns how long an operation took with its loop, in nanoseconds, in each round.
func (c *peerColumn) ns(key caseKey) []float64 {
	if key.operation != setAndGet {
		return c.cases[key].ns
	}
	set, get := key, key
	set.operation, get.operation = setOnly, getOnly
	return combine(c.ns(set), c.ns(get), func(a, b float64) float64 { return a + b })
}

// net returns how long an operation took without its loop, in nanoseconds, in each round.
func (c *peerColumn) net(key caseKey) []float64 {
	loops := 1.0
	if key.operation == setAndGet {
		loops = 2
	}
	empty := c.cases[caseKey{emptyLoop, "", key.threads}].ns
	return combine(c.ns(key), empty, func(with, loop float64) float64 { return with - loops*loop })
}

// times returns the median of how many times as long as the second series the first one took.
func times(a, b []float64) float64 {
	return median(combine(a, b, func(a, b float64) float64 { return a / b }))
}

func combine(a, b []float64, with func(a, b float64) float64) []float64 {
	all := make([]float64, len(a))
	for i := range all {
		all[i] = with(a[i], b[i])
	}
	return all
}

// A peerTarget is what is to be reached: one set and one get in a peer take at least so many times as long as in luastore, with one
// thread.
type peerTarget struct {
	peer    string
	atLeast [3]float64 // for a string, the preferences and the session
}

// peerTargets returns them all. LuaJIT builds tables faster than gopher-lua can, for which luastore may take 1.3 times as long as nginx.
func peerTargets() []peerTarget {
	return []peerTarget{
		{gopherLuaLibsName, [3]float64{6, 3.5, 3.5}},
		{nginxName, [3]float64{1, 1 / 1.3, 1 / 1.3}},
		{redisName, [3]float64{1, 1, 1}},
		{tarantoolName, [3]float64{5, 2, 1.8}},
	}
}
