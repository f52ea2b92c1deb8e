package sqlite

import (
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

// Values of Options.Synchronous.
const (
	SynchronousFull   = "full"   // a write is answered when it is on disk
	SynchronousNormal = "normal" // a loss of power may take the last writes
	SynchronousOff    = "off"    // a loss of power may damage the database
)

// Defaults of [Options].
const (
	DefaultTable         = table.Default
	DefaultSynchronous   = SynchronousFull
	DefaultBusyTimeout   = 5 * time.Second
	DefaultMaxConns      = 4
	DefaultMaxValueBytes = 16 << 20
)

const (
	maxConns      = 1000
	maxValueBytes = 512 << 20 // SQLite takes a billion
)

// Options say which table of which file holds the entries, and how. They hold no secret.
type Options struct {
	// Path is the database file. A relative one is below the folder that the process is in when its opener is made, and symbolic
	// links are followed then. SQLite takes up to 504 bytes. Required.
	Path string
	// Table is the name of the table: lower-case letters, digits and _. Default [DefaultTable].
	Table string
	// MustExist says that neither file nor table is made where it is missing. Default false.
	MustExist bool
	// Synchronous says when a write is answered: [SynchronousFull], [SynchronousNormal] or [SynchronousOff]. Default
	// [DefaultSynchronous].
	Synchronous string
	// BusyTimeout is how long a call, counted from its begin, waits while another process holds the lock that it needs; its
	// context may end before.
	// Default [DefaultBusyTimeout].
	BusyTimeout time.Duration
	// MaxConns is how many connections read at the same time, 1 to 1000, beside the one that writes. Default [DefaultMaxConns].
	MaxConns int
	// MaxValueBytes is the length of the longest value, up to 512 MiB: a longer one is not written, nor fetched where another
	// client wrote it. Default [DefaultMaxValueBytes].
	MaxValueBytes int
}

var errURL = store.Errorf(store.ErrInvalid,
	"invalid SQLite URL: want sqlite:path[?parameter=value], with %%-encoded special characters")

// ParseURL returns the options that a URL stands for, in the form that the package comment shows.
func ParseURL(raw string) (*Options, error) {
	scheme, rest, ok := strings.Cut(raw, ":")
	if !ok || !strings.EqualFold(scheme, "sqlite") {
		return nil, invalid("unknown scheme of a SQLite URL: want sqlite:path")
	}
	if strings.Contains(rest, "#") {
		return nil, errURL
	}
	path, query, asked := strings.Cut(rest, "?")
	if asked && query == "" {
		return nil, invalid("a SQLite URL ends in ?: give a parameter or leave it out")
	}
	o := &Options{}
	if err := o.setPath(path); err != nil {
		return nil, err
	}
	if err := o.setParameters(query); err != nil {
		return nil, err
	}
	return o, o.check()
}

// setPath takes what is between the scheme and the parameters.
func (o *Options) setPath(escaped string) error {
	if after, ok := strings.CutPrefix(escaped, "//"); ok {
		if !strings.HasPrefix(after, "/") {
			return invalid("a SQLite URL has no host: want sqlite:path, or sqlite:///absolute/path")
		}
		escaped = after
	}
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return errURL
	}
	if rest := strings.TrimPrefix(path, "/"); runtime.GOOS == "windows" && filepath.VolumeName(rest) != "" {
		path = rest // sqlite:///C:/x
	}
	if path == "" {
		return invalid("a SQLite URL needs the path of a file: want sqlite:path")
	}
	o.Path = path
	return nil
}

