package sqlite

import (
	"context"
	"time"
)

// A pool holds the connections that read, opened as they are needed.
type pool struct {
	target target
	idle   chan *conn // one place for each: nil is not open yet
}

func newPool(to target) *pool {
	p := &pool{target: to, idle: make(chan *conn, to.MaxConns)}
	for range to.MaxConns {
		p.idle <- nil
	}
	return p
}

// pause waits until nobody reads and keeps it so until resume is called. It gives up, with false, where that takes long: one of
// the readers waits for another process.
func (p *pool) pause(most time.Duration) (resume func(), ok bool) {
	var all []*conn
	resume = func() {
		for _, c := range all {
			p.idle <- c
		}
	}
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	for len(all) < p.target.MaxConns {
		select {
		case c := <-p.idle:
			all = append(all, c)
		case <-timeout.C:
			resume()
			return nil, false
		}
	}
	return resume, true
}

// close waits until nobody reads and closes all connections. Nobody may come after.
func (p *pool) close() {
	for range p.target.MaxConns {
		if c := <-p.idle; c != nil {
			c.close()
		}
	}
}

// open returns c, or a new connection where it is nil.
func (p *pool) open(c *conn) (*conn, error) {
	if c != nil {
		return c, nil
	}
	c, err := connect(p.target, readOnly)
	if err != nil {
		return nil, err
	}
	if _, err := c.text("PRAGMA busy_timeout = 0"); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// read calls use with a connection, once more where another process was in the way.
func (d *Driver) read(ctx context.Context, use func(c *conn) error) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	var c *conn
	select {
	case c = <-d.readers.idle:
	default:
		select {
		case c = <-d.readers.idle:
		case <-ctx.Done():
			return d.ended(ctx)
		case <-d.closing.Done():
			return errClosed
		}
	}
	defer func() { d.readers.idle <- c }()
	if d.closing.Err() != nil {
		return errClosed
	}
	if d.doubtful.Load() {
		return d.doubtError()
	}
	err := d.patiently(ctx, func() (err error) {
		if c, err = d.readers.open(c); err != nil {
			return err
		}
		return use(c)
	})
	switch {
	case err == nil:
		return nil
	case isBusy(err):
		return d.busyError(ctx)
	}
	return d.openError(err)
}
