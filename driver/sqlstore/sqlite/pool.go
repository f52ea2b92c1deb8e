package sqlite

import (
	"context"
	"errors"
)

// A pool holds the connections that read, opened as they are needed.
type pool struct {
	target target
	file   *file
	idle   chan *conn // one place for each: nil is not open yet
}

func newPool(to target, f *file) *pool {
	p := &pool{target: to, file: f, idle: make(chan *conn, to.MaxConns)}
	for range to.MaxConns {
		p.idle <- nil
	}
	return p
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
	_, err = c.text("PRAGMA busy_timeout = 0")
	if err == nil {
		err = p.file.check()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// read calls use with a connection, and again where another process was in the way, or where that left undecided what it saw.
func (d *Driver) read(ctx context.Context, use func(c *conn, by view) error) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	for {
		by, err := d.readOnce(ctx, use)
		if !errors.Is(err, errUndecided) {
			return err
		}
		// Without a connection: others shall read.
		select {
		case <-by.turn.over:
		case <-ctx.Done():
			return d.ended(ctx)
		}
	}
}

func (d *Driver) readOnce(ctx context.Context, use func(c *conn, by view) error) (by view, err error) {
	var c *conn
	select {
	case c = <-d.readers.idle:
	default:
		select {
		case c = <-d.readers.idle:
		case <-ctx.Done():
			return by, d.ended(ctx)
		case <-d.closing.Done():
			return by, errClosed
		}
	}
	defer func() { d.readers.idle <- c }()
	if d.closing.Err() != nil {
		return by, errClosed
	}
	if d.doubtful.Load() {
		return by, d.doubtError()
	}
	by = d.writer.view()
	if err := d.file.checkAt(by.at); err != nil {
		return by, err
	}
	err = d.patiently(ctx, func() (err error) {
		if c, err = d.readers.open(c); err != nil {
			return err
		}
		return use(c, by)
	})
	switch {
	case err == nil || errors.Is(err, errUndecided):
		return by, err
	case isBusy(err):
		return by, d.busyError(ctx)
	}
	return by, d.openError(err)
}
