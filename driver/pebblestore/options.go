package pebblestore

import (
	"log/slog"
	"math/bits"
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Defaults of [Options].
const (
	DefaultCacheBytes    = 32 << 20
	DefaultMemtableBytes = 8 << 20
)

// Bounds of [Options].
const (
	minCacheBytes    = 1 << 20
	minMemtableBytes = 64 << 10
	maxMemtableBytes = 1 << 30
)

// Options say where a store is and how it is kept.
type Options struct {
	// Path is the folder of the store, for this store alone. It is made if it does not exist, in a folder that does. Required.
	Path string
	// NoSync acknowledges writes before they are on disk: see the package comment. Default false.
	NoSync bool
	// CacheBytes is the memory for blocks of tables that were read, at least 1 MiB. Default 0: [DefaultCacheBytes].
	CacheBytes int64
	// MemtableBytes is the memory for writes that are not in tables yet, of which there can be two, 64 KiB to 1 GiB each.
	// Default 0: [DefaultMemtableBytes].
	MemtableBytes int64
	// Logger is told of failures, and at debug level what Pebble does. Default nil: nobody is.
	Logger *slog.Logger
}

// A target is what options come to. It compares as they do.
type target struct {
	path     string // absolute
	noSync   bool
	cache    int64
	memtable int64
	logger   *slog.Logger
}

var errPath = invalid(`a pebble store needs the path of a folder: want "pebble:data/cache" or "pebble:/var/lib/cache"`)

// target returns o with its defaults, checked.
func (o *Options) target() (target, error) {
	if o == nil || o.Path == "" {
		return target{}, errPath
	}
	if err := o.check(); err != nil {
		return target{}, err
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return target{}, invalid("the path of a pebble store: %w", err)
	}
	return target{path, o.NoSync, orElse(o.CacheBytes, DefaultCacheBytes), orElse(o.MemtableBytes, DefaultMemtableBytes), o.Logger}, nil
}

func (o *Options) check() error {
	switch {
	case strings.ContainsRune(o.Path, 0):
		return errPath
	case o.CacheBytes != 0 && o.CacheBytes < minCacheBytes:
		return invalid("the cache of a pebble store must be at least 1MiB")
	case o.MemtableBytes != 0 && (o.MemtableBytes < minMemtableBytes || o.MemtableBytes > maxMemtableBytes):
		return invalid("the memtable of a pebble store must be 64KiB to 1GiB")
	}
	return nil
}

func orElse(n, otherwise int64) int64 {
	if n == 0 {
		return otherwise
	}
	return n
}

// ParseURL returns the options that a URL stands for: see the package comment.
func ParseURL(raw string) (*Options, error) {
	const scheme = "pebble:"
	if len(raw) < len(scheme) || !strings.EqualFold(raw[:len(scheme)], scheme) {
		return nil, errPath
	}
	path, query, _ := strings.Cut(raw[len(scheme):], "?")
	if strings.Contains(raw, "#") {
		return nil, invalid("a pebble URL has no fragment: write a # in the path as %%23")
	}
	path, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	o := &Options{Path: path}
	if err := o.setParameters(query); err != nil {
		return nil, err
	}
	return o, o.check()
}

// parsePath returns the path of a URL: what follows the scheme, or ///.
func parsePath(raw string) (string, error) {
	if after, ok := strings.CutPrefix(raw, "//"); ok {
		if !strings.HasPrefix(after, "/") {
			return "", invalid(`a pebble URL has no host and no user: want "pebble:path" or "pebble:///absolute/path"`)
		}
		raw = after
		if runtime.GOOS == "windows" && len(raw) > 2 && raw[2] == ':' {
			raw = raw[1:] // of /C:/folder
		}
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return "", invalid("the path of a pebble URL must be %%-encoded: write a %% as %%25")
	}
	if path == "" {
		return "", errPath
	}
	return path, nil
}

// parameters are the query parameters of a URL.
var parameters = map[string]func(o *Options, value string) error{
	"cache":    func(o *Options, v string) (err error) { o.CacheBytes, err = parseSize("cache", v); return err },
	"memtable": func(o *Options, v string) (err error) { o.MemtableBytes, err = parseSize("memtable", v); return err },
	"sync": func(o *Options, v string) error {
		if v != "true" && v != "false" {
			return invalid("parameter sync of a pebble URL must be true or false")
		}
		o.NoSync = v == "false"
		return nil
	},
}

func (o *Options) setParameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return invalid("the parameters of a pebble URL must be name=value, %%-encoded, with & between them")
	}
	for name, given := range values {
		set, known := parameters[name]
		switch {
		case !known:
			return invalid("unknown parameter %q of a pebble URL: want cache, memtable or sync", name)
		case len(given) > 1:
			return invalid("parameter %s of a pebble URL is given twice", name)
		case given[0] == "":
			return invalid("parameter %s of a pebble URL is empty: give it a value or leave it out", name)
		}
		if err := set(o, given[0]); err != nil {
			return err
		}
	}
	return nil
}

// parseSize returns a number of bytes.
func parseSize(name, text string) (int64, error) {
	digits, shift := text, 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if cut, ok := strings.CutSuffix(text, unit); ok {
			digits, shift = cut, 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n == 0 || bits.Len64(n)+shift > 63 {
		return 0, invalid(`parameter %s of a pebble URL must be a size above zero, such as "1048576", "64MiB" or "1GiB"`, name)
	}
	return int64(n) << shift, nil
}
