package config

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/luastore/store"
)

// A Host is a registry whose stores and rules are those of a file, and follow it. Its methods are safe for concurrent use.
type Host struct {
	reg     *store.Registry
	path    string
	open    func(rawURL string) (store.Opener, error)
	options Options
	guarded bool // the registry has a policy
	now     atomic.Pointer[state]

	reloading sync.Mutex
}

// A state is what a host serves at one time.
type state struct {
	config *Config
	// also are rules that must allow what is done on a store, by its id, besides those of config; see [Host.Reload].
	also map[string]store.Policy
}

// Open reads a file and returns a host of what it says, with Options.Stores besides. Nothing is connected before its first use;
// errors are those of [Load], and of definitions in Options. The caller ends the host by closing its registry.
//
// # Access rules and cursors
//
// The registry has a policy only if the file has access rules now. Under a policy the cursors of listings are encrypted with a key of
// this process, and one of another process is refused (see [store.Options].CursorKey). Hosts without rules, of which the command is
// most often one, keep cursors that work across processes, and pay for no policy. The price is that [Host.Reload] refuses the first
// rules: cursors handed out before, and after, would show keys that the rules hide. A host that expects rules begins with one that
// allows everything.
func Open(path string, open func(rawURL string) (store.Opener, error), o *Options) (*Host, error) {
	if o == nil {
		o = &Options{}
	}
	if o.Registry.Policy != nil {
		return nil, errPolicy
	}
	c, err := Load(path, open, o)
	if err != nil {
		return nil, err
	}
	h := &Host{path: path, open: open, options: *o, guarded: c.Policy != nil}
	h.now.Store(&state{config: c})
	registry := o.Registry
	if h.guarded {
		registry.Policy = h.decide
	}
	h.reg = store.New(&registry)
	if err := h.defineAll(c); err != nil {
		return nil, err
	}
	return h, nil
}

// decide is the policy of the registry: that of the file as it was read last.
func (h *Host) decide(ctx context.Context, a store.Access) error {
	now := h.now.Load()
	for _, policy := range [...]store.Policy{now.also[a.Store], now.config.Policy} {
		if policy == nil {
			continue
		}
		if err := policy(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// defineAll defines the stores of the options and of the file.
func (h *Host) defineAll(c *Config) error {
	for _, id := range sorted(h.options.Stores) {
		if err := h.reg.Define(id, h.options.Stores[id]); err != nil {
			return err
		}
	}
	for _, id := range sorted(c.Stores) {
		if h.overridden(id) {
			continue
		}
		if err := h.reg.Define(id, c.Stores[id]); err != nil {
			return err
		}
	}
	return nil
}

// overridden reports whether a store is that of the options, whatever the file says.
func (h *Host) overridden(id string) bool {
	_, ok := h.options.Stores[id]
	return ok
}

// Registry returns the registry, which stays the same.
func (h *Host) Registry() *store.Registry { return h.reg }

// Config returns what the file said when it was read last and found right.
func (h *Host) Config() *Config { return h.now.Load().config }
