package cli

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/all"
)

// registry returns the stores of a run: those that --store names, or with none of them any id, in memory. Once one store is named
// an id that is not is no store: the likely cause is a slip, and memory in its place would lose what the script meant to keep.
func (a *app) registry(stores []string) (*store.Registry, error) {
	if len(stores) == 0 {
		return store.New(&store.Options{Default: memoryStores(a.stderr)}), nil
	}
	reg := store.New(nil)
	seen := map[string]bool{}
	for _, arg := range stores {
		id, url, ok := strings.Cut(arg, "=")
		// The argument is not repeated: where the id was forgotten it holds a URL, and that a password.
		if !ok || url == "" || !plainID.MatchString(id) {
			return nil, usageError("--store: want id=url, with an id of letters, digits and _ . - :, such as --store cache_store=sqlite:cache.db")
		}
		if seen[id] {
			return nil, usageError("--store %s is given twice: name each store once", id)
		}
		seen[id] = true
		if err := a.define(reg, id, url); err != nil {
			return nil, configError("--store %s: %w", id, err)
		}
	}
	return reg, nil
}

// plainID is what an id on the command line may be: nothing that a part of a URL with a password could be taken for.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$`)

// define adds a store under the URL of the command line.
func (a *app) define(reg *store.Registry, id, url string) error {
	url, err := a.expand(url)
	if err != nil {
		return err
	}
	open, err := all.Opener(url)
	if err != nil {
		return err
	}
	return reg.Define(id, store.Definition{Open: open})
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand puts variables of the environment in the place of ${NAME}: a password on the command line is seen by every user of the
// machine.
func (a *app) expand(url string) (string, error) {
	var err error
	expanded := variable.ReplaceAllStringFunc(url, func(ref string) string {
		name := ref[2 : len(ref)-1]
		for _, entry := range a.env {
			if v, ok := strings.CutPrefix(entry, name+"="); ok {
				return v
			}
		}
		err = fmt.Errorf("environment variable %s is not set", name)
		return ""
	})
	return expanded, err
}

// memoryStores supplies every id with a store of its own in memory, and says so at the first one.
func memoryStores(stderr io.Writer) func(id string) (store.Definition, bool) {
	var once sync.Once
	return func(id string) (store.Definition, bool) {
		open, err := all.Opener("mem:")
		once.Do(func() {
			fmt.Fprintf(stderr, "luastore: no stores configured: %q and every other id is kept in memory and gone at exit (--store id=url keeps data)\n", id)
		})
		return store.Definition{Open: open}, err == nil
	}
}
