package postgres

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

// Defaults of [Options].
const (
	DefaultAddress          = "127.0.0.1:5432"
	DefaultUsername         = "postgres"
	DefaultApplicationName  = "luastore"
	DefaultTable            = table.Default
	DefaultMaxConns         = 10
	DefaultDialTimeout      = 5 * time.Second
	DefaultStatementTimeout = 30 * time.Second
	DefaultMaxValueBytes    = 16 << 20
)

const (
	defaultPort = "5432"
	// socketName begins the name of a socket file; the port follows.
	socketName = ".s.PGSQL."
	// mostValueBytes is below the gigabyte that PostgreSQL takes for a field.
	mostValueBytes = 512 << 20
	mostConns      = 1000
)

// How a connection is encrypted and the server verified, as libpq names it.
const (
	Disable    = "disable"     // no TLS
	Prefer     = "prefer"      // TLS where the server offers it, without verification: no protection from an active attacker
	Require    = "require"     // TLS without verification; with RootCert as VerifyCA
	VerifyCA   = "verify-ca"   // TLS, and an authority that is trusted has signed the certificate
	VerifyFull = "verify-full" // and it bears the host's name
)

// Options say how to connect. Printing them in any way shows [Options.Redacted].
type Options struct {
	// Address is host:port, or the path of a unix socket, such as /run/postgresql/.s.PGSQL.5432. Default [DefaultAddress].
	Address string
	// Username is the role to log in as. Default [DefaultUsername].
	Username string
	// Password of the role. Default: none. Neither ~/.pgpass nor PGPASSWORD is read.
	Password string
	// Database is the name of the database. Default: that of the role.
	Database string
	// ApplicationName is what pg_stat_activity shows, up to 63 bytes of printable ASCII. Default [DefaultApplicationName].
	ApplicationName string
	// Table is the name of the table, in the first schema of the role's search_path that has it. Default [DefaultTable].
	Table string
	// NoCreate never creates the table: opening fails where something is missing, and says what. Default false.
	NoCreate bool
	// MaxConns is how many connections to the server there are at most, 1 to 1,000. Calls beyond wait. Default [DefaultMaxConns].
	MaxConns int
	// DialTimeout bounds connecting, TLS and login included. Default [DefaultDialTimeout].
	DialTimeout time.Duration
	// StatementTimeout is when the server gives up a statement, at least 1 ms, whether anybody waits for it or not. Default
	// [DefaultStatementTimeout].
	StatementTimeout time.Duration
	// MaxValueBytes is the longest value, in bytes, up to 512 MiB: a longer one is not written, and not fetched but
	// [store.ErrCorrupt] if someone else wrote it. Default [DefaultMaxValueBytes].
	MaxValueBytes int
	// Unprepared keeps nothing on the server from one transaction to the next, for poolers in transaction mode such as
	// PgBouncer. A call then takes two to three times as long, StatementTimeout is up to the role, and statements that are given up
	// are not cancelled. Default false.
	Unprepared bool
	// SSLMode is one of the constants from [Disable] to [VerifyFull]. Over a unix socket there is no TLS. Default [Prefer].
	SSLMode string
	// RootCert is a PEM file with the authorities to trust. Default: those of the system.
	RootCert string
	// Cert and Key are PEM files with the certificate of this client and its key, both or none. Default: none.
	Cert, Key string
	// ChannelBinding is "prefer", "require" or "disable", as libpq has it. Default "prefer".
	ChannelBinding string
}

// errURL says nothing of the URL itself: an unescaped character in a password puts pieces of it into any part.
var errURL = invalid("invalid PostgreSQL URL: want postgres://[user:password@]host[:port]/database[?parameter=value], with %%-encoded special characters")

// errNoPassword does not say the user: it is the password of someone who forgot the colon before it.
var errNoPassword = invalid("a PostgreSQL URL has a user without password: want user:password@ or, for a user that has none, user:@")

