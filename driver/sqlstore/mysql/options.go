package mysql

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

// Defaults of [Options].
const (
	DefaultAddress          = "127.0.0.1:3306"
	DefaultDatabase         = "luastore"
	DefaultTable            = table.Default
	DefaultMaxConns         = 16
	DefaultDialTimeout      = 5 * time.Second
	DefaultStatementTimeout = 10 * time.Second
	DefaultMaxValueBytes    = 16 << 20
)

// Options say how to connect and where the entries are. Printing them in any way shows [Options.Redacted].
type Options struct {
	// Address is host:port, or the path of a unix socket when it begins with a slash. Default [DefaultAddress].
	Address string
	// Username is the account to log in as. Default: none, the anonymous one.
	Username string
	// Password of the account. Default: none.
	Password string
	// Database holds the table; it must exist. Default [DefaultDatabase].
	Database string
	// Table holds the entries: lower-case letters, digits and _. Default [DefaultTable].
	Table string
	// NoCreate makes a missing table an error that tells how to create it. Default: it is created.
	NoCreate bool
	// MaxConns is how many connections there are at most, and so how many calls run at a time; the others wait. At most
	// 1000. Default [DefaultMaxConns].
	MaxConns int
	// DialTimeout bounds connecting, handshake included. Default [DefaultDialTimeout].
	DialTimeout time.Duration
	// StatementTimeout is when the server ends a statement by itself, also one that its caller has given up; waits for row
	// locks in whole seconds. MySQL knows it for reads and lock waits, MariaDB for all. At least 10ms. Default
	// [DefaultStatementTimeout].
	StatementTimeout time.Duration
	// MaxValueBytes is the longest value, in bytes: a longer one is not written, and what others wrote is not fetched.
	// Default [DefaultMaxValueBytes].
	MaxValueBytes int
	// TLS encrypts the connection, at least TLS 1.2, and verifies the server. Not over a unix socket. Default false.
	TLS bool
	// SkipVerify takes any certificate for the server's: whoever is in between can read everything. Default false.
	SkipVerify bool
	// CAFile is a PEM file with the authorities to trust. Default: those of the system.
	CAFile string
	// CertFile and KeyFile are PEM files with the certificate of this client and its key, both or none. Default: none.
	CertFile, KeyFile string
	// ServerName is the name that the certificate of the server must bear. Default: the host of Address.
	ServerName string
}

// errURL says nothing of the URL itself: an unescaped character in a password puts pieces of it into any part.
var errURL = store.Errorf(store.ErrInvalid,
	"invalid MySQL URL: want mysql://[user:password@]host[:port][/database][?parameter=value], with %%-encoded special characters")

// errNoPassword does not say the user: it is the password of someone who forgot the colon before it.
var errNoPassword = invalid("a MySQL URL has a user without password: want user:password@ or, for a user that has none, user:@")

// ParseURL returns the options that a URL stands for, in one of the forms that the package comment lists. No error repeats a secret.
func ParseURL(raw string) (*Options, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errURL
	}
	// An @ that is not where it belongs is the end of a password that was cut by one of its own characters.
	if strings.Contains(u.EscapedPath()+u.RawQuery, "@") {
		return nil, errURL
	}
	o := &Options{}
	if err := o.setTarget(u); err != nil {
		return nil, err
	}
	var hasPassword bool
	o.Username = u.User.Username()
	if o.Password, hasPassword = u.User.Password(); o.Username != "" && !hasPassword {
		return nil, errNoPassword
	}
	if err := o.setParameters(u.RawQuery); err != nil {
		return nil, err
	}
	return o, o.check()
}

// setTarget takes scheme, host and path.
func (o *Options) setTarget(u *url.URL) error {
	if u.Scheme != "mysql" && u.Scheme != "mariadb" {
		return invalid("unknown scheme of a MySQL URL: want mysql:// or mariadb://")
	}
	host, port := u.Hostname(), u.Port()
	if !validHost(host) {
		return errURL
	}
	if host != "" || port != "" {
		o.Address = net.JoinHostPort(orElse(host, "127.0.0.1"), orElse(port, "3306"))
	}
	o.Database = strings.TrimPrefix(u.Path, "/")
	return nil
}

