package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
	"github.com/luastore/store/driver/all"
)

var update = flag.Bool("update", false, "write the golden files of mistakes anew; read each as one who must act on it")

// leastMistakes is how many kinds of mistake there are at least: were fewer found, the test would have stopped looking.
const leastMistakes = 55

// environment is what files of the tests find.
func environment(name string) (string, bool) {
	v, ok := map[string]string{"REDIS_PASSWORD": "s3cr3t", "EMPTY": "", "CACHE_URL": "mem:"}[name]
	return v, ok
}

func TestMistakes_EachIsTold_AsItsGoldenFileSays(t *testing.T) {
	sources, err := filepath.Glob("testdata/mistakes/*.yaml")
	if err != nil || len(sources) < leastMistakes {
		t.Fatalf("found %d files, want at least %d: %v", len(sources), leastMistakes, err)
	}
	for _, path := range sources {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = config.Parse(config.FileName, source, all.Opener, &config.Options{LookupEnv: environment})
			if err == nil {
				t.Fatal("it passed")
			}
			var list *config.Errors
			if !errors.As(err, &list) || !errors.Is(err, store.ErrInvalid) || store.Kind(err) != "invalid" {
				t.Errorf("got a %T of kind %s", err, store.Kind(err))
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

// golden compares text with a file, or writes it.
func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}
