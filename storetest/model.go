package storetest

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// modelRules compare random sequences of operations with a map.
var modelRules = []rule{
	{name: "RandomOperationsAnswerAsAMapDoes", test: func(s *space) {
		t := s.TB.(*testing.T)
		s.must("Close", s.driver.Close())
		defer s.harness.fewerSequences(t)()
		rapid.Check(t, func(rt *rapid.T) {
			if s.harness.InProcess {
				rapid.SyncTest(rt, func(rt *rapid.T) { s.compareWithMap(t, rt) })
			} else {
				s.compareWithMap(t, rt)
			}
		})
	}},
}

// fewerSequences lets fewer random sequences run where Scale is less than 1, until the function that it returns is called.
func (h Harness) fewerSequences(t *testing.T) (restore func()) {
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	n, err := strconv.ParseFloat(before, 64)
	if err != nil || h.Scale <= 0 || h.Scale >= 1 {
		return func() {}
	}
	set := func(text string) {
		if err := checks.Value.Set(text); err != nil {
			t.Error(err)
		}
	}
	set(strconv.Itoa(int(max(1, n*h.Scale))))
	return func() { set(before) }
}

// compareWithMap runs one random sequence on a fresh driver, and compares everything that is there at the end. It does not look
// in between, because a look could hide that an operation treats an expired entry as a live one.
func (s *space) compareWithMap(t *testing.T, rt *rapid.T) {
	s = s.harness.open(t, rt, s.view, s.harness.InProcess)
	defer s.close()
	m := &model{space: s, entries: map[string]modelEntry{}}
	rt.Repeat(m.actions())
	m.compare()
}

// A model is what a space must hold.
type model struct {
	*space
	entries map[string]modelEntry
}

type modelEntry struct {
	value   []byte
	expires time.Time // zero: never
}

// The keys and values of the model are few, so that operations meet.
var (
	modelKeys     = []string{"m:a", "m:ab", "m:A", "m:*", "m:é", "n:a"}
	modelPrefixes = []string{"", "m:", "m:a", "m:*", "n:", "x:"}
	modelValues   = [][]byte{one, two, str(""), num(0), num(1), num(-1.5), num(value.MaxInteger), {0x90}, value.AppendBool(nil, true)}
	modelDeltas   = []float64{1, -1, 0.5, 0, 1000, value.MaxInteger}
)

// modelTick is the unit of time of the model. Times to live are odd multiples of half of it, the clock moves by whole ones: no
// operation comes upon the very moment of an expiry.
func (m *model) tick() time.Duration { return 10 * max(time.Millisecond, m.info.TTLResolution) }

func (m *model) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"Get": m.Get, "Entry": m.Entry, "TTL": m.TTL, "Has": m.Has, "Set": m.Set, "Delete": m.Delete, "Touch": m.Touch,
		"CompareAndSwap": m.CompareAndSwap, "List": m.List,
	}
	if isCounter(m.space) {
		actions["Incr"] = m.Incr
	}
	if isBatcher(m.space) {
		actions["GetMany"], actions["SetMany"], actions["DeleteMany"] = m.GetMany, m.SetMany, m.DeleteMany
	}
	if m.virtual {
		actions["time passes"] = m.timePasses
	}
	return actions
}

// live returns the entry under key unless it has expired.
func (m *model) live(key string) (modelEntry, bool) {
	e, ok := m.entries[key]
	if ok && !e.expires.IsZero() && !time.Now().Before(e.expires) {
		delete(m.entries, key)
		return modelEntry{}, false
	}
	return e, ok
}

// put writes what a driver should write.
func (m *model) put(key string, v []byte, ttl time.Duration) {
	old, _ := m.live(key)
	m.entries[key] = modelEntry{v, expiry(old, ttl)}
}

// expiry returns the expiry that ttl gives to an entry that was old.
func expiry(old modelEntry, ttl time.Duration) time.Time {
	switch ttl {
	case 0:
		return time.Time{}
	case store.KeepTTL:
		return old.expires
	}
	return time.Now().Add(ttl)
}

// left returns the time that e has left, 0 for never.
func (e modelEntry) left() time.Duration {
	if e.expires.IsZero() {
		return 0
	}
	return time.Until(e.expires)
}

func drawKey(t *rapid.T) string   { return rapid.SampledFrom(modelKeys).Draw(t, "key") }
func drawValue(t *rapid.T) []byte { return rapid.SampledFrom(modelValues).Draw(t, "value") }
func drawKeys(t *rapid.T) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(modelKeys), 0, 4, rapid.ID[string]).Draw(t, "keys")
}

// drawTTL draws never, the present one, or a time that passes while the sequence runs, if time does.
func (m *model) drawTTL(t *rapid.T, keep bool) time.Duration {
	ttls := []time.Duration{0, long, 3 * long}
	if m.virtual {
		half := m.tick() / 2
		ttls = []time.Duration{0, half, 3 * half, 11 * half, 200001 * half}
	}
	if keep {
		ttls = append(ttls, store.KeepTTL)
	}
	return rapid.SampledFrom(ttls).Draw(t, "ttl")
}

func (m *model) timePasses(t *rapid.T) {
	time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 2, 5, 100, 100_000}).Draw(t, "ticks")) * m.tick())
}

// Get compares Get.
func (m *model) Get(t *rapid.T) {
	key := drawKey(t)
	v, err := m.driver.Get(m.ctx, key)
	if e, ok := m.live(key); m.found(t, "Get", key, ok, err) {
		m.want("Get "+key, v, e.value)
	}
}

// Entry compares Entry.
func (m *model) Entry(t *rapid.T) {
	key := drawKey(t)
	v, ttl, err := m.driver.Entry(m.ctx, key)
	if e, ok := m.live(key); m.found(t, "Entry", key, ok, err) {
		m.want("Entry "+key, v, e.value)
		m.wantNear("Entry "+key, ttl, e)
	}
}