// ParseURL returns the options that a URL stands for, in the form that the package comment shows. No error repeats a secret.
func ParseURL(raw string) (*Options, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errURL
	}
	// An @ that is not where it belongs is the end of a password that was cut by one of its own characters.
	if strings.Contains(u.EscapedPath()+u.RawQuery, "@") {
		return nil, errURL
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, invalid("unknown scheme of a PostgreSQL URL: want postgres:// or postgresql://")
	}
	if strings.Contains(u.Host, ",") {
		return nil, invalid("a PostgreSQL URL names several hosts: want one, the primary, or a name that always leads to it")
	}
	o := &Options{Username: u.User.Username(), Database: strings.TrimPrefix(u.Path, "/")}
	var hasPassword bool
	if o.Password, hasPassword = u.User.Password(); o.Username != "" && !hasPassword {
		return nil, errNoPassword
	}
	if strings.Contains(o.Database, "/") {
		return nil, errURL
	}
	if err := o.setParameters(u); err != nil {
		return nil, err
	}
	return o, o.check()
}

// setAddress takes the host and port, of which a query may name the folder of a unix socket, as libpq has it.
func (o *Options) setAddress(u *url.URL, folder, port string) error {
	host := u.Hostname()
	switch {
	case !validHost(host), u.Port() != "" && port != "":
		return errURL
	case folder == "" && port == "" && u.Host == "":
		return nil
	case folder == "":
		o.Address = net.JoinHostPort(orElse(host, "127.0.0.1"), orElse(orElse(u.Port(), port), defaultPort))
		return nil
	case host != "" || !path.IsAbs(folder):
		return invalid(`parameter host of a PostgreSQL URL is for the folder of a unix socket: want "postgres:///database?host=/run/postgresql"`)
	}
	o.Address = path.Join(folder, socketName+orElse(orElse(u.Port(), port), defaultPort))
	return nil
}

// parameters are the query parameters of a URL, but for host and port.
var parameters = map[string]func(o *Options, value string) error{
	"application_name": func(o *Options, v string) error { o.ApplicationName = v; return nil },
	"channel_binding":  func(o *Options, v string) error { o.ChannelBinding = v; return nil },
	"connect_timeout":  (*Options).setConnectTimeout,
	"create":           func(o *Options, v string) (err error) { o.NoCreate, err = parseNo("create", v); return err },
	"dial_timeout": func(o *Options, v string) (err error) {
		o.DialTimeout, err = parseDuration("dial_timeout", v)
		return err
	},
	"max_conns": func(o *Options, v string) (err error) {
		o.MaxConns, err = parseCount("max_conns", v, mostConns)
		return err
	},
	"max_value_bytes": func(o *Options, v string) (err error) {
		o.MaxValueBytes, err = parseCount("max_value_bytes", v, mostValueBytes)
		return err
	},
	"sslcert":         func(o *Options, v string) error { o.Cert = v; return nil },
	"sslkey":          func(o *Options, v string) error { o.Key = v; return nil },
	"sslmode":         func(o *Options, v string) error { o.SSLMode = v; return nil },
	"sslrootcert":     func(o *Options, v string) error { o.RootCert = v; return nil },
	"statement_cache": func(o *Options, v string) (err error) { o.Unprepared, err = parseNo("statement_cache", v); return err },
	"statement_timeout": func(o *Options, v string) (err error) {
		o.StatementTimeout, err = parseDuration("statement_timeout", v)
		return err
	},
	"table": func(o *Options, v string) error { o.Table = v; return nil },
}

const parameterNames = "application_name, channel_binding, connect_timeout, create, dial_timeout, host, max_conns, max_value_bytes, port, " +
	"sslcert, sslkey, sslmode, sslrootcert, statement_cache, statement_timeout, table"

func (o *Options) setParameters(u *url.URL) error {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errURL
	}
	for name, given := range values {
		set, known := parameters[name]
		switch {
		case !known && name != "host" && name != "port":
			return invalid("unknown parameter %q of a PostgreSQL URL: want %s", name, parameterNames)
		case len(given) > 1:
			return invalid("parameter %s of a PostgreSQL URL is given twice", name)
		case given[0] == "":
			return invalid("parameter %s of a PostgreSQL URL is empty: give it a value or leave it out", name)
		case !known:
			continue
		}
		if err := set(o, given[0]); err != nil {
			return err
		}
	}
	if values.Has("connect_timeout") && values.Has("dial_timeout") {
		return invalid("connect_timeout and dial_timeout of a PostgreSQL URL are the same: leave one out")
	}
	return o.setAddress(u, values.Get("host"), values.Get("port"))
}

