package storelua

import (
	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
)

// A listing is what list and each are to list.
type listing struct {
	prefix, cursor string
	limit          int
	values         bool
}

// listPage is s:list([options]).
func listPage(L *lua.LState) int {
	h := self(L)
	l, err := listingOf(L, h)
	if err != nil {
		return failed(L, h, store.OpList, l.prefix, err)
	}
	p, err := l.page(L, h)
	if err != nil {
		return fail(L, err)
	}
	items, err := l.items(L, h, p)
	if err != nil {
		return failed(L, h, store.OpList, l.prefix, err)
	}
	t := L.CreateTable(0, 2)
	t.RawSetString("items", items)
	if p.next != "" {
		t.RawSetString("cursor", lua.LString(p.next))
	}
	return done(L, t)
}

// listingOf returns the arguments of list.
func listingOf(L *lua.LState, h *store.Handle) (l listing, err error) {
	o, err := optionsOf(L, 2, listOptionNames)
	if err != nil {
		return l, err
	}
	if l.prefix, _, err = o.text("prefix"); err != nil {
		return l, err
	}
	var given bool
	if l.cursor, given, err = o.text("cursor"); err != nil {
		return l, err
	}
	if given && l.cursor == "" {
		return l, store.Errorf(store.ErrInvalid, "invalid cursor: want the one that came with the page before, got an empty string")
	}
	most := h.Limits().Batch
	if l.limit, err = o.count("limit", min(store.DefaultPage, most), 1, most); err != nil {
		return l, err
	}
	l.values, err = o.flag("values")
	return l, err
}

// A page is some keys of a listing, or some items.
type page struct {
	keys  []string
	items []store.Item
	next  string
}

// page lists one page.
func (l listing) page(L *lua.LState, h *store.Handle) (page, error) {
	if !l.values {
		p, err := h.List(contextOf(L), l.prefix, l.cursor, l.limit)
		return page{keys: p.Keys, next: p.Next}, err
	}
	p, err := h.ListItems(contextOf(L), l.prefix, l.cursor, l.limit)
	return page{items: p.Items, next: p.Next}, err
}

// items returns a page as scripts see it.
func (l listing) items(L *lua.LState, h *store.Handle, p page) (*lua.LTable, error) {
	if !l.values {
		return array(L, p.keys), nil
	}
	t := L.CreateTable(len(p.items), 0)
	d := newBatchDecoder(L, h)
	for _, item := range p.items {
		if v := d.decode(item.Key, item.Value); v != nil {
			row := L.CreateTable(0, 2)
			row.RawSetString("key", lua.LString(item.Key))
			row.RawSetString("value", v)
			t.Append(row)
		}
	}
	return t, d.err()
}

// each is s:each([prefix or options]): an iterator for the generic for. It raises errors, as there is no telling them from the
// end.
func each(L *lua.LState) int {
	h := self(L)
	l, err := walkOf(L, h)
	if err != nil {
		raise(L, h.Fail(contextOf(L), store.OpList, l.prefix, err))
	}
	if err := h.Err(); err != nil {
		raise(L, err)
	}
	w := &walk{h: h, listing: l}
	L.Push(L.NewFunction(w.next))
	return 1
}

// walkOf returns the arguments of each.
func walkOf(L *lua.LState, h *store.Handle) (l listing, err error) {
	l.values = true
	switch v := L.Get(2).(type) {
	case lua.LString:
		l.prefix = string(v)
	case *lua.LNilType, *lua.LTable:
		l, err = walkWith(L)
	default:
		err = wrongType("prefix", "a string, or a table with "+list(eachOptionNames), v)
	}
	if err != nil {
		return l, err
	}
	if l.limit = store.KeysPage; l.values {
		l.limit = store.DefaultPage
	}
	l.limit = min(l.limit, h.Limits().Batch)
	return l, nil
}

// walkWith returns the options of each.
func walkWith(L *lua.LState) (l listing, err error) {
	o, err := optionsOf(L, 2, eachOptionNames)
	if err != nil {
		return l, err
	}
	if l.prefix, _, err = o.text("prefix"); err != nil {
		return l, err
	}
	if l.values = true; o.get("values") != lua.LNil {
		l.values, err = o.flag("values")
	}
	return l, err
}

// raise raises an error with its message, at the place in the script that called.
func raise(L *lua.LState, err error) { L.RaiseError("%s", store.Message(err)) }

// A walk is one loop over a listing, page by page.
type walk struct {
	h *store.Handle
	listing
	page  page
	at    int // in the page
	begun bool
}

// next is the iterator function: it returns the next key, with its value if those are wanted, and nothing at the end.
func (w *walk) next(L *lua.LState) int {
	if err := w.h.Err(); err != nil { // what was listed for one unit is not for the next
		w.page, w.at = page{}, 0
		raise(L, err)
	}
	for w.at == len(w.page.keys)+len(w.page.items) {
		if w.begun && w.page.next == "" {
			return push(L, lua.LNil)
		}
		if err := w.turn(L); err != nil {
			raise(L, err)
		}
	}
	w.at++
	if !w.values {
		return push(L, lua.LString(w.page.keys[w.at-1]))
	}
	item := w.page.items[w.at-1]
	v, err := Decode(L, item.Value, w.h.Limits().Value())
	if err != nil {
		raise(L, w.h.Fail(contextOf(L), store.OpList, item.Key, &store.BatchError{Errs: map[string]error{item.Key: err}}))
	}
	L.Push(lua.LString(item.Key))
	return 1 + push(L, v)
}

// turn gets the next page.
func (w *walk) turn(L *lua.LState) error {
	w.cursor = w.page.next
	p, err := w.listing.page(L, w.h)
	if err != nil {
		return err
	}
	w.page, w.at, w.begun = p, 0, true
	return nil
}
