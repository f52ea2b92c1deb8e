package historytest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/luastore/store"
)

const (
	swept        = 64 // entries at a time
	sweepers     = 4
	readPatience = 30 * time.Second // with all reads of one sweep
)

// sweep reads everything through each client in turn, at least twice, over a while, so that it sees what comes late.
func (r *round) sweep() {
	sweeps := max(2, len(r.drivers))
	start := r.now()
	for i := range sweeps {
		r.rest(start + r.target.Watch*time.Duration(i)/time.Duration(sweeps-1))
		client := i % len(r.drivers)
		if err := r.sweepThrough(client); err != nil {
			r.found.add(recovers, "without any fault client %d cannot read for %v: %v", client, readPatience, err)
			return
		}
	}
}

// sweepThrough reads everything through one client.
func (r *round) sweepThrough(client int) error {
	ctx, cancel := context.WithTimeout(context.Background(), readPatience)
	defer cancel()
	var wait sync.WaitGroup
	chunks := make(chan []*cell)
	errs := make([]error, sweepers)
	for i := range errs {
		wait.Go(func() {
			for cells := range chunks {
				if err := r.readAll(ctx, client, cells); err != nil {
					errs[i] = err
				}
			}
		})
	}
	for cells := range slices.Chunk(r.load.cells, swept) {
		chunks <- cells
	}
	close(chunks)
	wait.Wait()
	return errors.Join(errs...)
}

// readAll reads entries through one client, again until it succeeds, and notes what they are.
func (r *round) readAll(ctx context.Context, client int, cells []*cell) error {
	for {
		called := r.now()
		values, err := getMany(ctx, r.drivers[client], cells)
		if err == nil {
			for i, c := range cells {
				c.found = append(c.found, values[i].seen)
				c.calls = append(c.calls, &call{client: client, action: actGet, cell: c, called: called, returned: r.now(), got: values[i]})
			}
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		r.rest(r.now() + r.target.Pace)
	}
}

// getMany reads entries, at once where the driver can.
func getMany(ctx context.Context, d store.Driver, cells []*cell) ([]answer, error) {
	answers := make([]answer, len(cells))
	if b, ok := d.(store.Batcher); ok {
		keys := make([]string, len(cells))
		for i, c := range cells {
			keys[i] = c.key
		}
		values, err := b.GetMany(ctx, keys)
		if err != nil {
			return nil, err
		}
		for i, v := range values {
			answers[i] = answer{ok: v != nil, seen: string(v)}
		}
		return answers, nil
	}
	for i, c := range cells {
		var err error
		if answers[i], err = read(d.Get(ctx, c.key)); err != nil {
			return nil, err
		}
	}
	return answers, nil
}
