package natsstore

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/luastore/store"
)

// Defaults of [Options].
const (
	DefaultServers     = "127.0.0.1:4222"
	DefaultBucket      = "luastore"
	DefaultDialTimeout = 5 * time.Second
)

// Ways to make sure that what a read answers is the newest, for [Options].Reads. They differ on buckets with replicas only.
const (
	// ReadsQuorum asks a majority of the replicas about each read, once for all that are under way. It relies on no clock.
	ReadsQuorum = "quorum"
	// ReadsLease trusts the leader for 50 ms after a majority has followed it, which takes no further round trip.
	ReadsLease = "lease"
)

// Options say how to connect and what the bucket is to be like. Printing them in any way shows [Options.Redacted].
type Options struct {
	// Servers are the addresses of the servers of one cluster, host:port each, with commas between them. The driver is connected to
	// one of them and goes to the next when that one fails. Default [DefaultServers].
	Servers string
	// Bucket is the name of the key-value bucket: letters, digits, - and _, at most 250. Default [DefaultBucket].
	Bucket string
	// Username and Password log in. Default: none.
	Username, Password string
	// Token logs in, instead of a user. Default: none.
	Token string
	// TokenFile is a file that holds nothing but a token. It is read at each connection. Default: none.
	TokenFile string
	// CredsFile is a file with the JWT of a user and its seed, as nsc writes it. It is read at each connection. Default: none.
	CredsFile string
	// NKeyFile is a file with the seed of a user's NKey. It is read at each connection. Default: none.
	NKeyFile string
	// Replicas is how many servers hold the bucket: 1, 3 or 5. Default 1 for a bucket that is made, any for one that is there.
	Replicas int
	// Storage is where the servers keep the bucket: "file" or "memory". Default file for a bucket that is made, any for one that is
	// there.
	Storage string
	// MaxBytes is how many bytes the bucket may hold, with some 100 for each entry beside key and value. Default for a bucket that is
	// made: as many as the account may store.
	MaxBytes int64
	// NoCreate makes opening fail where the bucket is missing, instead of making it. Default false.
	NoCreate bool
	// Reads is [ReadsQuorum] or [ReadsLease]. Default [ReadsQuorum].
	Reads string
	// Domain is the JetStream domain of the bucket. Default: that of the server.
	Domain string
	// InboxPrefix begins the subjects on which replies come, for users who may not subscribe to those of everyone. Default "_INBOX".
	InboxPrefix string
	// ClientName is what the server shows for the connection, printable ASCII without spaces. Default: none.
	ClientName string
	// DialTimeout bounds each of connecting and the first exchange with a server. Default [DefaultDialTimeout], but two seconds at
	// most where there are several servers.
	DialTimeout time.Duration
	// TLS requires TLS, at least 1.2, and verifies the server. Default false: TLS where the server asks for it.
	TLS bool
	// CAFile is a PEM file with the authorities to trust. Default: those of the system.
	CAFile string
	// CertFile and KeyFile are PEM files with the certificate of this client and its key, both or none. Default: none.
	CertFile, KeyFile string
	// ServerName is the name that the certificates of the servers must bear. Default: the host of each.
	ServerName string
}

// A target is what a driver connects to. It compares as its options do. Secrets are where printing does not find them: package
// fmt goes through structs and pointers to them, unexported fields included, but not through a pointer to a string.
type target struct {
	Options         // with defaults, without secrets
	password, token unique.Handle[string]
}

func (o *Options) target() target {
	full := o.withDefaults()
	t := target{Options: full, password: unique.Make(full.Password), token: unique.Make(full.Token)}
	t.Password, t.Token = "", ""
	return t
}

// withDefaults returns a copy with its zero fields filled in. Equal connections have equal copies.
func (o *Options) withDefaults() Options {
	var full Options
	if o != nil {
		full = *o
	}
	full.Servers = orElse(full.Servers, DefaultServers)
	full.Bucket = orElse(full.Bucket, DefaultBucket)
	full.Reads = orElse(full.Reads, ReadsQuorum)
	full.InboxPrefix = orElse(full.InboxPrefix, "_INBOX")
	if full.DialTimeout == 0 {
		full.DialTimeout = DefaultDialTimeout
		if strings.Contains(full.Servers, ",") {
			full.DialTimeout = maxDialOfMany
		}
	}
	return full
}

// check reports what no server would accept, so that it shows before anything is dialed. Texts that may be a URL, with a password,
// are not repeated.
func (o *Options) check() error {
	full := o.withDefaults()
	for _, check := range []func() error{full.checkServers, full.checkBucket, full.checkLogin, full.checkTLS, full.checkNames} {
		if err := check(); err != nil {
			return err
		}
	}
	switch {
	case full.DialTimeout < 0:
		return invalid("the dial timeout must not be negative")
	case full.Reads != ReadsQuorum && full.Reads != ReadsLease:
		return invalid("reads must be quorum or lease")
	}
	return nil
}

