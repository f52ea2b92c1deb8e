package store

import "context"

// A Peeker is a [Driver] that keeps some of what it has read in memory of this process, and is told by its backend what changes.
type Peeker interface {
	// Peek returns the value of key if the driver has it at hand, without waiting for anything; what is not there may exist all the
	// same. It sees the completed writes of this driver, and everything that one of its other methods has shown of the key before
	// Peek was called; those of others it may see later, by as long as the news of them take. A value that has expired is not there.
	// What an answer to Peek is not good for, such as what a conditional write rests on, is read with the methods of [Driver], which
	// always ask the backend.
	Peek(key string) (value []byte, ok bool)
}

// peek does all that comes before the driver for an operation that wants the value of a key, and gets it where the driver has it at
// hand. Else v is nil. What is answered so has no timeout: setting it up takes longer than the answer.
func (h *Handle) peek(ctx context.Context, c *call, op Op, key string) (v []byte, err error) {
	if h.store.peeker == nil {
		return nil, h.enter(ctx, c, op, key)
	}
	if err = h.begin(c, key); err == nil {
		err = h.permit(ctx, op, key)
	}
	if err != nil {
		return nil, err
	}
	if v = h.store.peek(ctx, c, c.key); v == nil {
		c.ctx, c.cancel = h.store.bound(ctx)
	}
	return v, nil
}

// peek returns the value of a stored key where the driver has it at hand, and counts for c whether it did. A caller whose context has
// ended is not answered.
func (in *instance) peek(ctx context.Context, c *call, stored string) []byte {
	if in.peeker == nil || ctx.Err() != nil {
		return nil
	}
	if v, ok := in.peeker.Peek(stored); ok {
		c.peeked.hits++
		return v
	}
	c.peeked.misses++
	return nil
}

// peekMany returns the values of stored keys, in their order, those that the driver has at hand filled in, and the places of the rest.
func (in *instance) peekMany(c *call, stored []string) (values [][]byte, rest []int) {
	values = make([][]byte, len(stored))
	for i, key := range stored {
		if values[i] = in.peek(c.ctx, c, key); values[i] == nil {
			rest = append(rest, i)
		}
	}
	return values, rest
}
