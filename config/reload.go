package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/luastore/store"
)

// reloadUnit is the name of the unit under which observers see what a reload holds.
const reloadUnit = "luastore reload"

// errFirstRules refuses rules that came too late; see [Open].
var errFirstRules = store.Errorf(store.ErrInvalid,
	"access rules were added to a configuration that had none: restart to begin with access rules; the old configuration serves on")

// Reload reads the file again and makes it what the host serves: all of it, or nothing. Stores whose settings changed are replaced,
// each after the new one was opened; new ones are opened and asked for a key; those that are gone are removed. Units go on: a handle
// that was acquired before finishes on the store that it was acquired on. Stores whose settings are the same, what variables and
// files stand for included, are left alone, connected as they are. Access rules count from the end of the reload on, for handles that
// units hold too. No store is open to more than its rules say meanwhile: on stores that are new or changed what the new rules deny is
// denied from the beginning, and on those that are gone, to those who hold them, what the old rules deny still is.
//
// A file with mistakes, or with its first access rules (see [Open]), changes nothing. Where a store cannot be opened, those that were
// replaced already are put back. Every error leaves the old configuration serving. When ctx ends, so does the attempt.
//
// [Host.Config] then has the new sections runner and telemetry, which the caller follows or not. Calls wait for each other.
func (h *Host) Reload(ctx context.Context) error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	next, err := Load(h.path, h.open, &h.options)
	if err != nil {
		return err
	}
	if next.Policy != nil && !h.guarded {
		return errFirstRules
	}
	r, before := h.compare(next), h.now.Load()
	h.now.Store(before.until(next, r))
	if err := r.apply(ctx); err != nil {
		h.now.Store(before)
		return fmt.Errorf("reload %s: %w: nothing was changed, the old configuration serves on", h.path, err)
	}
	h.now.Store(before.followed(next, r))
	for _, id := range r.removed {
		_ = h.reg.Remove(id) // that it has gone already is as well
	}
	return nil
}

// until returns the state while a reload is under way: its new stores serve before its rules do.
func (s *state) until(next *Config, r *reload) *state {
	also := map[string]store.Policy{}
	maps.Copy(also, s.also)
	for _, id := range slices.Concat(r.added, r.changed) {
		also[id] = next.Policy
	}
	return &state{config: s.config, also: also}
}

// followed returns the state after a reload. A file that names a store no more says nothing of it either, to units that still hold it.
func (s *state) followed(next *Config, r *reload) *state {
	also := map[string]store.Policy{}
	maps.Copy(also, s.also)
	for _, id := range r.removed {
		also[id] = s.config.Policy
	}
	for id := range next.Stores {
		delete(also, id)
	}
	return &state{config: next, also: also}
}

// A reload is the way from one configuration to the next.
type reload struct {
	reg      *store.Registry
	old, new map[string]store.Definition
	added    []string
	changed  []string
	removed  []string
	undo     []func(ctx context.Context) error // what takes back what was done, the last first
}

// compare finds what has to be done. Stores that stay as they are keep their definition in next too: an opener of memory that was made
// anew would stand for another store.
func (h *Host) compare(next *Config) *reload {
	now := h.Config()
	r := &reload{reg: h.reg, old: now.Stores, new: next.Stores}
	for _, id := range sorted(next.Stores) {
		before, there := now.settings[id]
		switch {
		case there && before == next.settings[id]:
			next.Stores[id] = now.Stores[id]
		case h.overridden(id):
		case there:
			r.changed = append(r.changed, id)
		default:
			r.added = append(r.added, id)
		}
	}
	for _, id := range sorted(now.Stores) {
		if _, stays := next.Stores[id]; !stays && !h.overridden(id) {
			r.removed = append(r.removed, id)
		}
	}
	return r
}

// apply adds and replaces stores, or nothing if one fails.
func (r *reload) apply(ctx context.Context) error {
	ctx, unit := r.reg.Begin(ctx, reloadUnit)
	err := r.add(ctx)
	if err == nil {
		r.hold(ctx, unit)
		err = r.replace(ctx)
	}
	if err != nil {
		err = errors.Join(err, r.back(context.WithoutCancel(ctx)))
	}
	return errors.Join(err, unit.End())
}

// add defines the new stores and asks each for a key.
func (r *reload) add(ctx context.Context) error {
	for _, id := range r.added {
		if err := r.reg.Define(id, r.new[id]); err != nil {
			return err
		}
		r.undo = append(r.undo, func(context.Context) error { return r.reg.Remove(id) })
		if err := r.reg.Check(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// hold keeps the stores that may have to be put back open until the unit ends: what is kept in memory is gone with its connection. The
// last that is replaced need not be put back. One that cannot be opened has nothing to lose.
func (r *reload) hold(ctx context.Context, unit *store.Unit) {
	for _, id := range r.changed[:max(len(r.changed)-1, 0)] {
		_, _ = unit.Get(ctx, id)
	}
}

// replace swaps the stores that changed.
func (r *reload) replace(ctx context.Context) error {
	for _, id := range r.changed {
		if err := r.reg.Replace(ctx, id, r.new[id]); err != nil {
			return err
		}
		r.undo = append(r.undo, func(ctx context.Context) error { return r.restore(ctx, id) })
	}
	return nil
}

// restore puts back the old definition of a store. If it cannot be opened any more, it is left to be opened at its next use, as it was
// before.
func (r *reload) restore(ctx context.Context, id string) error {
	if r.reg.Replace(ctx, id, r.old[id]) == nil {
		return nil
	}
	if err := r.reg.Remove(id); err != nil {
		return err
	}
	return r.reg.Define(id, r.old[id])
}

// back takes back what was done.
func (r *reload) back(ctx context.Context) error {
	var errs []error
	for _, undo := range slices.Backward(r.undo) {
		errs = append(errs, undo(ctx))
	}
	return errors.Join(errs...)
}
