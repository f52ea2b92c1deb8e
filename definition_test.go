package store_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

func TestDefine_BadDefinitions_SayWhatIsWrong(t *testing.T) {
	type inside struct{ v any } // comparable by its type, not by what it holds
	with := func(connection any) store.Opener {
		return store.Opener{Connection: connection, Open: newBackend().open}
	}
	opener := with(nil)
	for _, c := range []struct {
		id   string
		def  store.Definition
		want string // in the text
	}{
		{"", store.Definition{Open: opener}, "invalid store id"},
		{"a\n", store.Definition{Open: opener}, "control character"},
		{"\xff", store.Definition{Open: opener}, "not valid UTF-8"},
		{"s", store.Definition{}, "no Open"},
		{"s", store.Definition{Open: with([]int{1})}, "cannot be compared"},
		{"s", store.Definition{Open: with(map[string]int{})}, "cannot be compared"},
		{"s", store.Definition{Open: with(func() {})}, "cannot be compared"},
		{"s", store.Definition{Open: with(inside{[]int{1}})}, "cannot be compared"},
		{"s", store.Definition{Open: with([1]any{func() {}})}, "cannot be compared"},
		{"s", store.Definition{Open: with(math.NaN())}, "cannot be compared"},
		{"s", store.Definition{Open: opener, Prefix: "a:b"}, "without a colon"},
		{"s", store.Definition{Open: opener, Prefix: "a\x00"}, "control character"},
		{"s", store.Definition{Open: opener, Prefix: "\xff"}, "not valid UTF-8"},
		{"s", store.Definition{Open: opener, Prefix: strings.Repeat("x", 257)}, "at most 256"},
		{"s", store.Definition{Open: opener, DefaultTTL: -1}, "invalid DefaultTTL"},
		{"s", store.Definition{Open: opener, MaxTTL: store.MaxTTL + 1}, "invalid MaxTTL"},
		{"s", store.Definition{Open: opener, Timeout: -1}, "invalid Timeout"},
		{"s", store.Definition{Open: opener, OpenTimeout: -1}, "invalid OpenTimeout"},
		{"s", store.Definition{Open: opener, DefaultTTL: 2, MaxTTL: 1}, "longer than MaxTTL"},
		{"s", store.Definition{Open: opener, DefaultTTL: time.Microsecond}, "at least 1ms"},
		{"s", store.Definition{Open: opener, Prefix: "prefix", Limits: store.Limits{KeyBytes: 8}}, "invalid Prefix: no key fits"},
		{"s", store.Definition{Open: opener, Limits: store.Limits{KeyBytes: 1025}}, "invalid limit KeyBytes 1025"},
		{"s", store.Definition{Open: opener, Limits: store.Limits{Batch: -1}}, "invalid limit Batch -1"},
	} {
		err := newRegistry(t, nil).Define(c.id, c.def)
		kindIs(t, err, "invalid")
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q in it", err, c.want)
		}
	}
}

func TestDefine_BadOptions_AreAnsweredAtOnce(t *testing.T) {
	reg := newRegistry(t, &store.Options{Limits: store.Limits{Depth: -1}})
	kindIs(t, reg.Define("s", store.Definition{Open: newBackend().opener()}), "invalid")
}

func TestDefine_AnIDTwice_IsInvalid(t *testing.T) {
	reg := newRegistry(t, nil)
	d := store.Definition{Open: newBackend().opener()}
	define(t, reg, "s", d)
	kindIs(t, reg.Define("s", d), "invalid")
}

func TestDefine_OpensNothing(t *testing.T) {
	b := newBackend()
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: b.opener()})
	if n := b.opens.Load(); n != 0 {
		t.Errorf("%d opened", n)
	}
}

func TestDefinition_Printed_ShowsNoConnection(t *testing.T) {
	d := store.Definition{Prefix: "pre", Open: store.Opener{
		Connection: "redis://user:password@host",
		Open:       func(context.Context) (store.Driver, error) { return nil, nil },
	}}
	for _, text := range []string{fmt.Sprint(d), fmt.Sprintf("%+v", d), fmt.Sprintf("%+v", d.Open), d.Open.String()} {
		if strings.Contains(text, "password") {
			t.Errorf("printed %s", text)
		}
	}
	if !strings.Contains(d.String(), `"pre"`) {
		t.Errorf("printed %s", d)
	}
}

func TestLimits_Defaults_AreThoseOfTheSpecification(t *testing.T) {
	want := store.Limits{KeyBytes: 1024, ValueBytes: 1 << 20, Depth: 64, Nodes: 100_000, Batch: 1000, BatchBytes: 64 << 20}
	if got := (store.Limits{}).WithDefaults(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
