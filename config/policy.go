package config

import (
	"context"
	"errors"
	"slices"

	"github.com/luastore/store"
)

// ops are the operations that rules name.
var ops = []store.Op{
	store.OpGet, store.OpEntry, store.OpTTL, store.OpHas, store.OpSet, store.OpDelete, store.OpTouch, store.OpCompareAndSwap,
	store.OpIncr, store.OpUpdate, store.OpFetch, store.OpGetMany, store.OpSetMany, store.OpDeleteMany, store.OpList,
}

// The groups of operations that rules name.
const (
	groupRead  = "read"
	groupWrite = "write"
	groupAll   = "all"
)

// An opSet is a set of operations, by their places in ops. What this package does not know yet is in the set of all only.
type opSet uint32

const allOps = ^opSet(0)

// opSets holds the set of each operation alone.
var opSets = func() map[store.Op]opSet {
	sets := map[store.Op]opSet{}
	for i, op := range ops {
		sets[op] = 1 << i
	}
	return sets
}()

// setOf returns the operations that a choice selects.
func setOf(choice func(store.Op) bool) opSet {
	var set opSet
	for _, op := range ops {
		if choice(op) {
			set |= opSets[op]
		}
	}
	return set
}

// only returns the operations that do nothing but read, and those that do nothing but write. incr, update and fetch, which do both,
// are in neither: who may only write must not learn values by update, and who may only read must not change them.
func only() (reads, writes opSet) {
	return setOf(func(op store.Op) bool { return !op.Writes() }), setOf(func(op store.Op) bool { return op.Writes() && !op.Reads() })
}

// allowed returns what a list after allow permits: what does both needs both groups, or its own name.
func allowed(names []string) opSet {
	set := named(names)
	reads, writes := only()
	read, write := slices.Contains(names, groupRead), slices.Contains(names, groupWrite)
	if read {
		set |= reads
	}
	if write {
		set |= writes
	}
	if read && write {
		return allOps
	}
	return set
}

// denied returns what a list after deny forbids: what does both is forbidden by either group.
func denied(names []string) opSet {
	set := named(names)
	reads, writes := only()
	if slices.Contains(names, groupRead) {
		set |= ^writes
	}
	if slices.Contains(names, groupWrite) {
		set |= ^reads
	}
	return set
}

// named returns the operations of a list that stand there by their own names, or by all.
func named(names []string) opSet {
	var set opSet
	for _, name := range names {
		if name == groupAll {
			return allOps
		}
		set |= opSets[store.Op(name)]
	}
	return set
}

// A rule is one rule, ready to decide.
type rule struct {
	ops    opSet
	units  patterns
	stores patterns
	keys   patterns
	refuse error // nil allows
}

// rules are those of a file, in their order.
type rules []rule

var errNoRule = errors.New("no access rule allows it")

// decide is the [store.Policy]: the first rule that matches decides. It allocates nothing but for a listing's prefix.
//
// A prefix that a listing asks for stands for all keys that begin with it, each of which is decided on by itself when it was found. So
// it may be asked for if one of them could be allowed: a rule that allows matches if one of its patterns can match such a key, one
// that denies only if a pattern matches every such key. A listing then never shows a key whose own decision is to deny it, and is never
// refused as a whole where it would find one that is allowed.
func (r rules) decide(_ context.Context, a store.Access) error {
	op, ok := opSets[a.Op]
	if !ok {
		op = 1 << 31 // of allOps, and of no other set that names are made to
	}
	for i := range r {
		if rule := &r[i]; rule.ops&op != 0 && rule.units.match(a.Unit) && rule.stores.match(a.Store) && rule.matchKey(a) {
			return rule.refuse
		}
	}
	return errNoRule
}

// matchKey reports whether a rule is about the key, or the prefix, of an access.
func (r *rule) matchKey(a store.Access) bool {
	if !a.Prefix {
		return r.keys.match(a.Key)
	}
	return len(r.keys) == 0 || slices.ContainsFunc(r.keys, func(p pattern) bool {
		some, all := p.reach(a.Key)
		return all || some && r.refuse == nil
	})
}

// patterns match what one of them matches; none of them match everything.
type patterns []pattern

func (p patterns) match(text string) bool {
	for i := range p {
		if p[i].match(text) {
			return true
		}
	}
	return len(p) == 0
}
