package redisstore

import (
	"context"

	"github.com/luastore/store"
)

// A single is the one server of a driver without more.
type single struct {
	driver *Driver
	node   *node
}

func (d *Driver) newSingle() (*single, error) {
	as, err := d.dataLogin(d.target.Address)
	if err != nil {
		return nil, err
	}
	n, err := newNode(d.target.Address, &d.target, as, d.pace)
	if err != nil {
		return nil, err
	}
	d.build = n.client.B()
	return &single{d, n}, nil
}

func (s *single) open(ctx context.Context) error {
	_, err := s.node.connect(ctx)
	return err
}

func (s *single) of(context.Context, string) (*node, error) { return s.node, nil }

func (s *single) elsewhere(context.Context, string, way, error) (next way, ok bool) {
	return way{}, false
}

// list walks the one server: the cursor is that of SCAN.
func (s *single) list(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	at, err := parseCursor(cursor)
	if err != nil {
		return store.Page{}, err
	}
	keys, next, err := s.driver.walk(ctx, s.node, prefix, at, limit)
	if err != nil {
		return store.Page{}, err
	}
	return store.Page{Keys: keys, Next: formatCursor(next)}, nil
}

func (s *single) close() { s.node.close() }
