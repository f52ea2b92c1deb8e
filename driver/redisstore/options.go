package redisstore

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
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/luastore/store"
)

// Defaults of [Options].
const (
	DefaultAddress     = "127.0.0.1:6379"
	DefaultDialTimeout = 5 * time.Second
)

// Options say how to connect. Printing them in any way shows [Options.Redacted].
type Options struct {
	// Address is host:port, or the path of a unix socket when it begins with a slash. Default [DefaultAddress].
	Address string
	// Username is the ACL user to log in as. Default: Redis's user "default".
	Username string
	// Password of the user. Default: none; no login without a user name either.
	Password string
	// DB is the number of the database. Default 0.
	DB int
	// ClientName is what CLIENT LIST shows for the connection, printable ASCII without spaces. Default: none.
	ClientName string
	// DialTimeout bounds each of connecting and the first exchange with the server. Default [DefaultDialTimeout].
	DialTimeout time.Duration
	// TLS encrypts the connection, at least TLS 1.2, and verifies the server. Not over a unix socket. Default false.
	TLS bool
	// CAFile is a PEM file with the authorities to trust. Default: those of the system.
	CAFile string
	// CertFile and KeyFile are PEM files with the certificate of this client and its key, both or none. Default: none.
	CertFile, KeyFile string
	// ServerName is the name that the certificate of the server must bear. Default: the host of Address.
	ServerName string
}

// errURL says nothing of the URL itself: an unescaped character in a password puts pieces of it into any part.
var errURL = store.Errorf(store.ErrInvalid,
	"invalid Redis URL: want redis://[user:password@]host[:port][/db][?parameter=value], with %%-encoded special characters")

// errNoPassword does not say the user: it is the password of someone who forgot the colon before it.
var errNoPassword = invalid("a Redis URL has a user without password: want user:password@, :password@ or, for a user that has none, user:@")

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

// setTarget takes scheme, host and path: where to connect, how, and which database.
func (o *Options) setTarget(u *url.URL) error {
	switch u.Scheme {
	case "redis", "valkey":
	case "rediss", "valkeys":
		o.TLS = true
	case "redis+unix", "valkey+unix", "unix":
		if u.Host != "" || len(u.Path) < 2 {
			return invalid(`a Redis unix socket needs an absolute path: want "redis+unix:///run/redis.sock"`)
		}
		o.Address = u.Path
		return nil
	default:
		return invalid("unknown scheme of a Redis URL: want redis, rediss, valkey, valkeys or redis+unix")
	}
	host, port := u.Hostname(), u.Port()
	if !validHost(host) {
		return errURL
	}
	if host != "" || port != "" {
		o.Address = net.JoinHostPort(orElse(host, "127.0.0.1"), orElse(port, "6379"))
	}
	db := strings.TrimPrefix(u.Path, "/")
	if db == "" {
		return nil
	}
	return o.setDB(db)
}

func (o *Options) setDB(text string) error {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return invalid("the database in a Redis URL must be a number, such as redis://host/2")
	}
	o.DB = int(n)
	return nil
}

// parameters are the query parameters of a URL.
var parameters = map[string]func(o *Options, value string) error{
	"ca":          func(o *Options, v string) error { o.CAFile = v; return nil },
	"cert":        func(o *Options, v string) error { o.CertFile = v; return nil },
	"client_name": func(o *Options, v string) error { o.ClientName = v; return nil },
	"db":          (*Options).setDB,
	"dial_timeout": func(o *Options, v string) (err error) {
		if o.DialTimeout, err = time.ParseDuration(v); err != nil || o.DialTimeout <= 0 {
			return invalid("parameter dial_timeout of a Redis URL must be a duration above zero, such as 2s")
		}
		return nil
	},
	"key":         func(o *Options, v string) error { o.KeyFile = v; return nil },
	"server_name": func(o *Options, v string) error { o.ServerName = v; return nil },
}

const parameterNames = "ca, cert, client_name, db, dial_timeout, key, server_name"

func (o *Options) setParameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errURL
	}
	if values.Has("db") && o.DB != 0 {
		return invalid("a Redis URL names its database twice: leave out /db or db=")
	}
	for name, given := range values {
		set, known := parameters[name]
		switch {
		case !known:
			return invalid("unknown parameter %q of a Redis URL: want %s", name, parameterNames)
		case len(given) > 1:
			return invalid("parameter %s of a Redis URL is given twice", name)
		case given[0] == "":
			return invalid("parameter %s of a Redis URL is empty: give it a value or leave it out", name)
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

// check reports what no server would accept, so that it shows before anything is dialed.
func (o *Options) check() error {
	switch {
	case !o.validAddress():
		return invalid("the address of a Redis server must be host:port or, for a unix socket, an absolute path; ParseURL takes URLs")
	case !o.TLS && (o.CAFile != "" || o.CertFile != "" || o.KeyFile != "" || o.ServerName != ""):
		return invalid("ca, cert, key and server_name need TLS: use a rediss:// URL")
	case o.TLS && o.unix():
		return invalid("TLS over a unix socket is not supported")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return invalid("cert and key go together: give both or none")
	case o.DB < 0:
		return invalid("the database must not be negative")
	case o.DialTimeout < 0:
		return invalid("the dial timeout must not be negative")
	}
	for _, c := range o.ClientName {
		if c <= ' ' || c > '~' {
			return invalid("client_name must be printable ASCII without spaces")
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
	if full.DialTimeout == 0 {
		full.DialTimeout = DefaultDialTimeout
	}
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
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: orElse(o.ServerName, host)}
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
	u := url.URL{Scheme: "redis", Host: full.Address, Path: fmt.Sprintf("/%d", full.DB)}
	query := url.Values{}
	switch {
	case full.unix():
		u = url.URL{Scheme: "redis+unix", Path: full.Address}
		query.Set("db", strconv.Itoa(full.DB))
	case full.TLS:
		u.Scheme = "rediss"
	}
	if full.Password != "" {
		u.User = url.UserPassword(full.Username, "xxxxx")
	} else if full.Username != "" {
		u.User = url.UserPassword(full.Username, "")
	}
	for name, v := range map[string]string{
		"ca": full.CAFile, "cert": full.CertFile, "key": full.KeyFile, "server_name": full.ServerName, "client_name": full.ClientName,
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

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
