package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/luastore/store"
)

const (
	// slowDial is after how long a failure to connect says that the server is away, and not only that it refuses.
	slowDial = time.Second
	// redialPause is how often somebody tries to connect to a server that is away. The other calls fail at once instead of each
	// spending its time on it, and soon find that it is back.
	redialPause = 500 * time.Millisecond
)

// A connector makes the sessions of a driver, each for the call that needs it and within the time of that call.
type connector struct {
	config  *mysql.Config
	setup   []string        // statements that each session begins with
	fixed   map[string]bool // texts of statements that sessions prepare; it does not change once the driver is open
	timeout time.Duration
	closing context.Context
	links   links

	mu       sync.Mutex
	away     error     // why nothing dials before redialAt; nil: the server was there when it was last dialed
	redialAt time.Time // if away
}

// clientConfig is a target as the client takes it.
func (t *target) clientConfig() (*mysql.Config, error) {
	secure, err := t.tlsConfig()
	if err != nil {
		return nil, err
	}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = t.Username, t.password.Value(), t.Database
	c.Net, c.Addr = "tcp", t.Address
	if t.unix() {
		c.Net = "unix"
	}
	c.TLS = secure
	c.ConnectionAttributes = "program_name:luastore"
	c.MaxAllowedPacket = 0   // the server's
	c.ClientFoundRows = true // an update counts the rows that its condition holds for, changed or not
	c.Logger = &mysql.NopLogger{}
	return c, nil
}

// A dialError says why there is no session. Nothing was asked.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// Connect implements [driver.Connector].
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.pass(); err != nil {
		return nil, &dialError{err}
	}
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	stop := context.AfterFunc(c.closing, cancel)
	defer stop()
	start := time.Now()
	s, err := c.begin(bounded)
	c.note(err, time.Since(start))
	if err != nil {
		return nil, &dialError{err}
	}
	return s, nil
}

// Driver implements [driver.Connector].
func (c *connector) Driver() driver.Driver { return &mysql.MySQLDriver{} }

// begin makes one session. What speaks another protocol than MySQL's can make the client panic.
func (c *connector) begin(ctx context.Context) (s *session, err error) {
	var l *link
	defer func() {
		if p := recover(); p != nil {
			err = store.Errorf(store.ErrUnavailable, "the server does not speak the protocol of MySQL")
		}
		if err != nil && l != nil {
			l.Close()
		}
	}()
	config := c.config.Clone()
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		if l, err = c.links.dial(ctx, network, address); err != nil {
			return nil, err
		}
		return l, nil
	}
	client, err := mysql.NewConnector(config)
	if err != nil {
		return nil, &plain{"the client refuses its configuration"} // which its text may repeat
	}
	conn, err := client.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s = &session{clientConn: conn.(clientConn), dialer: c, link: l, prepared: map[string]driver.Stmt{}}
	for _, statement := range c.setup {
		if _, err := s.ExecContext(ctx, statement, nil); err != nil {
			conn.Close()
			return nil, fmt.Errorf("session refused: %w", err)
		}
	}
	return s, nil
}

// pass returns why not to dial now, nil for one in a while.
func (c *connector) pass() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.away != nil && now.Before(c.redialAt) {
		return c.away
	}
	c.redialAt = now.Add(redialPause)
	return nil
}

// note learns from the outcome of dialing for a time. A caller without patience learns nothing.
func (c *connector) note(err error, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.away = nil
	case took >= slowDial && !errors.Is(err, context.Canceled):
		c.away = err
	}
}
