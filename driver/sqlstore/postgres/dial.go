package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// slack is how much longer than a value the message of the server may be that holds it.
const slack = 1 << 20

// neutral is a connection string that leaves nothing to the environment or to files of the user. What it says is replaced.
const neutral = "host=localhost port=5432 user=x password=x database=x passfile='' connect_timeout=1 sslmode=disable sslcertmode=allow " +
	"sslnegotiation=postgres sslrootcert='' sslcert='' sslkey='' target_session_attrs=any min_protocol_version=3.0 max_protocol_version=3.0 channel_binding=prefer require_auth=''"

// config returns the configuration of the client. Files are read at each opening, so that renewed certificates are seen.
func (t *target) config() (*pgconn.Config, error) {
	c, err := neutralConfig()
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, _ = t.hostPort()
	c.User, c.Password, c.Database = t.Username, "", t.Database // the password is filled in for each connection
	c.ConnectTimeout = 0                                        // its context has one
	c.ChannelBinding = t.ChannelBinding
	c.KerberosSrvName, c.KerberosSpn = "", ""
	c.OnPgError = nil
	c.MaxProtocolMessageBodyLen = t.MaxValueBytes + slack
	c.RuntimeParams = map[string]string{"application_name": t.ApplicationName}
	if !t.Unprepared { // poolers refuse others
		ms := strconv.FormatInt(t.StatementTimeout.Milliseconds(), 10)
		c.RuntimeParams["statement_timeout"] = ms
		c.RuntimeParams["idle_in_transaction_session_timeout"] = ms
		c.RuntimeParams["default_transaction_isolation"] = "read committed"
	}
	c.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: pg.Conn()}
	}
	return c, t.secure(c)
}

// neutralConfig returns one of which everything can be replaced. The client cannot be told to leave PGSERVICE alone, but to look
// for a service in a file, of which it is given one that says nothing.
func neutralConfig() (*pgconn.Config, error) {
	text := neutral
	if os.Getenv("PGSERVICE") != "" {
		file, err := os.CreateTemp("", "luastore-no-service")
		if err != nil {
			return nil, invalid("PGSERVICE is set, which the PostgreSQL client can only be told to ignore by a temporary file: unset it, or: %w", err)
		}
		defer os.Remove(file.Name())
		defer file.Close()
		if _, err := file.WriteString("[none]\n"); err != nil {
			return nil, invalid("PGSERVICE is set, which the PostgreSQL client can only be told to ignore by a temporary file: unset it, or: %w", err)
		}
		text += " service=none servicefile='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(file.Name()) + "'"
	}
	c, err := pgconn.ParseConfig(text)
	if err != nil {
		return nil, invalid("the PostgreSQL client refused its defaults")
	}
	return c, nil
}

// secure sets TLS up.
func (t *target) secure(c *pgconn.Config) error {
	c.TLSConfig, c.Fallbacks = nil, nil
	if t.unix() || t.SSLMode == Disable {
		return nil
	}
	config, err := t.tlsConfig(c.Host)
	if err != nil {
		return err
	}
	c.TLSConfig = config
	if t.SSLMode == Prefer {
		c.Fallbacks = []*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port}}
	}
	return nil
}

func (t *target) tlsConfig(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.RootCert != "" && t.RootCert != "system" {
		pem, err := os.ReadFile(t.RootCert)
		if err != nil {
			return nil, invalid("sslrootcert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, invalid("sslrootcert: %s holds no PEM certificate", t.RootCert)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, invalid("sslcert and sslkey: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	switch {
	case t.SSLMode == VerifyFull:
	case t.SSLMode == VerifyCA, t.SSLMode == Require && t.RootCert != "":
		config.InsecureSkipVerify = true // but for the name, it is verified here
		config.VerifyConnection = verifyChain(config.RootCAs)
	default:
		config.InsecureSkipVerify = true
	}
	return config, nil
}

// verifyChain verifies that one of roots vouches for the server, whatever its name.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, certificate := range state.PeerCertificates[1:] {
			between.AddCert(certificate)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		return err
	}
}

// login marks the context of an attempt to connect: the client dials for other reasons too, with contexts of its own.
type login struct{}

// dial makes a connection.
func (d *Driver) dial(ctx context.Context) (*conn, error) {
	var wire net.Conn // of the try under way; only this goroutine logs in
	config := d.config.Copy()
	config.Password = d.target.password.Value()
	var connected atomic.Bool
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if ctx.Value(login{}) == nil {
			// A request to cancel, sent while it hands connections on, ends PgBouncer 1.18 as a whole.
			if !connected.Load() || d.target.Unprepared {
				return nil, errors.New("nothing is to be cancelled")
			}
			return d.dialCancel(ctx, network, address)
		}
		if wire != nil {
			d.pool.forget(wire)
			wire = nil
		}
		made, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		wire = made
		return wire, d.pool.remember(wire)
	}
	pg, err := pgconn.ConnectConfig(context.WithValue(ctx, login{}, true), config)
	if err != nil {
		if wire != nil {
			wire.Close()
			d.pool.forget(wire)
		}
		return nil, d.unreachable(ctx, err)
	}
	connected.Store(true)
	return newConn(pg, wire, d.target.Unprepared), nil
}

// dialCancel makes the short connection that asks the server to cancel the statement of another, which broke.
func (d *Driver) dialCancel(ctx context.Context, network, address string) (net.Conn, error) {
	if d.pool.closing.Err() != nil {
		return nil, errClosed
	}
	if network == "unix" && !path.IsAbs(address) {
		return nil, errors.New("relative path")
	}
	select {
	case d.pool.cancels <- struct{}{}:
	default:
		return nil, errors.New("too many at once") // the statement timeout ends it
	}
	ctx, cancel := context.WithTimeout(ctx, burial)
	defer cancel()
	defer context.AfterFunc(d.pool.closing, cancel)()
	wire, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		<-d.pool.cancels
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		wire.SetDeadline(deadline)
	}
	stop := context.AfterFunc(d.pool.closing, func() { wire.Close() })
	return &canceling{Conn: wire, done: sync.OnceFunc(func() {
		stop()
		<-d.pool.cancels
	})}, nil
}

// canceling is a connection that the end of the pool closes.
type canceling struct {
	net.Conn
	done func()
}

func (c *canceling) Close() error {
	c.done()
	return c.Conn.Close()
}
