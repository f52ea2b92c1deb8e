package config_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
	"github.com/luastore/store/driver/all"
)

// parse returns the configuration that a text is.
func parse(t testing.TB, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("dir/luastore.yaml", []byte(text), all.Opener, &config.Options{LookupEnv: environment})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPolicy_FirstRuleThatMatches_Decides(t *testing.T) {
	c := parse(t, `
stores: { session_store: "mem:", cache: "mem:", audit: "mem:" }
access:
  - units: [cart.lua, "admin/*"]
    stores: [session_store]
    keys: ["session:*", 'odd\*:?']
    allow: [read, write]
  - stores: [audit]
    allow: [write]
  - stores: [audit]
    deny: [read]
  - deny: [delete, delete_many]
  - stores: ["c?che"]
    allow: [get, incr, all]
`)
	const none, rule2, rule3 = "no access rule allows it", "access rule at luastore.yaml:10", "access rule at luastore.yaml:12"
	for _, a := range []struct {
		unit, store string
		op          store.Op
		key, want   string
	}{
		{"cart.lua", "session_store", store.OpUpdate, "session:1", ""},
		{"admin/a/b.lua", "session_store", store.OpDelete, "session:", ""},
		{"admin", "session_store", store.OpGet, "session:1", none},
		{"xcart.lua", "session_store", store.OpGet, "session:1", none},
		{"cart.lua", "session_store", store.OpGet, "Session:1", none},
		{"cart.lua", "session_store", store.OpGet, "odd*:é", ""},
		{"cart.lua", "session_store", store.OpGet, "oddx:1", none},
		{"cart.lua", "session_store", store.OpGet, "odd*:12", none},
		{"cart.lua", "cache", store.OpDelete, "a:b", rule3},
		{"cart.lua", "session_store", store.OpDelete, "other:1", rule3},
		{"x", "cache", store.OpDeleteMany, "a:b", rule3},
		{"x", "cache", store.OpGet, "a:b", ""},
		{"x", "cache", "not_known_yet", "a:b", ""},
		{"x", "session_store", "not_known_yet", "a:b", none},
		{"x", "audit", store.OpSet, "a:b", ""},
		{"x", "audit", store.OpGet, "a:b", rule2},
		{"x", "audit", store.OpFetch, "a:b", rule2},
		{"x", "audit", store.OpUpdate, "a:b", rule2},
		{"x", "audit", store.OpIncr, "a:b", rule2},
		{"x", "audit", store.OpCompareAndSwap, "a:b", ""},
		{"x", "audit", store.OpList, "a:b", rule2},
	} {
		got := ""
		if err := c.Policy(t.Context(), store.Access{Unit: a.unit, Store: a.store, Op: a.op, Key: a.key}); err != nil {
			got = err.Error()
		}
		if got != a.want {
			t.Errorf("%s does %s on %s %s: got %q, want %q", a.unit, a.op, a.store, a.key, got, a.want)
		}
	}
}

func TestPolicy_Groups_HoldWhatOperationsDo(t *testing.T) {
	ops := []store.Op{
		store.OpGet, store.OpEntry, store.OpTTL, store.OpHas, store.OpSet, store.OpDelete, store.OpTouch, store.OpCompareAndSwap, store.OpIncr,
		store.OpUpdate, store.OpFetch, store.OpGetMany, store.OpSetMany, store.OpDeleteMany, store.OpList,
	}
	for rule, permits := range map[string]func(store.Op) bool{
		"allow: [read]":                              func(op store.Op) bool { return !op.Writes() },
		"allow: [write]":                             func(op store.Op) bool { return op.Writes() && !op.Reads() },
		"allow: [read, write]":                       func(store.Op) bool { return true },
		"allow: [all]":                               func(store.Op) bool { return true },
		"allow: [write, incr]":                       func(op store.Op) bool { return op == store.OpIncr || op.Writes() && !op.Reads() },
		"deny: [write]}, {allow: [all]":              func(op store.Op) bool { return !op.Writes() },
		"deny: [read]}, {allow: [all]":               func(op store.Op) bool { return op.Writes() && !op.Reads() },
		"deny: [all]}, {allow: [all]":                func(store.Op) bool { return false },
		"deny: [get, list]}, {allow: [all]":          func(op store.Op) bool { return op != store.OpGet && op != store.OpList },
		"allow: [get, compare_and_swap, touch]":      func(op store.Op) bool { return slices.Contains([]store.Op{"get", "compare_and_swap", "touch"}, op) },
		"allow: [\"${OP}\"]}, {deny: [\"all\"]":      func(op store.Op) bool { return op == store.OpHas },
		"allow: [read]}, {allow: [write]":            func(op store.Op) bool { return !op.Writes() || !op.Reads() },
		"keys: [\"other:x\"], allow: [all]":          func(store.Op) bool { return false },
		"keys: [\"other:x\", \"k:*\"], allow: [all]": func(store.Op) bool { return true },
	} {
		c, err := config.Parse("f", []byte("access: [{"+rule+"}]"), all.Opener, &config.Options{
			LookupEnv: func(string) (string, bool) { return "has", true },
		})
		if err != nil {
			t.Fatal(rule, err)
		}
		for _, op := range ops {
			if err := c.Policy(t.Context(), store.Access{Op: op, Key: "k:v"}); (err == nil) != permits(op) {
				t.Errorf("%s: %s: got %v", rule, op, err)
			}
		}
	}
}

func TestPolicy_WithAVariableInAPattern_MatchesWhatItHoldsAsItIs(t *testing.T) {
	env := func(string) (string, bool) { return `*\?`, true }
	c, err := config.Parse("f", []byte(`access: [{keys: ["${TENANT}:*"], allow: [all]}]`), all.Opener, &config.Options{LookupEnv: env})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{`*\?:a`: true, "other:a": false, `x\?:a`: false, `*\x:a`: false} {
		if err := c.Policy(t.Context(), store.Access{Op: store.OpGet, Key: key}); (err == nil) != want {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

// words are all texts of up to four letters of a small alphabet.
var words = func() []string {
	all := []string{""}
	for from := 0; len(all[from]) < 4; from++ {
		for _, letter := range []string{"a", "b", ":"} {
			all = append(all, all[from]+letter)
		}
	}
	return all
}()

// TestPolicy_OfAPrefix_AgreesWithThatOfEachKey holds decisions on prefixes against all short keys.
func TestPolicy_OfAPrefix_AgreesWithThatOfEachKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab:*?]{1,4}`)
		var text strings.Builder
		text.WriteString("access:\n")
		for range rapid.IntRange(1, 4).Draw(t, "rules") {
			fmt.Fprintf(&text, "  - {%s: [%s]", rapid.SampledFrom([]string{"allow", "deny"}).Draw(t, "verdict"),
				rapid.SampledFrom([]string{"read", "get", "list", "all"}).Draw(t, "operation"))
			if keys := rapid.SliceOfN(pattern, 0, 3).Draw(t, "keys"); len(keys) > 0 {
				fmt.Fprintf(&text, ", keys: [%q]", strings.Join(keys, `", "`))
			}
			text.WriteString("}\n")
		}
		source := strings.ReplaceAll(text.String(), `\"`, `"`)
		c, err := config.Parse("f", []byte(source), all.Opener, nil)
		if err != nil {
			t.Fatalf("%s%v", source, err)
		}
		allowed := func(a store.Access) bool { a.Op = store.OpList; return c.Policy(t.Context(), a) == nil }
		for _, prefix := range words {
			if len(prefix) > 2 {
				break
			}
			ask := allowed(store.Access{Key: prefix, Prefix: true})
			var shown []string
			for _, key := range words {
				if strings.HasPrefix(key, prefix) && allowed(store.Access{Key: key}) {
					shown = append(shown, key)
				}
			}
			if len(shown) > 0 && !ask {
				t.Fatalf("%sthe prefix %q is refused, and %q are allowed", source, prefix, shown)
			}
		}
	})
}

// TestPolicy_OfAPrefixWithOnePattern_IsExact tells both ways: what no key could have is refused, what all keys have is denied.
func TestPolicy_OfAPrefixWithOnePattern_IsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[ab:*?]{1,4}`).Draw(t, "pattern")
		allow := fmt.Sprintf("access: [{keys: [%q], allow: [list]}]", p)
		deny := fmt.Sprintf("access: [{keys: [%q], deny: [list]}, {allow: [list]}]", p)
		for _, prefix := range words {
			if len(prefix) > 2 {
				break
			}
			some, every := false, true
			for _, key := range words {
				if strings.HasPrefix(key, prefix) {
					match := glob(p, key)
					some, every = some || match, every && match
				}
			}
			a := store.Access{Op: store.OpList, Key: prefix, Prefix: true}
			if got := verdict(t, allow, a); got != some && len(prefix)+len(p) <= 4 {
				t.Errorf("%s of %q: got %v", allow, prefix, got)
			}
			// A key longer than the words may still be one that the pattern does not match: denied as a whole must be right only.
			if got := verdict(t, deny, a); !got && !every {
				t.Errorf("%s of %q is denied, and not every key matches", deny, prefix)
			}
			if got := verdict(t, deny, a); got && strings.HasPrefix(prefix, strings.TrimSuffix(p, "*")) && strings.HasSuffix(p, "*") &&
				!strings.ContainsAny(strings.TrimSuffix(p, "*"), "*?") {
				t.Errorf("%s of %q is allowed, and every key matches", deny, prefix)
			}
		}
	})
}