// parameters are the query parameters of a URL.
var parameters = map[string]func(o *Options, value string) error{
	"busy_timeout": func(o *Options, v string) (err error) {
		if o.BusyTimeout, err = time.ParseDuration(v); err != nil || o.BusyTimeout <= 0 {
			return invalid("parameter busy_timeout of a SQLite URL must be a duration above zero, such as 2s")
		}
		return nil
	},
	"create": func(o *Options, v string) error {
		if v != "true" && v != "false" {
			return invalid("parameter create of a SQLite URL must be true or false")
		}
		o.MustExist = v == "false"
		return nil
	},
	"max_conns":       func(o *Options, v string) error { return number(&o.MaxConns, "max_conns", v) },
	"max_value_bytes": func(o *Options, v string) error { return number(&o.MaxValueBytes, "max_value_bytes", v) },
	"synchronous":     func(o *Options, v string) error { o.Synchronous = v; return nil },
	"table":           func(o *Options, v string) error { o.Table = v; return nil },
}

const parameterNames = "busy_timeout, create, max_conns, max_value_bytes, synchronous, table"

func number(to *int, name, v string) error {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n == 0 {
		return invalid("parameter %s of a SQLite URL must be a number above zero", name)
	}
	*to = int(n)
	return nil
}

func (o *Options) setParameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errURL
	}
	for name, given := range values {
		set, known := parameters[name]
		switch {
		case !known:
			return invalid("unknown parameter %q of a SQLite URL: want %s", name, parameterNames)
		case len(given) > 1:
			return invalid("parameter %s of a SQLite URL is given twice", name)
		case given[0] == "":
			return invalid("parameter %s of a SQLite URL is empty: give it a value or leave it out", name)
		}
		if err := set(o, given[0]); err != nil {
			return err
		}
	}
	return nil
}

// check reports what no file could make good, so that it shows before anything is opened.
func (o *Options) check() error {
	full := o.withDefaults()
	if err := table.CheckName(full.Table); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(full.Table, "sqlite_"):
		return invalid("invalid table name %q: SQLite keeps names that begin with sqlite_ for itself", full.Table)
	case full.Path == "":
		return invalid("the path of a SQLite database is missing")
	case strings.Contains(full.Path, ":memory:"):
		return invalid("a SQLite database in memory is not supported: use mem:, which is faster")
	case strings.Contains(full.Path, "\x00"):
		return invalid("the path of a SQLite database has a zero byte")
	case strings.HasSuffix(full.Path, "/") || strings.HasSuffix(full.Path, string(filepath.Separator)):
		return invalid("the path of a SQLite database names a folder: want a file in it, such as %s", full.Path+"store.db")
	case durability[full.Synchronous] == "":
		return invalid("synchronous must be full, normal or off")
	case full.BusyTimeout < 0:
		return invalid("the busy timeout must not be negative")
	case full.MaxConns < 1 || full.MaxConns > maxConns:
		return invalid("max_conns must be 1 to %d", maxConns)
	case full.MaxValueBytes < 1 || full.MaxValueBytes > maxValueBytes:
		return invalid("max_value_bytes must be 1 to %d", maxValueBytes)
	}
	return nil
}

// withDefaults returns a copy with its zero fields filled in.
func (o *Options) withDefaults() Options {
	var full Options
	if o != nil {
		full = *o
	}
	if full.Table == "" {
		full.Table = DefaultTable
	}
	if full.Synchronous == "" {
		full.Synchronous = DefaultSynchronous
	}
	if full.BusyTimeout == 0 {
		full.BusyTimeout = DefaultBusyTimeout
	}
	if full.MaxConns == 0 {
		full.MaxConns = DefaultMaxConns
	}
	if full.MaxValueBytes == 0 {
		full.MaxValueBytes = DefaultMaxValueBytes
	}
	return full
}

// A target is what a driver opens: equal ones are the same.
type target struct {
	Options // with defaults, and an absolute path without symbolic links

	// What follows is for tests.
	vfs             string // what SQLite reads and writes files with; "" is its own
	checkpointPages int    // instead of the constant; 0 is that
}

func (o *Options) target() target {
	full := o.withDefaults()
	if full.check() == nil {
		if path, err := filepath.Abs(full.Path); err == nil {
			full.Path = resolve(path)
		}
	}
	return target{Options: full}
}

func invalid(format string, args ...any) error {
	return store.Errorf(store.ErrInvalid, format, args...)
}
