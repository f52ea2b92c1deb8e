// Package all opens a store by its URL, whatever its driver. It is the one package that names every driver, for programs that
// let their users choose; a host that has chosen imports that driver alone.
package all

import (
	"slices"
	"strings"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/driver/natsstore"
	"github.com/luastore/store/driver/pebblestore"
	"github.com/luastore/store/driver/redisstore"
	"github.com/luastore/store/driver/sqlstore/mysql"
	"github.com/luastore/store/driver/sqlstore/postgres"
	"github.com/luastore/store/driver/sqlstore/sqlite"
)

// drivers pairs the schemes of each driver, as they begin a URL, with what reads its URLs. The first scheme of each is the one to
// recommend; other names for one of them are taken, but not listed in messages.
var drivers = []struct {
	schemes []string
	also    []string
	open    func(rawURL string) (store.Opener, error)
}{
	{[]string{"mem:"}, nil, reading(memstore.ParseURL, memstore.Opener)},
	{[]string{"pebble:"}, nil, reading(pebblestore.ParseURL, pebblestore.Opener)},
	{[]string{"sqlite:"}, nil, reading(sqlite.ParseURL, sqlite.Opener)},
	{
		[]string{"redis://", "rediss://", "redis+cluster://", "rediss+cluster://", "redis+sentinel://", "rediss+sentinel://", "redis+unix://"},
		[]string{
			"valkey://", "valkeys://", "valkey+cluster://", "valkeys+cluster://", "valkey+sentinel://", "valkeys+sentinel://",
			"valkey+unix://", "unix://",
		},
		reading(redisstore.ParseURL, redisstore.Opener),
	},
	{[]string{"postgres://"}, []string{"postgresql://"}, reading(postgres.ParseURL, postgres.Opener)},
	{[]string{"mysql://"}, []string{"mariadb://"}, reading(mysql.ParseURL, mysql.Opener)},
	{[]string{"nats://", "natss://"}, nil, reading(natsstore.ParseURL, natsstore.Opener)},
}

// reading joins the two functions of a driver.
func reading[O any](parse func(rawURL string) (*O, error), opener func(*O) store.Opener) func(rawURL string) (store.Opener, error) {
	return func(rawURL string) (store.Opener, error) {
		o, err := parse(rawURL)
		if err != nil {
			return store.Opener{}, err
		}
		return opener(o), nil
	}
}

// Opener returns the opener of the driver that the scheme of a URL names, such as "mem:", "sqlite:data.db" or "redis://localhost:6379/2". What
// each driver takes is told at its ParseURL. Nothing is opened yet. A URL that is wrong is a [store.ErrInvalid], which repeats
// no part of it that could be a secret.
func Opener(rawURL string) (store.Opener, error) {
	scheme, _, ok := strings.Cut(rawURL, ":")
	if !ok {
		return store.Opener{}, store.Errorf(store.ErrInvalid, "invalid store URL: want it to begin with one of %s", known())
	}
	for _, d := range drivers {
		named := func(begin string) bool { name, _, _ := strings.Cut(begin, ":"); return strings.EqualFold(name, scheme) }
		if slices.ContainsFunc(d.schemes, named) || slices.ContainsFunc(d.also, named) {
			return d.open(rawURL)
		}
	}
	if !isScheme(scheme) {
		return store.Opener{}, store.Errorf(store.ErrInvalid, "invalid store URL: want it to begin with one of %s", known())
	}
	return store.Opener{}, store.Errorf(store.ErrInvalid, "unknown scheme %q of a store URL: want one of %s", scheme, known())
}

// known lists the schemes as they begin a URL.
func known() string {
	var all []string
	for _, d := range drivers {
		all = append(all, d.schemes...)
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