// parameters are the query parameters of a URL.
var parameters = map[string]func(o *Options, value string) error{
	"ca":   func(o *Options, v string) error { o.CAFile = v; return nil },
	"cert": func(o *Options, v string) error { o.CertFile = v; return nil },
	"create": func(o *Options, v string) error {
		if v != "true" && v != "false" {
			return invalid("parameter create of a MySQL URL must be true or false")
		}
		o.NoCreate = v == "false"
		return nil
	},
	"dial_timeout": func(o *Options, v string) error { return setDuration(&o.DialTimeout, "dial_timeout", v) },
	"key":          func(o *Options, v string) error { o.KeyFile = v; return nil },
	"max_conns":    func(o *Options, v string) error { return setCount(&o.MaxConns, "max_conns", v) },
	"max_value_bytes": func(o *Options, v string) error {
		return setCount(&o.MaxValueBytes, "max_value_bytes", v)
	},
	"server_name": func(o *Options, v string) error { o.ServerName = v; return nil },
	"socket": func(o *Options, v string) error {
		if o.Address != "" || !strings.HasPrefix(v, "/") {
			return invalid("parameter socket of a MySQL URL is an absolute path in place of a host: want mysql:///database?socket=/run/mysqld/mysqld.sock")
		}
		o.Address = v
		return nil
	},
	"statement_timeout": func(o *Options, v string) error { return setDuration(&o.StatementTimeout, "statement_timeout", v) },
	"table":             func(o *Options, v string) error { o.Table = v; return nil },
	"tls": func(o *Options, v string) error {
		if !slices.Contains([]string{"true", "skip-verify", "false"}, v) {
			return invalid("parameter tls of a MySQL URL must be true, skip-verify or false")
		}
		o.TLS, o.SkipVerify = v != "false", v == "skip-verify"
		return nil
	},
}

const parameterNames = "ca, cert, create, dial_timeout, key, max_conns, max_value_bytes, server_name, socket, statement_timeout, table, tls"

func setDuration(to *time.Duration, name, text string) (err error) {
	if *to, err = time.ParseDuration(text); err != nil || *to <= 0 {
		return invalid("parameter %s of a MySQL URL must be a duration above zero, such as 2s", name)
	}
	return nil
}

func setCount(to *int, name, text string) error {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return invalid("parameter %s of a MySQL URL must be a number above zero", name)
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
			return invalid("unknown parameter %q of a MySQL URL: want %s", name, parameterNames)
		case len(given) > 1:
			return invalid("parameter %s of a MySQL URL is given twice", name)
		case given[0] == "":
			return invalid("parameter %s of a MySQL URL is empty: give it a value or leave it out", name)
		}
		if err := set(o, given[0]); err != nil {
			return err
		}
	}
	return nil
}

func validHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || !strings.ContainsAny(host, ":[]/?#@% ")
}

