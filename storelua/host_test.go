package storelua_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storelua"
)

// A host is a program that embeds Lua: a registry with the store "cache" in memory, and one state.
type host struct {
	*testing.T
	reg    *store.Registry
	driver store.Driver // of the store "cache"
	L      *lua.LState
}

// newHost returns a host whose registry has the options o and whose store is defined as d, with memory behind it.
func newHost(t *testing.T, o *store.Options, d store.Definition) *host {
	t.Helper()
	driver, err := memstore.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{T: t, reg: store.New(o), driver: driver, L: newState(t)}
	t.Cleanup(func() {
		if err := h.reg.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	d.Open = store.Opener{Open: func(context.Context) (store.Driver, error) { return driver, nil }}
	if err := h.reg.Define("cache", d); err != nil {
		t.Fatal(err)
	}
	storelua.Preload(h.L)
	return h
}

// plainHost returns a host with defaults throughout.
func plainHost(t *testing.T) *host {
	t.Helper()
	return newHost(t, nil, store.Definition{})
}

// prelude is what the code below begins with.
const prelude = `local store = require("store"); local s = store.get("cache"); `

// unit runs code as one unit of work and returns its results, each as a script would write it.
func (h *host) unit(code string) (string, error) {
	var results []string
	err := h.reg.DoNamed(context.Background(), "unit", func(ctx context.Context) error {
		h.L.SetContext(ctx)
		defer h.L.SetTop(0)
		if err := h.L.DoString(prelude + code); err != nil {
			return err
		}
		for i := 1; i <= h.L.GetTop(); i++ {
			results = append(results, show(h.L, h.L.Get(i)))
		}
		return nil
	})
	return strings.Join(results, ", "), err
}

// want fails unless the expression, or the code with a return in it, has these results when it runs as a unit.
func (h *host) want(code, results string) {
	h.Helper()
	if _, err := h.L.LoadString("return " + code); err == nil {
		code = "return " + code
	}
	if got, err := h.unit(code); err != nil || got != results {
		h.Errorf("%s\n got %s %v\nwant %s", code, got, err, results)
	}
}

// wantRaised fails unless code raises an error with this message.
func (h *host) wantRaised(code, message string) {
	h.Helper()
	_, err := h.unit(code)
	if err == nil {
		h.Errorf("%s: raised nothing, want %s", code, message)
		return
	}
	got, _, _ := strings.Cut(err.Error(), "\n")
	_, got, _ = strings.Cut(got, ": ") // behind the position
	if got != message {
		h.Errorf("%s\n got %s\nwant %s", code, got, message)
	}
}

// show writes a value in the way of Lua, the elements of a table sorted.
func show(L *lua.LState, v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return fmt.Sprintf("%q", string(v))
	case *lua.LTable:
		var elements []string
		v.ForEach(func(k, e lua.LValue) { elements = append(elements, k.String()+"="+show(L, e)) })
		slices.Sort(elements)
		return "{" + strings.Join(elements, " ") + "}"
	}
	return L.ToStringMeta(v).String()
}
