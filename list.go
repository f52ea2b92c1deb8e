package store

import (
	"context"
	"iter"
	"strings"
)

// DefaultPage is the limit of a page where none is given, or Limits.Batch where that is less.
const DefaultPage = 100

// An ItemPage is part of a listing with values.
type ItemPage struct {
	Items []Item
	Next  string // the cursor of the next page; "" at the end
}

// List returns a page of about limit live keys that begin with prefix, which may be empty or end anywhere. The cursor is "" at
// first, then the Next of the page before, under the same prefix; another is an [ErrInvalid]. It can be kept, and used by
// another process where the driver is Shared; where there is a policy it is encrypted, see [Options].CursorKey. A limit of 0 means
// [DefaultPage]; at most Limits.Batch. A page may be empty before the end, or exceed limit where the backend decides. A key alive throughout is
// returned at least once; exactly once and in byte order where Info says Ordered. Keys that no operation here could name,
// written by others into the backend, are left out.
//
// The policy is asked for OpList with the prefix, and for each key found: a page leaves out the keys that it refuses.
func (h *Handle) List(ctx context.Context, prefix, cursor string, limit int) (Page, error) {
	var c call
	page, err := h.list(ctx, &c, prefix, cursor, limit)
	return page, h.end(ctx, &c, Event{Op: OpList, Key: prefix, Keys: len(page.Keys), Hit: len(page.Keys) > 0}, err)
}

// ListItems is [Handle.List] with the values of the keys, in one round trip more where the backend reads many keys in one. The
// page is no snapshot: each value is one that its key had since the call began, and keys that are gone by then are left out. The
// policy is asked for OpGet too, with each key, and those that it refuses are left out.
func (h *Handle) ListItems(ctx context.Context, prefix, cursor string, limit int) (ItemPage, error) {
	var c call
	page, err := h.list(ctx, &c, prefix, cursor, limit)
	var items []Item
	size := 0
	if err == nil {
		items, err = h.items(&c, h.allowed(ctx, OpGet, page.Keys))
	}
	for _, item := range items {
		size += len(item.Value)
	}
	err = h.end(ctx, &c, Event{Op: OpList, Key: prefix, Keys: len(items), Bytes: size, Hit: len(items) > 0}, err)
	if err != nil {
		return ItemPage{}, err
	}
	return ItemPage{Items: items, Next: page.Next}, nil
}

// list is one page of keys as the caller may see them.
func (h *Handle) list(ctx context.Context, c *call, prefix, cursor string, limit int) (Page, error) {
	if err := h.open(c); err != nil {
		return Page{}, err
	}
	limit, err := h.store.checkList(prefix, limit)
	if err != nil {
		return Page{}, err
	}
	stored := h.store.prefix + prefix
	inner, err := h.store.reg.cursors.unseal(stored, cursor)
	if err != nil {
		return Page{}, err
	}
	if err := h.ask(ctx, Access{Op: OpList, Key: prefix, Prefix: true}); err != nil {
		return Page{}, err
	}
	c.ctx, c.cancel = h.store.bound(ctx)
	page, err := h.store.driver.List(c.ctx, stored, inner, limit)
	if err != nil {
		return Page{}, err
	}
	page.Keys = h.allowed(ctx, OpList, h.store.names(page.Keys, prefix))
	page.Next = h.store.reg.cursors.seal(stored, page.Next)
	return page, nil
}

// allowed returns those of keys on which the policy allows op. The slice becomes its own.
func (h *Handle) allowed(ctx context.Context, op Op, keys []string) []string {
	if h.store.reg.policy == nil {
		return keys
	}
	some := keys[:0]
	for _, key := range keys {
		if h.allow(ctx, op, key) == nil {
			some = append(some, key)
		}
	}
	return some
}

// items returns keys with their values, without those that are gone.
func (h *Handle) items(c *call, keys []string) ([]Item, error) {
	stored := make([]string, len(keys))
	for i, key := range keys {
		stored[i] = h.store.prefix + key
	}
	values, err := h.values(c, stored)
	if err != nil {
		return nil, err
	}
	items := make([]Item, 0, len(keys))
	for i, v := range values {
		if v != nil {
			items = append(items, Item{Key: keys[i], Value: v})
		}
	}
	return items, nil
}

// checkList checks the arguments of a listing and returns its limit.
func (in *instance) checkList(prefix string, limit int) (int, error) {
	if err := in.checkLength("prefix", prefix); err != nil {
		return 0, err
	}
	if err := checkText("prefix", prefix); err != nil {
		return 0, err
	}
	most := in.limits.Batch
	if limit < 0 || limit > most {
		return 0, Errorf(ErrInvalid, "invalid limit %d: want 1 to %d", limit, most)
	}
	if limit == 0 {
		limit = min(DefaultPage, most)
	}
	return limit, nil
}

// names returns the stored keys of a page as the caller names them. It believes no driver that they begin as they should: a
// store must not see the keys of another.
func (in *instance) names(stored []string, prefix string) []string {
	names := make([]string, 0, len(stored))
	for _, k := range stored {
		name, ours := strings.CutPrefix(k, in.prefix)
		if ours && strings.HasPrefix(name, prefix) && len(k) <= in.limits.KeyBytes && CheckKey(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// Keys returns an iterator over all live keys that begin with prefix, which lists a page when it needs one; see [Handle.List] for
// what is promised of keys that come and go meanwhile. An error is the last that it yields, with no key.
func (h *Handle) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for cursor := ""; ; {
			page, err := h.List(ctx, prefix, cursor, min(KeysPage, h.store.limits.Batch))
			if err != nil {
				yield("", err)
				return
			}
			for _, key := range page.Keys {
				if !yield(key, nil) {
					return
				}
			}
			if cursor = page.Next; cursor == "" {
				return
			}
		}
	}
}

// Items is [Handle.Keys] with values; see [Handle.ListItems].
func (h *Handle) Items(ctx context.Context, prefix string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for cursor := ""; ; {
			page, err := h.ListItems(ctx, prefix, cursor, 0)
			if err != nil {
				yield(Item{}, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = page.Next; cursor == "" {
				return
			}
		}
	}
}

// KeysPage is how many keys [Handle.Keys] lists at a time, or Limits.Batch where that is less: few pages, and little memory. With
// values, which may be large, it is [DefaultPage].
const KeysPage = 1000
