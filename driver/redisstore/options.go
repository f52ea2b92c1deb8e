package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/redisstore/internal/near"
)

// Defaults of [Options].
const (
	DefaultAddress     = "127.0.0.1:6379"
	DefaultSentinels   = "127.0.0.1:26379" // the address where Sentinel is set
	DefaultDialTimeout = 5 * time.Second
)

// Options say how to connect. Printing them in any way shows [Options.Redacted].
type Options struct {
	// Address is host:port, or the path of a unix socket when it begins with a slash. Several nodes of a cluster, of which any that
	// answers tells of the others, or all sentinels are separated by commas. Default [DefaultAddress], or [DefaultSentinels].
	Address string
	// Cluster says that Address names nodes of a Redis Cluster. Default false.
	Cluster bool
	// Sentinel is the name under which the sentinels at Address watch the primary to use, such as mymaster. Default: no sentinels.
	Sentinel string
	// SentinelUsername and SentinelPassword log in to the sentinels, where these ask for it: Username and Password are for the
	// servers with the entries. Default: none.
	SentinelUsername, SentinelPassword string
	// Username is the ACL user to log in as. Default: Redis's user "default".
	Username string
	// Password of the user. Default: none; no login without a user name either.
	Password string
	// DB is the number of the database. A cluster has only 0. Default 0.
	DB int
	// ClientName is what CLIENT LIST shows for the connection, printable ASCII without spaces. Default: none.
	ClientName string
	// DialTimeout bounds each of connecting and the first exchange with the server. Default [DefaultDialTimeout].
	DialTimeout time.Duration
	// Near is how many bytes of this process's memory a near cache of values that were read may take, at least 1 MiB, beyond which
	// those go that were not used lately; see the package comment. Default 0: there is none.
	Near int64
	// TLS encrypts the connection, at least TLS 1.2, and verifies the server. Not over a unix socket. Default false.
	TLS bool
	// CAFile is a PEM file with the authorities to trust. Default: those of the system.
	CAFile string
	// CertFile and KeyFile are PEM files with the certificate of this client and its key, both or none. Default: none.
	CertFile, KeyFile string
	// ServerName is the name that the certificate of each server must bear. Default: the host that is connected to.
	ServerName string
}

// errURL says nothing of the URL itself: an unescaped character in a password puts pieces of it into any part.
var errURL = store.Errorf(store.ErrInvalid,
	"invalid Redis URL: want redis://[user:password@]host[:port][/db][?parameter=value], with %%-encoded special characters; redis+cluster:// and redis+sentinel:// take several hosts, separated by commas")

// errNoPassword does not say the user: it is the password of someone who forgot the colon before it.
var errNoPassword = invalid("a Redis URL has a user without password: want user:password@, :password@ or, for a user that has none, user:@")

// ParseURL returns the options that a URL stands for, in one of the forms that the package comment lists. No error repeats a secret.
func ParseURL(raw string) (*Options, error) {
	raw, hosts := cutHosts(raw)
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errURL
	}
	// An @ that is not where it belongs is the end of a password that was cut by one of its own characters.
	if strings.Contains(u.EscapedPath()+u.RawQuery, "@") {
		return nil, errURL
	}
	o := &Options{}
	if err := o.setTarget(u, hosts); err != nil {
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

// cutHosts takes the hosts of a URL after the first, which package url would not take, out of it.
func cutHosts(raw string) (rest string, hosts []string) {
	scheme, after, _ := strings.Cut(raw, "://")
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		end = len(after)
	}
	begin := strings.LastIndexByte(after[:end], '@') + 1
	first, others, several := strings.Cut(after[begin:end], ",")
	if !several {
		return raw, nil
	}
	return scheme + "://" + after[:begin] + first + after[end:], strings.Split(others, ",")
}

// setTarget takes scheme, hosts and path: where to connect, how, and which database.
func (o *Options) setTarget(u *url.URL, hosts []string) error {
	secure, known, kind := splitScheme(u.Scheme)
	switch {
	case !known:
		return invalid("unknown scheme of a Redis URL: want redis, rediss, valkey, valkeys, redis+cluster, rediss+cluster, redis+sentinel, rediss+sentinel or redis+unix")
	case kind == "unix":
		if u.Host != "" || len(u.Path) < 2 {
			return invalid(`a Redis unix socket needs an absolute path: want "redis+unix:///run/redis.sock"`)
		}
		o.Address = u.Path
		return nil
	}
	o.TLS, o.Cluster = secure, kind == "cluster"
	port := "6379"
	if kind == "sentinel" {
		port = "26379"
	}
	if kind == "" && len(hosts) > 0 {
		return invalid("a redis:// URL has one host: use redis+cluster:// for the nodes of a cluster, redis+sentinel:// for sentinels")
	}
	var err error
	if o.Address, err = joinHosts(u.Host, hosts, port); err != nil {
		return err
	}
	path := strings.TrimPrefix(u.Path, "/")
	if kind == "sentinel" {
		o.Sentinel, path, _ = strings.Cut(path, "/")
		if o.Sentinel == "" {
			return invalid("a redis+sentinel:// URL must name the primary that the sentinels watch: want redis+sentinel://host/mymaster")
		}
	}
	if path == "" {
		return nil
	}
	return o.setDB(path)
}