// validAddress reports whether Address is one. Any other text may be a URL, with a password, and is not repeated.
func (o *Options) validAddress() bool {
	if o.Address == "" || o.unix() {
		return true
	}
	host, port, err := net.SplitHostPort(o.Address)
	if err != nil || !validHost(host) {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// maxDatabaseBytes is that of MySQL; its names have no more than 64 characters of at most 3 bytes.
const maxDatabaseBytes = 3 * 64

const (
	// minStatementTimeout lets a store be opened: the server ends what takes longer, and cuts off what is under a millisecond.
	minStatementTimeout = 10 * time.Millisecond
	// maxMaxConns is more than servers allow unless they are told to.
	maxMaxConns = 1000
)

// check reports what no server would accept, so that it shows before anything is dialed.
func (o *Options) check() error {
	switch {
	case !o.validAddress():
		return invalid("the address of a MySQL server must be host:port or, for a unix socket, an absolute path; ParseURL takes URLs")
	case len(o.Database) > maxDatabaseBytes || strings.ContainsAny(o.Database, "/\\.`\x00"):
		return invalid("the database of a MySQL URL must be one name: want mysql://host/database")
	case !o.TLS && (o.SkipVerify || o.CAFile != "" || o.CertFile != "" || o.KeyFile != "" || o.ServerName != ""):
		return invalid("ca, cert, key and server_name need TLS: add tls=true")
	case o.SkipVerify && (o.CAFile != "" || o.ServerName != ""):
		return invalid("ca and server_name say what to verify: use tls=true instead of tls=skip-verify")
	case o.TLS && o.unix():
		return invalid("TLS over a unix socket is not supported")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return invalid("cert and key go together: give both or none")
	case o.DialTimeout < 0 || o.StatementTimeout < 0:
		return invalid("a timeout must not be negative")
	case o.StatementTimeout > 0 && o.StatementTimeout < minStatementTimeout:
		return invalid("the statement timeout must be %v or more", minStatementTimeout)
	case o.MaxConns < 0 || o.MaxValueBytes < 0:
		return invalid("a limit must not be negative")
	case o.MaxConns > maxMaxConns:
		return invalid("max_conns must be %d or less", maxMaxConns)
	}
	return table.CheckName(orElse(o.Table, DefaultTable))
}

// withDefaults returns a copy with its zero fields filled in. Equal connections have equal copies.
func (o *Options) withDefaults() Options {
	var full Options
	if o != nil {
		full = *o
	}
	full.Address = orElse(full.Address, DefaultAddress)
	full.Database = orElse(full.Database, DefaultDatabase)
	full.Table = orElse(full.Table, DefaultTable)
	full.MaxConns = orElse(full.MaxConns, DefaultMaxConns)
	full.DialTimeout = orElse(full.DialTimeout, DefaultDialTimeout)
	full.StatementTimeout = orElse(full.StatementTimeout, DefaultStatementTimeout)
	full.MaxValueBytes = orElse(full.MaxValueBytes, DefaultMaxValueBytes)
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

func (o *Options) unix() bool { return strings.HasPrefix(o.Address, "/") }

// tlsConfig reads the files, at each opening, so that renewed certificates are seen. It is nil without TLS.
func (o *Options) tlsConfig() (*tls.Config, error) {
	if !o.TLS {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, err // check does not let this happen
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: orElse(o.ServerName, host), InsecureSkipVerify: o.SkipVerify}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, invalid("ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, invalid("ca: %s holds no PEM certificate", o.CAFile)
		}
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, invalid("cert and key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Redacted returns the options as a URL without the password, for messages.
func (o *Options) Redacted() string {
	full := o.withDefaults()
	if !full.validAddress() {
		full.Address = "xxxxx"
	}
	u := url.URL{Scheme: "mysql", Host: full.Address, Path: "/" + full.Database}
	query := url.Values{}
	if full.unix() {
		u.Host = ""
		query.Set("socket", full.Address)
	}
	if full.Password != "" {
		u.User = url.UserPassword(full.Username, "xxxxx")
	} else if full.Username != "" {
		u.User = url.UserPassword(full.Username, "")
	}
	for _, p := range full.unusual() {
		query.Set(p.name, p.value)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

type parameter struct{ name, value string }

// unusual returns the parameters that differ from their defaults.
func (o *Options) unusual() []parameter {
	all := []struct {
		parameter
		given bool
	}{
		{parameter{"ca", o.CAFile}, o.CAFile != ""},
		{parameter{"cert", o.CertFile}, o.CertFile != ""},
		{parameter{"create", "false"}, o.NoCreate},
		{parameter{"dial_timeout", o.DialTimeout.String()}, o.DialTimeout != DefaultDialTimeout},
		{parameter{"key", o.KeyFile}, o.KeyFile != ""},
		{parameter{"max_conns", strconv.Itoa(o.MaxConns)}, o.MaxConns != DefaultMaxConns},
		{parameter{"max_value_bytes", strconv.Itoa(o.MaxValueBytes)}, o.MaxValueBytes != DefaultMaxValueBytes},
		{parameter{"server_name", o.ServerName}, o.ServerName != ""},
		{parameter{"statement_timeout", o.StatementTimeout.String()}, o.StatementTimeout != DefaultStatementTimeout},
		{parameter{"table", o.Table}, o.Table != DefaultTable},
		{parameter{"tls", "true"}, o.TLS && !o.SkipVerify},
		{parameter{"tls", "skip-verify"}, o.TLS && o.SkipVerify},
	}
	var given []parameter
	for _, p := range all {
		if p.given {
			given = append(given, p.parameter)
		}
	}
	return given
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
