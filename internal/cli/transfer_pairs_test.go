package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
	"github.com/luastore/store/internal/natstest"
	"github.com/luastore/store/internal/pgtest"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/value"
)

// A pairEntry is one entry that goes from every driver to every other.
type pairEntry struct {
	key    string
	stored []byte
	ttl    time.Duration
	at     [2]time.Time // around the call that wrote it into the first store
}

// pairEntries are values of every kind, keys of every kind, and expiries.
func pairEntries(t *testing.T) []pairEntry {
	t.Helper()
	nested := any("deep")
	for range 60 {
		nested = []any{nested, map[string]any{"n": 1}}
	}
	values := []any{
		true, false, 0, 1, -1, 0.1, math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 1 << 53, -1 << 53, 1e300, 5e-324,
		"", "text", "\xff\x00bytes\xfe", "Grüße, 世界 \U0001d11e", "\x00\x1b[31m\r\n\t\"\\\u202e\u2028", strings.Repeat("long ", 40_000),
		[]any{}, []any{1, "two", []any{}}, map[string]any{"b": 1, "a": map[string]any{}, "": false}, map[string]any{"$stored": "kA=="},
		map[any]any{1: "one", 2: "two", "x": []any{1}, true: false, 2.5: "half", -7: "\xff"}, map[float64]string{1: "a", 5000: "sparse"}, nested,
	}
	var entries []pairEntry
	for i, v := range values {
		stored, err := value.Marshal(v, value.Limits{Depth: 100})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, pairEntry{key: fmt.Sprintf("value:%d", i), stored: stored})
	}
	for i, stored := range []string{"\x80", "\xca\x3f\xc0\x00\x00", "\xd9\x01x", "\xdf\x00\x00\x00\x01\xa1a\x01", "\x82\xa1a\x01\xa1a\x02", "\xc4\x01x"} {
		entries = append(entries, pairEntry{key: fmt.Sprintf("foreign:%d", i), stored: []byte(stored)})
	}
	for _, name := range []string{
		`odd: "quoted" \back\`, "odd:*?[a-z]%_.>/..", "odd:a:b:c:", "ödd:Ärger/世界 \U0001d11e", "odd:'; DROP TABLE x; --", "odd:" + strings.Repeat("k", 300), "Odd:case", "odd:CASE", "odd:case",
	} {
		entries = append(entries, pairEntry{key: name, stored: value.AppendString(nil, name)})
	}
	for i, ttl := range []time.Duration{time.Minute, 1234567 * time.Millisecond, 90 * 24 * time.Hour, 50 * 365 * 24 * time.Hour} {
		entries = append(entries, pairEntry{key: fmt.Sprintf("expires:%d", i), stored: value.AppendNumber(nil, float64(i)), ttl: ttl})
	}
	return entries
}

// pairURLs returns a store of each driver.
func pairURLs(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	return map[string]string{
		"memory": "mem:", "pebble": "pebble:" + filepath.Join(dir, "pebble"), "sqlite": "sqlite:" + filepath.Join(dir, "db"),
		"redis": redistest.Shared(t).URL(), "postgres": pgtest.Start(t, nil).URL(), "mariadb": mariadbtest.Start(t, nil).URL(), "nats": natstest.Start(t, nil).URL(),
	}
}

// TestTransfer_BetweenEveryPairOfDrivers exports a store of each driver, once, and imports it into one of every other. The stores of one driver
// are on one connection, each behind a prefix.
func TestTransfer_BetweenEveryPairOfDrivers_KeepsValuesAndExpiries(t *testing.T) {
	urls := pairURLs(t)
	reg := store.New(nil)
	t.Cleanup(func() { // before the servers go
		if err := reg.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for driver, url := range urls {
		open := opener(t, url, nil)
		for other := range urls {
			d := store.Definition{Open: open, Prefix: "from-" + other, Limits: store.Limits{Depth: 100}}
			if err := reg.Define(driver+" from "+other, d); err != nil {
				t.Fatal(err)
			}
		}
	}
	for from := range urls {
		t.Run(from, func(t *testing.T) {
			err := reg.Do(t.Context(), func(ctx context.Context) error {
				e := exportPair(ctx, t, from)
				for to := range urls {
					if to != from {
						t.Run(to, func(t *testing.T) { e.into(ctx, t, to) })
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A pairExport is the export of a store of one driver.
type pairExport struct {
	from       string
	entries    []pairEntry
	text       []byte
	took       time.Duration
	resolution time.Duration
}

func pairHandle(ctx context.Context, t *testing.T, to, from string) *store.Handle {
	t.Helper()
	h, err := store.Get(ctx, to+" from "+from)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// exportPair writes the entries into a store of a driver and exports it.
func exportPair(ctx context.Context, t *testing.T, from string) pairExport {
	t.Helper()
	h := pairHandle(ctx, t, from, from)
	e := pairExport{from: from, entries: pairEntries(t), resolution: h.Info().TTLResolution}
	for i := range e.entries {
		entry := &e.entries[i]
		entry.at[0] = time.Now()
		if err := h.Set(ctx, entry.key, entry.stored, entry.ttl); err != nil {
			t.Fatal(err)
		}
		entry.at[1] = time.Now()
	}
	var out bytes.Buffer
	began := time.Now()
	if err := (&app{stdout: &out, stderr: io.Discard}).exportStore(ctx, h, exportOptions{}); err != nil {
		t.Fatal(err)
	}
	e.took, e.text = time.Since(began), out.Bytes()
	return e
}

// into imports the export into a store of another driver and compares entry by entry.
func (e pairExport) into(ctx context.Context, t *testing.T, to string) {
	h := pairHandle(ctx, t, to, e.from)
	began := time.Now()
	if err := (&app{stderr: io.Discard}).importInto(ctx, h, &importSource{name: "export", r: bytes.NewReader(e.text)}, importOptions{}); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	var keys []string
	for key, err := range h.Keys(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if keys = slices.Compact(keys); len(keys) != len(e.entries) {
		t.Errorf("%d keys, want %d: %q", len(keys), len(e.entries), keys)
	}
	resolution := e.resolution + h.Info().TTLResolution
	for _, want := range e.entries {
		asked := time.Now()
		got, err := h.Entry(ctx, want.key)
		answered := time.Now()
		if err != nil || !bytes.Equal(got.Value, want.stored) || (got.TTL > 0) != (want.ttl > 0) {
			t.Errorf("%q: got %.100q, expires in %v, %v, want %.100q, expires in %v", want.key, got.Value, got.TTL, err, want.stored, want.ttl)
		}
		if want.ttl == 0 {
			continue
		}
		soonest, latest := want.at[0].Add(want.ttl-resolution-e.took), want.at[1].Add(want.ttl+resolution+took)
		if answered.Add(got.TTL).Before(soonest) || asked.Add(got.TTL).After(latest) {
			t.Errorf("%q expires at %v, want between %v and %v", want.key, answered.Add(got.TTL), soonest, latest)
		}
	}
}
