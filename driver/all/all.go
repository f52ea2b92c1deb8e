// Package all opens a store by its URL, whatever its driver. It is the one package that names every driver, for programs that
// let their users choose; a host that has chosen imports that driver alone.
package all

import (
	"slices"
	"strings"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/driver/redisstore"
)

// drivers pairs the schemes of each driver with what reads its URLs. The first scheme of each is the one to recommend.
var drivers = []struct {
	schemes []string
	open    func(rawURL string) (store.Opener, error)
}{
	{[]string{"mem"}, openMem},
	{[]string{"redis", "rediss", "valkey", "valkeys", "redis+unix", "valkey+unix", "unix"}, openRedis},
}

// Opener returns the opener of the driver that the scheme of a URL names, such as "mem:" or "redis://localhost:6379/2". What
// each driver takes is told at its ParseURL. Nothing is opened yet. A URL that is wrong is a [store.ErrInvalid], which repeats
// no part of it that could be a secret.
func Opener(rawURL string) (store.Opener, error) {
	scheme, _, ok := strings.Cut(rawURL, ":")
	if !ok {
		return store.Opener{}, store.Errorf(store.ErrInvalid, "invalid store URL: want it to begin with one of %s", known())
	}
	for _, d := range drivers {
		if slices.Contains(d.schemes, strings.ToLower(scheme)) {
			return d.open(rawURL)
		}
	}
	if !isScheme(scheme) {
		return store.Opener{}, store.Errorf(store.ErrInvalid, "invalid store URL: want it to begin with one of %s", known())
	}
	return store.Opener{}, store.Errorf(store.ErrInvalid, "unknown scheme %q of a store URL: want one of %s", scheme, known())
}

// known lists all schemes as they begin a URL.
func known() string {
	var all []string
	for _, d := range drivers {
		for _, scheme := range d.schemes {
			if scheme == "mem" {
				all = append(all, "mem:")
				continue
			}
			all = append(all, scheme+"://")
		}
	}
	return strings.Join(all, ", ")
}

// isScheme reports whether text may be shown: anything else before a colon may be half a password.
func isScheme(text string) bool {
	for i, c := range strings.ToLower(text) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", c)) {
			return false
		}
	}
	return text != ""
}

// openMem reads the URL of a store in memory.
func openMem(rawURL string) (store.Opener, error) {
	o, err := memstore.ParseURL(rawURL)
	if err != nil {
		return store.Opener{}, err
	}
	return memstore.Opener(o), nil
}

// openRedis reads the URL of Redis or Valkey.
func openRedis(rawURL string) (store.Opener, error) {
	o, err := redisstore.ParseURL(rawURL)
	if err != nil {
		return store.Opener{}, err
	}
	return redisstore.Opener(o), nil
}