// setConnectTimeout takes whole seconds, as libpq does.
func (o *Options) setConnectTimeout(text string) error {
	seconds, err := parseCount("connect_timeout", text, 3600)
	o.DialTimeout = time.Duration(seconds) * time.Second
	return err
}

// parseNo reads a parameter that is true unless told otherwise.
func parseNo(name, text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, invalid("parameter %s of a PostgreSQL URL must be true or false", name)
	}
	return text == "false", nil
}

func parseDuration(name, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		return 0, invalid("parameter %s of a PostgreSQL URL must be a duration of at least 1ms, such as 2s", name)
	}
	return d, nil
}

func parseCount(name, text string, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, invalid("parameter %s of a PostgreSQL URL must be a whole number from 1 to %d", name, most)
	}
	return n, nil
}

func validHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || !strings.ContainsAny(host, ":[]/?#@%, ")
}

func (o *Options) unix() bool { return path.IsAbs(o.Address) }

// hostPort splits Address as libpq names it: of a unix socket the host is the folder. Any other text may be a URL, with a
// password, and is not repeated.
func (o *Options) hostPort() (host string, port uint16, ok bool) {
	var number string
	if o.unix() {
		var file string
		host, file = path.Split(o.Address)
		host = path.Clean(host)
		if number, ok = strings.CutPrefix(file, socketName); !ok {
			return "", 0, false
		}
	} else {
		var err error
		if host, number, err = net.SplitHostPort(o.Address); err != nil || !validHost(host) {
			return "", 0, false
		}
		host = orElse(host, "127.0.0.1")
	}
	n, err := strconv.ParseUint(number, 10, 16)
	return host, uint16(n), err == nil && n > 0
}

// check reports what no server would accept, so that it shows before anything is dialed.
func (o *Options) check() error {
	full := o.withDefaults()
	_, _, ok := full.hostPort()
	switch {
	case !ok:
		return invalid("the address of a PostgreSQL server must be host:port or the path of a socket, /folder/.s.PGSQL.5432; ParseURL takes URLs")
	case o.MaxConns < 0 || o.MaxConns > mostConns:
		return invalid("the number of connections must be 1 to %d, or 0 for the default", mostConns)
	case o.MaxValueBytes < 0 || o.MaxValueBytes > mostValueBytes:
		return invalid("the longest value must be 1 to %d bytes, or 0 for the default", mostValueBytes)
	case o.DialTimeout < 0:
		return invalid("the dial timeout must not be negative")
	case full.StatementTimeout < time.Millisecond || full.StatementTimeout > 24*time.Hour:
		return invalid("the statement timeout must be 1ms to 24h")
	case (o.Cert == "") != (o.Key == ""):
		return invalid("sslcert and sslkey go together: give both or none")
	case strings.Contains(full.Username+full.Password+full.Database, "\x00"):
		return invalid("user, password and database of PostgreSQL must not contain a zero byte")
	}
	if err := full.checkWords(); err != nil {
		return err
	}
	return table.CheckName(full.Table)
}

// checkWords checks what is one of a few words, or short text.
func (o *Options) checkWords() error {
	switch o.SSLMode {
	case Disable, Prefer, Require, VerifyCA, VerifyFull:
	default:
		return invalid("the sslmode must be disable, prefer, require, verify-ca or verify-full")
	}
	switch o.ChannelBinding {
	case "prefer", "require", "disable":
	default:
		return invalid("the channel_binding must be prefer, require or disable")
	}
	secured := o.SSLMode == Require || o.SSLMode == VerifyCA || o.SSLMode == VerifyFull
	switch {
	case !secured && (o.RootCert != "" || o.Cert != ""):
		return invalid("sslrootcert, sslcert and sslkey need TLS: use sslmode=verify-full, or verify-ca or require")
	case o.unix() && secured:
		return invalid("TLS over a unix socket is not supported: leave sslmode out")
	case len(o.ApplicationName) > 63:
		return invalid("the application_name must be at most 63 bytes")
	}
	for _, c := range o.ApplicationName {
		if c < ' ' || c > '~' {
			return invalid("the application_name must be printable ASCII")
		}
	}
	return nil
}