func (o *Options) checkServers() error {
	for _, server := range strings.Split(o.Servers, ",") {
		host, port, err := net.SplitHostPort(server)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil || host == "" || !validHost(host) {
			return invalid("the servers of NATS must be host:port, with commas between them; ParseURL takes URLs")
		}
	}
	return nil
}

// maxBucket is the longest name of a bucket: that of a stream is KV_ and the bucket, and has at most 255 bytes.
const maxBucket = 250

func (o *Options) checkBucket() error {
	switch {
	case !validBucket(o.Bucket):
		return invalid("the name of a bucket must be 1 to %d letters, digits, - and _", maxBucket)
	case o.Replicas != 0 && o.Replicas != 1 && o.Replicas != 3 && o.Replicas != 5:
		return invalid("replicas must be 1, 3 or 5")
	case o.Storage != "" && o.Storage != "file" && o.Storage != "memory":
		return invalid("storage must be file or memory")
	case o.MaxBytes < 0:
		return invalid("max_bytes must not be negative")
	}
	return nil
}

func validBucket(name string) bool {
	for _, c := range name {
		if c != '-' && !isPlain(byte(min(c, 127))) || c == '/' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= maxBucket
}

func (o *Options) checkLogin() error {
	ways := 0
	for _, given := range []bool{o.Username != "" || o.Password != "", o.Token != "", o.TokenFile != "", o.CredsFile != "", o.NKeyFile != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		return invalid("there is more than one way to log in to NATS: give a user with a password, a token, token_file, creds or nkey")
	case o.Username == "" && o.Password != "":
		return invalid("a password for NATS needs a user")
	}
	return nil
}

func (o *Options) checkTLS() error {
	switch {
	case !o.TLS && (o.CAFile != "" || o.CertFile != "" || o.KeyFile != "" || o.ServerName != ""):
		return invalid("ca, cert, key and server_name need TLS: use a natss:// URL")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return invalid("cert and key go together: give both or none")
	}
	return nil
}

func (o *Options) checkNames() error {
	for _, c := range o.ClientName {
		if c <= ' ' || c > '~' {
			return invalid("client_name must be printable ASCII without spaces")
		}
	}
	switch {
	case strings.ContainsFunc(o.Domain, notOfDomain):
		return invalid("domain must be letters, digits, - and _")
	case strings.ContainsFunc(o.InboxPrefix, notOfInbox) || len(o.InboxPrefix) > 200 || strings.Contains("."+o.InboxPrefix+".", ".."):
		return invalid("inbox_prefix must be letters, digits, -, _ and single dots between them, at most 200 in all")
	}
	return nil
}

func notOfDomain(c rune) bool { return c > 127 || c == '/' || !isPlain(byte(c)) }

func notOfInbox(c rune) bool { return c != '.' && notOfDomain(c) }

func validHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || !strings.ContainsAny(host, ":[]/?#@% ,")
}

// Redacted returns the options as a URL without secrets, for messages.
func (o *Options) Redacted() string {
	full := o.withDefaults()
	if full.checkServers() != nil {
		full.Servers = "xxxxx"
	}
	if full.checkBucket() != nil {
		full.Bucket = "xxxxx"
	}
	scheme, login := "nats", ""
	if full.TLS {
		scheme = "natss"
	}
	switch {
	case full.Token != "":
		login = "xxxxx@"
	case full.Username != "":
		login = url.UserPassword(full.Username, "xxxxx").String() + "@"
	}
	query := full.query().Encode()
	if query != "" {
		query = "?" + query
	}
	return scheme + "://" + login + full.Servers + "/" + full.Bucket + query
}

// query returns the parameters of a URL that differ from the defaults.
func (o *Options) query() url.Values {
	query := url.Values{}
	for name, v := range map[string]string{
		"ca": o.CAFile, "cert": o.CertFile, "key": o.KeyFile, "server_name": o.ServerName, "client_name": o.ClientName,
		"creds": o.CredsFile, "nkey": o.NKeyFile, "token_file": o.TokenFile, "domain": o.Domain, "storage": o.Storage,
		"inbox_prefix": unless(o.InboxPrefix, "_INBOX"), "reads": unless(o.Reads, ReadsQuorum),
		"replicas": unless(strconv.Itoa(o.Replicas), "0"), "max_bytes": unless(strconv.FormatInt(o.MaxBytes, 10), "0"),
	} {
		if v != "" {
			query.Set(name, v)
		}
	}
	if o.NoCreate {
		query.Set("create", "false")
	}
	return query
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

// unless returns s, or nothing where it is what it would be anyway.
func unless(s, usual string) string {
	if s == usual {
		return ""
	}
	return s
}