// glob is what a pattern of the configuration means where it has no backslash and texts no slash.
func glob(pattern, text string) bool {
	ok, err := path.Match(pattern, text)
	return err == nil && ok
}

// verdict returns whether rules allow an access.
func verdict(t *rapid.T, rules string, a store.Access) bool {
	t.Helper()
	c, err := config.Parse("f", []byte(rules), all.Opener, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Policy(t.Context(), a) == nil
}

func TestPattern_ThatBacktracks_EndsSoon(t *testing.T) {
	c := parse(t, "access: [{units: [\""+strings.Repeat("a*", 500)+"b\"], allow: [get]}]")
	text := strings.Repeat("a", 100_000)
	if err := c.Policy(t.Context(), store.Access{Unit: text, Op: store.OpGet}); err == nil {
		t.Error("it matches")
	}
}

func TestPolicy_OnAllowedAccess_AllocatesNothing(t *testing.T) {
	c := manyRules(t)
	a := store.Access{Unit: "admin/cart.lua", Store: "cache", Op: store.OpGet, Key: "session:user:42"}
	if n := testing.AllocsPerRun(100, func() {
		if err := c.Policy(t.Context(), a); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// manyRules are twenty rules of which the last allows.
func manyRules(t testing.TB) *config.Config {
	var text strings.Builder
	text.WriteString("stores: {cache: \"mem:\"}\naccess:\n")
	for i := range 19 {
		fmt.Fprintf(&text, "  - {units: [\"tenant%d/*\", \"*/other%d.lua\"], stores: [\"c*\"], keys: [\"t%d:*\"], deny: [write, get]}\n", i, i, i)
	}
	text.WriteString("  - {units: [\"*/cart.lua\"], stores: [cache], keys: [\"*:user:*\"], allow: [read]}\n")
	return parse(t, text.String())
}

func BenchmarkPolicy(b *testing.B) {
	for name, c := range map[string]*config.Config{"1rule": parse(b, "access: [{keys: [\"session:*\"], allow: [read]}]"), "20rules": manyRules(b)} {
		b.Run(name, func(b *testing.B) {
			a := store.Access{Unit: "admin/cart.lua", Store: "cache", Op: store.OpGet, Key: "session:user:42"}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Policy(b.Context(), a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