// splitScheme tells what a scheme says: whether it is one, whether with TLS, and what the hosts are ("", cluster, sentinel, unix).
func splitScheme(scheme string) (secure, known bool, kind string) {
	name, kind, two := strings.Cut(scheme, "+")
	if scheme == "unix" {
		return false, true, "unix"
	}
	bare, secure := strings.CutSuffix(name, "s")
	if name == "redis" {
		bare, secure = name, false
	}
	known = bare == "redis" || bare == "valkey"
	switch kind {
	case "cluster", "sentinel":
	case "unix":
		known = known && !secure
	default:
		known = known && !two
	}
	return secure, known, kind
}

// joinHosts makes an address of the hosts of a URL, each with or without a port: the first as package url has decoded it, the others
// as they stand there. It is "" for none.
func joinHosts(first string, others []string, defaultPort string) (string, error) {
	if first == "" && len(others) == 0 {
		return "", nil
	}
	hosts := []string{first}
	for _, other := range others {
		u, err := url.Parse("redis://" + other)
		if err != nil {
			return "", errURL
		}
		hosts = append(hosts, u.Host)
	}
	for i, host := range hosts {
		u := url.URL{Host: host}
		name, port := u.Hostname(), u.Port()
		if !validHost(name) || name == "" && len(hosts) > 1 {
			return "", errURL
		}
		hosts[i] = net.JoinHostPort(orElse(name, "127.0.0.1"), orElse(port, defaultPort))
	}
	return strings.Join(hosts, ","), nil
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
	"near":              (*Options).setNear,
	"key":               func(o *Options, v string) error { o.KeyFile = v; return nil },
	"sentinel_password": func(o *Options, v string) error { o.SentinelPassword = v; return nil },
	"sentinel_user":     func(o *Options, v string) error { o.SentinelUsername = v; return nil },
	"server_name":       func(o *Options, v string) error { o.ServerName = v; return nil },
}

const parameterNames = "ca, cert, client_name, db, dial_timeout, key, near, sentinel_password, sentinel_user, server_name"

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

// setNear takes the size of the near cache.
func (o *Options) setNear(text string) error {
	size, err := parseSize(text)
	if err != nil {
		return err
	}
	o.Near = size
	return nil
}

// parseSize reads a number of bytes.
func parseSize(text string) (int64, error) {
	number, unit := text, uint64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n == 0 || n > math.MaxInt64/unit {
		return 0, invalid(`parameter near of a Redis URL must be a size of at least 1MiB, such as "1048576", "64MiB" or "1GiB"; leave it out for no near cache`)
	}
	return int64(n * unit), nil
}

// sizeText is the reverse of parseSize.
func sizeText(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprint(n)
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
	for _, address := range o.addresses() {
		host, port, err := net.SplitHostPort(address)
		if err != nil || !validHost(host) {
			return false
		}
		if _, err = strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
	}
	return true
}

// addresses returns those that Address names.
func (o *Options) addresses() []string { return strings.Split(o.Address, ",") }

// several reports whether Address may name several.
func (o *Options) several() bool { return o.Cluster || o.Sentinel != "" }

// check reports what no server would accept, so that it shows before anything is dialed.
func (o *Options) check() error {
	switch {
	case !o.validAddress():
		return invalid("the address of a Redis server must be host:port or, for a unix socket, an absolute path; ParseURL takes URLs")
	case !o.several() && !o.unix() && strings.Contains(o.Address, ","):
		return invalid("several addresses are those of a cluster or of sentinels: say which, or give one")
	case o.Cluster && o.Sentinel != "":
		return invalid("a cluster has no sentinels: set Cluster or Sentinel, not both")
	case o.several() && o.unix():
		return invalid("a cluster and sentinels need host:port, not the path of a unix socket")
	case o.Cluster && o.DB != 0:
		return invalid("a Redis Cluster has database 0 only: leave the number out")
	case o.Sentinel == "" && (o.SentinelUsername != "" || o.SentinelPassword != ""):
		return invalid("sentinel_user and sentinel_password need sentinels: use a redis+sentinel:// URL")
	case o.SentinelUsername != "" && o.SentinelPassword == "":
		return invalid("sentinel_user needs sentinel_password")
	case !printable(o.Sentinel) || strings.Contains(o.Sentinel, "/"):
		return invalid("the name of the primary that sentinels watch must be printable ASCII without spaces and slashes")
	case !o.TLS && (o.CAFile != "" || o.CertFile != "" || o.KeyFile != "" || o.ServerName != ""):
		return invalid("ca, cert, key and server_name need TLS: use a rediss:// URL")
	case o.TLS && o.unix():
		return invalid("TLS over a unix socket is not supported")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return invalid("cert and key go together: give both or none")
	case o.DB < 0:
		return invalid("the database must not be negative")
	case o.Near != 0 && o.Near < near.MinBytes:
		return invalid("a near cache has at least 1MiB: give near= such a size or leave it out")
	case o.DialTimeout < 0:
		return invalid("the dial timeout must not be negative")
	}
	if !printable(o.ClientName) {
		return invalid("client_name must be printable ASCII without spaces")
	}
	return nil
}