// TTL compares TTL.
func (m *model) TTL(t *rapid.T) {
	key := drawKey(t)
	ttl, err := m.driver.TTL(m.ctx, key)
	if e, ok := m.live(key); m.found(t, "TTL", key, ok, err) {
		m.wantNear("TTL "+key, ttl, e)
	}
}

// found compares whether there was an entry.
func (m *model) found(t *rapid.T, what, key string, want bool, err error) bool {
	if want {
		m.must(what+" "+key, err)
		return true
	}
	m.wantKind(what+" "+key, err, "not_found")
	return false
}

func (m *model) wantNear(what string, got time.Duration, e modelEntry) {
	if !m.near(got, e.left()) {
		m.Fatalf("%s: %v left, want %v", what, got, e.left())
	}
}

// Has compares Has.
func (m *model) Has(t *rapid.T) {
	key := drawKey(t)
	_, ok := m.live(key)
	m.want("Has "+key, m.has(key), ok)
}

// Set compares Set.
func (m *model) Set(t *rapid.T) {
	key, v, ttl := drawKey(t), drawValue(t), m.drawTTL(t, true)
	m.set(key, v, ttl)
	m.put(key, v, ttl)
}

// Delete compares Delete.
func (m *model) Delete(t *rapid.T) {
	key := drawKey(t)
	_, ok := m.live(key)
	m.want("Delete "+key, m.delete(key), ok)
	delete(m.entries, key)
}

// Touch compares Touch.
func (m *model) Touch(t *rapid.T) {
	key, ttl := drawKey(t), m.drawTTL(t, true)
	e, ok := m.live(key)
	m.want("Touch "+key, m.touch(key, ttl), ok)
	if ok {
		m.put(key, e.value, ttl)
	}
}

// CompareAndSwap compares CompareAndSwap, half of the time with what is there.
func (m *model) CompareAndSwap(t *rapid.T) {
	key, ttl := drawKey(t), m.drawTTL(t, true)
	e, ok := m.live(key)
	old := rapid.OneOf(rapid.Just(e.value), rapid.SampledFrom(append(modelValues, nil))).Draw(t, "old")
	new := rapid.SampledFrom(append(modelValues, nil)).Draw(t, "new")
	equal := ok == (old != nil) && string(old) == string(e.value)
	m.want("CompareAndSwap "+key, m.swap(key, old, new, ttl), equal)
	switch {
	case equal && new == nil:
		delete(m.entries, key)
	case equal:
		m.put(key, new, ttl)
	}
}

// Incr compares Incr.
func (m *model) Incr(t *rapid.T) {
	key, ttl := drawKey(t), m.drawTTL(t, true)
	delta := rapid.SampledFrom(modelDeltas).Draw(t, "delta")
	initial := rapid.SampledFrom(modelDeltas).Draw(t, "initial")
	e, ok := m.live(key)
	number, isNumber := initial, true
	if ok {
		number, isNumber = value.ParseNumber(e.value)
		ttl = store.KeepTTL
	}
	sum, err := m.driver.(store.Counter).Incr(m.ctx, key, delta, initial, ttl)
	if !isNumber || !exact(number, delta) {
		m.wantKind("Incr "+key, err, "invalid")
		return
	}
	m.must("Incr "+key, err)
	m.want("Incr "+key, sum, number+delta)
	m.put(key, num(number+delta), ttl)
}

// exact reports whether the sum of two numbers is within ±2^53. At the bound itself it must not have been rounded: floats do
// not show what is just beyond.
func exact(a, b float64) bool {
	sum := a + b
	if math.Abs(sum) == value.MaxInteger {
		return sum-a == b && sum-b == a
	}
	return math.Abs(sum) < value.MaxInteger
}

// GetMany compares GetMany.
func (m *model) GetMany(t *rapid.T) {
	keys := drawKeys(t)
	for i, v := range m.getMany(keys...) {
		e, _ := m.live(keys[i])
		m.want("GetMany "+keys[i], v, e.value)
	}
}

// SetMany compares SetMany.
func (m *model) SetMany(t *rapid.T) {
	ttl := m.drawTTL(t, false)
	var items []store.Item
	for _, key := range drawKeys(t) {
		items = append(items, store.Item{Key: key, Value: drawValue(t)})
	}
	m.setMany(items, ttl)
	for _, item := range items {
		m.put(item.Key, item.Value, ttl)
	}
}

// DeleteMany compares DeleteMany.
func (m *model) DeleteMany(t *rapid.T) {
	keys, existed := drawKeys(t), 0
	for _, key := range keys {
		if _, ok := m.live(key); ok {
			existed++
		}
		delete(m.entries, key)
	}
	m.want(fmt.Sprintf("DeleteMany %q", keys), m.deleteMany(keys...), existed)
}

// List compares List.
func (m *model) List(t *rapid.T) {
	prefix := rapid.SampledFrom(modelPrefixes).Draw(t, "prefix")
	limit := rapid.IntRange(1, 7).Draw(t, "limit")
	m.wantKeys(prefix, limit, m.keys(prefix)...)
}

// keys returns the live keys under prefix.
func (m *model) keys(prefix string) []string {
	var keys []string
	for _, key := range modelKeys {
		if _, ok := m.live(key); ok && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// compare compares everything that is there.
func (m *model) compare() {
	m.wantKeys("", 3, m.keys("")...)
	for _, key := range modelKeys {
		e, ok := m.live(key)
		if !ok {
			m.wantAbsent(key)
			continue
		}
		m.wantValue(key, e.value)
		m.wantLeft(key, e.left())
	}
}
