package crashtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/luastore/store"
)

// resolution is how much later than asked an entry may expire, and how far a ttl that is read may be rounded.
const resolution = int64(time.Millisecond)

// longHistory is how many writes of a key a message tells.
const longHistory = 4

// A span is an interval of time, in nanoseconds since the Unix epoch.
type span struct{ from, to int64 }

// A state is one that a key may be in.
type state struct {
	value   id   // the zero id: absent
	expires span // when, as far as one can know; zero: never
}

// mayLive reports whether an entry in this state can be seen at some moment of at.
func (s state) mayLive(at span) bool {
	return s.value != (id{}) && (s.expires == span{} || s.expires.to > at.from)
}

// mayBeGone reports whether nothing can be seen at some moment of at.
func (s state) mayBeGone(at span) bool {
	return s.value == (id{}) || s.expires != span{} && s.expires.from <= at.to
}

// An effect is what an operation makes of a state, with what it then returns.
type effect struct {
	state
	yes bool
}

// effects returns all that may become of the i-th key of op, which was in state s, when op happens at some moment of at.
func (op operation) effects(i int, s state, at span) []effect {
	var all []effect
	if s.mayLive(at) {
		all = append(all, op.onLive(i, s, at))
	}
	if s.mayBeGone(at) {
		all = append(all, op.onAbsent(i, at))
	}
	return all
}

func (op operation) onLive(i int, s state, at span) effect {
	switch op.Kind {
	case opSet, opSetMany:
		return effect{op.written(i, s.expires, at), true}
	case opDelete, opDeleteMany:
		return effect{state{}, true}
	case opTouch:
		return effect{state{s.value, op.expiry(s.expires, at)}, true}
	}
	if op.Old != s.value {
		return effect{s, false}
	}
	return effect{op.written(i, s.expires, at), true}
}

func (op operation) onAbsent(i int, at span) effect {
	switch {
	case op.Kind == opSet, op.Kind == opSetMany, op.Kind == opSwap && op.Old == id{}:
		return effect{op.written(i, span{}, at), true}
	}
	return effect{state{}, false}
}

// written returns the state after the i-th new value of op took the place of an entry with that expiry.
func (op operation) written(i int, old, at span) state {
	if op.New[i] == (id{}) {
		return state{}
	}
	return state{op.New[i], op.expiry(old, at)}
}

// expiry returns when an entry expires whose ttl op sets at some moment of at.
func (op operation) expiry(old, at span) span {
	switch {
	case op.TTL == store.KeepTTL:
		return old
	case op.TTL == 0:
		return span{}
	}
	return span{at.from + int64(op.TTL), at.to + int64(op.TTL) + resolution}
}

// A model knows what may be in one folder.
type model struct {
	keys     map[string][]state // the states that each may be in, at least one
	counters map[string]*tally
	pending  map[int]*intent     // by writer: what it announced and did not acknowledge
	history  map[string][]string // by key: the last writes, for messages
}

// A tally bounds the value of a shared counter: what was acknowledged, and with what was on its way.
type tally struct{ low, high float64 }

// An intent is an operation that has begun.
type intent struct {
	operation
	began int64
	least float64 // the sum that incr returns is more
}

func newModel() *model {
	return &model{keys: map[string][]state{}, counters: map[string]*tally{}, pending: map[int]*intent{}, history: map[string][]string{}}
}

// states returns what key may be.
func (m *model) states(key string) []state {
	if s := m.keys[key]; s != nil {
		return s
	}
	return []state{{}}
}

func (m *model) counter(key string) *tally {
	if m.counters[key] == nil {
		m.counters[key] = &tally{}
	}
	return m.counters[key]
}

// take takes in what a child said.
func (m *model) take(e event) error {
	switch {
	case e.Intent != nil:
		in := &intent{operation: *e.Intent, began: e.At}
		if in.Kind == opIncr {
			c := m.counter(in.Keys[0])
			c.high++
			in.least = c.low
		}
		m.pending[e.Writer] = in
	case e.Ack != nil:
		in := m.pending[e.Writer]
		delete(m.pending, e.Writer)
		if err := m.acknowledged(in, *e.Ack, span{in.began, e.At}); err != nil {
			return fmt.Errorf("%v answered %+v: %w", in.operation, *e.Ack, err)
		}
	}
	return nil
}

// acknowledged narrows the model to what an answer leaves possible.
func (m *model) acknowledged(in *intent, got answer, at span) error {
	if in.Kind == opIncr {
		c := m.counter(in.Keys[0])
		c.low++
		if got.Sum <= in.least || got.Sum > c.high {
			return fmt.Errorf("a wrong sum: %v were acknowledged before it, and %v begun", in.least, c.high)
		}
		return nil
	}
	least, most := 0, 0 // of the keys that it can be true of
	for i, key := range in.Keys {
		effects := m.effects(in.operation, i, key, at)
		before := m.states(key)
		yes := slices.ContainsFunc(effects, func(e effect) bool { return e.yes })
		no := slices.ContainsFunc(effects, func(e effect) bool { return !e.yes })
		if yes {
			most++
		}
		if !no {
			least++
		}
		if in.tells() {
			effects = slices.DeleteFunc(effects, func(e effect) bool { return e.yes != got.Yes })
		}
		if len(effects) == 0 {
			return fmt.Errorf("a wrong answer: %s", describe(before))
		}
		m.become(key, nil, effects)
		m.note(key, in, at, fmt.Sprintf("acknowledged %v", got.Yes))
	}
	if in.Kind == opDeleteMany && (got.Count < least || got.Count > most) {
		return fmt.Errorf("a wrong count: want %d to %d", least, most)
	}
	return nil
}

// note keeps what a message is to tell of a key.
func (m *model) note(key string, in *intent, at span, outcome string) {
	h := append(m.history[key], fmt.Sprintf("%s to %s %v: %s", clock(at.from), clock(at.to), in.operation, outcome))
	m.history[key] = h[max(0, len(h)-longHistory):]
}

// tells reports whether the answer to op says what the state was.
func (op operation) tells() bool {
	return op.Kind == opDelete || op.Kind == opTouch || op.Kind == opSwap
}

func (m *model) effects(op operation, i int, key string, at span) []effect {
	var all []effect
	for _, s := range m.states(key) {
		all = append(all, op.effects(i, s, at)...)
	}
	return all
}

// become sets what key may be: states, or what effects leave.
func (m *model) become(key string, states []state, effects []effect) {
	all := slices.Clone(states)
	for _, e := range effects {
		if !slices.Contains(all, e.state) {
			all = append(all, e.state)
		}
	}
	m.keys[key] = all
}

// died tells that the child ended at the latest at that time: what was on its way may have happened or not, of a batch also in
// part.
func (m *model) died(at int64) {
	for _, in := range m.pending {
		if in.Kind == opIncr {
			continue // high has it
		}
		for i, key := range in.Keys {
			m.become(key, m.states(key), m.effects(in.operation, i, key, span{in.began, at}))
			m.note(key, in, span{in.began, at}, "not acknowledged")
		}
	}
	clear(m.pending)
}

// describe names states in a message.
func describe(states []state) string {
	text := "want "
	for i, s := range states {
		if i > 0 {
			text += " or "
		}
		text += s.value.String()
		if s.expires != (span{}) {
			text += fmt.Sprintf(" that expires at %s", clock(s.expires.from))
		}
	}
	return text
}

// clock writes a time so that it can be set beside another.
func clock(at int64) string { return time.Unix(0, at).Format("15:04:05.000000") }