// printable reports whether text is ASCII without spaces and control characters.
func printable(text string) bool {
	return strings.IndexFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// withDefaults returns a copy with its zero fields filled in. Equal connections have equal copies.
func (o *Options) withDefaults() Options {
	var full Options
	if o != nil {
		full = *o
	}
	address := DefaultAddress
	if full.Sentinel != "" {
		address = DefaultSentinels
	}
	full.Address = orElse(full.Address, address)
	if full.DialTimeout == 0 {
		full.DialTimeout = DefaultDialTimeout
	}
	return full
}

// A target is what a driver connects to. It compares as its options do. The passwords are where printing does not find them: package
// fmt goes through structs and pointers to them, unexported fields included, but not through a pointer to a string.
type target struct {
	Options                    // with defaults, without the passwords
	password, sentinelPassword unique.Handle[string]
}

func (o *Options) target() target {
	full := o.withDefaults()
	t := target{Options: full, password: unique.Make(full.Password), sentinelPassword: unique.Make(full.SentinelPassword)}
	t.Password, t.SentinelPassword = "", ""
	return t
}

// check is that of the options with what target keeps apart.
func (t *target) check() error {
	o := t.Options
	o.SentinelPassword = t.sentinelPassword.Value()
	return o.check()
}

// name is that of the servers in errors.
func (t *target) name() string {
	switch {
	case t.Cluster:
		return "the Redis Cluster of " + t.Address
	case t.Sentinel != "":
		return "Redis " + t.Sentinel + " of the sentinels at " + t.Address
	}
	return "Redis at " + t.Address
}

// patience is how long a server may take to answer a question about the others where none of them does.
func (t *target) patience() time.Duration { return max(inquiryPatience, min(t.DialTimeout, time.Hour)) }

// dataLogin is how to begin a connection to a server with entries.
func (t *target) dataLogin(address string) (login, error) {
	config, err := t.tlsConfig(address)
	return login{username: t.Username, password: t.password, clientName: t.ClientName, db: t.DB, tls: config}, err
}

// dataLogin is that of the target, with the near cache that the connection fills.
func (d *Driver) dataLogin(address string) (login, error) {
	as, err := d.target.dataLogin(address)
	as.near = d.near
	return as, err
}

// sentinelLogin is how to begin a connection to a sentinel.
func (t *target) sentinelLogin(address string) (login, error) {
	config, err := t.tlsConfig(address)
	return login{username: t.SentinelUsername, password: t.sentinelPassword, clientName: t.ClientName, tls: config}, err
}

func (o *Options) unix() bool { return strings.HasPrefix(o.Address, "/") }

// tlsConfig reads the files for each server that is connected to, so that renewed certificates are seen. It is nil without TLS.
func (o *Options) tlsConfig(address string) (*tls.Config, error) {
	if !o.TLS {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, invalid("%q is no address of a Redis server", address)
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
	switch {
	case full.Cluster:
		u.Scheme, u.Path = u.Scheme+"+cluster", ""
	case full.Sentinel != "":
		u.Scheme, u.Path = u.Scheme+"+sentinel", "/"+full.Sentinel+u.Path
	}
	if full.Near != 0 {
		query.Set("near", sizeText(full.Near))
	}
	if full.SentinelPassword != "" {
		query.Set("sentinel_password", "xxxxx")
	}
	if full.Password != "" {
		u.User = url.UserPassword(full.Username, "xxxxx")
	} else if full.Username != "" {
		u.User = url.UserPassword(full.Username, "")
	}
	for name, v := range map[string]string{
		"ca": full.CAFile, "cert": full.CertFile, "key": full.KeyFile, "server_name": full.ServerName, "client_name": full.ClientName,
		"sentinel_user": full.SentinelUsername,
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
