package fuzztest

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
	"github.com/luastore/store/driver/memstore"
)

// open makes openers of memory.
func open(rawURL string) (store.Opener, error) {
	o, err := memstore.ParseURL(rawURL)
	if err != nil {
		return store.Opener{}, err
	}
	return memstore.Opener(o), nil
}

// values are what files find.
func values(name string) (string, bool) { return "mem:", len(name) < 12 }

// glob is what a pattern means where texts no slash.
func glob(pattern, text string) bool {
	ok, err := path.Match(pattern, text)
	return err == nil && ok
}

// FuzzPattern holds patterns against those of the standard library, which are the same where there are no brackets and slashes.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{"*a*b?", "xaxbx"}, {`\*?`, "*é"}, {"**", ""}, {"é*", "éé"}, {"a*a*a*a*b", "aaaaaaaaaaaa"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, p, text string) {
		if strings.ContainsAny(p, "[]/\x00$\"") || strings.ContainsAny(text, "/") || strings.TrimSpace(p) == "" || len(p) > 64 || len(text) > 256 {
			return
		}
		c, err := config.Parse("f", fmt.Appendf(nil, "access: [{units: ['%s'], allow: [get]}]", strings.ReplaceAll(p, "'", "''")), open, nil)
		if err != nil {
			return
		}
		if strings.ContainsAny(p, "\n\r") {
			return // quotes fold lines
		}
		got := c.Policy(t.Context(), store.Access{Unit: text, Op: store.OpGet, Key: "a:b"}) == nil
		if want := glob(p, text); got != want {
			t.Errorf("pattern %q, text %q: got %v, want %v", p, text, got, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../../testdata/mistakes/*.yaml", "../../testdata/valid/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(source)
		}
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		c, err := config.Parse("f", source, open, &config.Options{LookupEnv: values})
		if err == nil {
			for id, d := range c.Stores {
				if err := store.New(nil).Define(id, d); err != nil {
					t.Errorf("a registry refuses %q: %v", id, err)
				}
			}
			return
		}
		var list *config.Errors
		if !errors.As(err, &list) || len(list.List) == 0 || len(list.List) > 20 {
			t.Fatalf("got %v", err)
		}
		for _, e := range list.List {
			lines := strings.Count(string(source), "\n") + 1
			if e.Line < 0 || e.Line > lines || e.Line > 0 && e.Column < 1 || strings.ContainsAny(e.Source, "\n\r\t\x00\x1b") {
				t.Errorf("got %+v", e)
			}
		}
	})
}