// withDefaults returns a copy with its zero fields filled in. Equal connections have equal copies.
func (o *Options) withDefaults() Options {
	var full Options
	if o != nil {
		full = *o
	}
	full.Address = orElse(full.Address, DefaultAddress)
	full.Username = orElse(full.Username, DefaultUsername)
	full.Database = orElse(full.Database, full.Username)
	full.ApplicationName = orElse(full.ApplicationName, DefaultApplicationName)
	full.Table = orElse(full.Table, DefaultTable)
	full.MaxConns = orElse(full.MaxConns, DefaultMaxConns)
	full.DialTimeout = orElse(full.DialTimeout, DefaultDialTimeout)
	full.StatementTimeout = orElse(full.StatementTimeout, DefaultStatementTimeout)
	full.MaxValueBytes = orElse(full.MaxValueBytes, DefaultMaxValueBytes)
	full.SSLMode = orElse(full.SSLMode, Prefer)
	full.ChannelBinding = orElse(full.ChannelBinding, "prefer")
	return full
}

// A target is what a driver connects to. It compares as its options do. The password is where printing does not find it: package
// fmt goes through structs and pointers to them, unexported fields included, but not through a pointer to a string.
type target struct {
	Options  // with defaults, without the password
	password unique.Handle[string]
}

func (o *Options) target() target {
	full := o.withDefaults()
	t := target{Options: full, password: unique.Make(full.Password)}
	t.Password = ""
	return t
}

// Redacted returns the options as a URL without the password, for messages.
func (o *Options) Redacted() string {
	full := o.withDefaults()
	host, port, ok := full.hostPort()
	u := url.URL{Scheme: "postgres", Host: "xxxxx", Path: "/" + full.Database}
	query := url.Values{}
	switch {
	case full.unix() && ok:
		u.Host = ""
		query.Set("host", host)
		query.Set("port", strconv.Itoa(int(port)))
	case ok:
		u.Host = full.Address
	}
	u.User = url.UserPassword(full.Username, "")
	if full.Password != "" {
		u.User = url.UserPassword(full.Username, "xxxxx")
	}
	for name, v := range map[string]string{
		"sslrootcert": full.RootCert, "sslcert": full.Cert, "sslkey": full.Key,
		"sslmode": other(full.SSLMode, Prefer), "table": other(full.Table, DefaultTable),
		"channel_binding":  other(full.ChannelBinding, "prefer"),
		"application_name": other(full.ApplicationName, DefaultApplicationName),
		"max_conns":        other(strconv.Itoa(full.MaxConns), strconv.Itoa(DefaultMaxConns)),
		"max_value_bytes":  other(strconv.Itoa(full.MaxValueBytes), strconv.Itoa(DefaultMaxValueBytes)),
		"create":           other(strconv.FormatBool(!full.NoCreate), "true"),
		"statement_cache":  other(strconv.FormatBool(!full.Unprepared), "true"),
	} {
		if v != "" {
			query.Set(name, v)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// String returns o redacted.
func (o Options) String() string { return o.Redacted() }

// Format writes o redacted, whatever the verb: %+v and %#v would print the fields.
func (o Options) Format(f fmt.State, _ rune) { io.WriteString(f, o.Redacted()) }

// LogValue returns o redacted.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.Redacted()) }

// MarshalText returns o redacted, which is also its form in JSON.
func (o Options) MarshalText() ([]byte, error) { return []byte(o.Redacted()), nil }

func invalid(format string, args ...any) error {
	return store.Errorf(store.ErrInvalid, format, args...)
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// other returns v, or "" where it is what is taken anyway.
func other(v, usual string) string {
	if v == usual {
		return ""
	}
	return v
}
