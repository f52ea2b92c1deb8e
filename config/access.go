package config

import (
	"fmt"
	"path/filepath"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/suggest"
)

// A ruleReader gathers one rule.
type ruleReader struct {
	rule
	allow []string
	deny  []string
}

var ruleFields = []fieldOf[ruleReader]{
	{"units", true, func(d *decoder, v *node, to *ruleReader) { to.units = d.patterns(v, `["admin/*"]`) }},
	{"stores", true, func(d *decoder, v *node, to *ruleReader) { to.stores = d.storePatterns(v) }},
	{"keys", true, func(d *decoder, v *node, to *ruleReader) { to.keys = d.patterns(v, `["session:*"]`) }},
	{"allow", true, func(d *decoder, v *node, to *ruleReader) { to.allow = d.operations(v) }},
	{"deny", true, func(d *decoder, v *node, to *ruleReader) { to.deny = d.operations(v) }},
}

// access reads the section access. Policies are made of what it says if there are no mistakes.
func (d *decoder) access(n *node, to *Config) {
	var all rules
	for _, item := range d.elements(n, "- allow: [read]") {
		r := new(ruleReader)
		found := readFields(d, item, "an access rule", ruleFields, r)
		if len(found) == 0 {
			continue
		}
		d.checkVerdict(item, found)
		if r.ops = allowed(r.allow); found["deny"] != nil {
			r.ops = denied(r.deny)
			r.refuse = fmt.Errorf("access rule at %s:%d", filepath.Base(d.path), item.line)
		}
		all = append(all, r.rule)
	}
	to.Policy = all.decide
}

// checkVerdict notes a rule that does not say what it decides.
func (d *decoder) checkVerdict(n *node, found map[string]*node) {
	switch {
	case found["allow"] != nil && found["deny"] != nil:
		d.note(found["deny"], "allow and deny in one rule: make two rules of it; the first that matches decides")
	case found["allow"] == nil && found["deny"] == nil:
		d.note(n, "an access rule needs allow or deny, such as allow: [read]")
	}
}

// operations reads names of operations and groups.
func (d *decoder) operations(n *node) []string {
	known := operationNames()
	var all []string
	for _, item := range d.elements(n, "[read, write]") {
		name, ok := d.text(item, "an operation such as get, or one of read, write and all")
		switch {
		case !ok:
		case !isOneOf(name.text, known):
			d.unknown(item, "operation", "", known)
		default:
			all = append(all, name.text)
		}
	}
	return all
}

// operationNames returns what may stand after allow and deny, groups first.
func operationNames() []string {
	all := []string{groupRead, groupWrite, groupAll}
	for _, op := range ops {
		all = append(all, string(op))
	}
	return all
}

// patterns reads a list of patterns.
func (d *decoder) patterns(n *node, example string) patterns {
	var all patterns
	for _, item := range d.elements(n, example) {
		if p, ok := d.pattern(item, example); ok {
			all = append(all, p)
		}
	}
	return all
}

// pattern reads one pattern. What a variable stands for is matched as it is: it cannot widen a rule.
func (d *decoder) pattern(n *node, example string) (pattern, bool) {
	v, ok := d.escaped(n, "a pattern such as "+example[1:len(example)-1], literally)
	if !ok {
		return pattern{}, false
	}
	p, err := compile(v.text)
	if err != nil {
		d.note(n, "%v", err)
		return pattern{}, false
	}
	return p, true
}

// storePatterns reads patterns of ids, and notes those without wildcards that name no store: slips, which would leave a store open or
// closed to everybody.
func (d *decoder) storePatterns(n *node) patterns {
	const example = "[session_store]"
	var all patterns
	for _, item := range d.elements(n, example) {
		p, ok := d.pattern(item, example)
		if ok && p.exact && !isOneOf(p.head, d.ids) {
			d.noStore(item, p.head)
		}
		all = append(all, p)
	}
	return all
}

// noStore notes a pattern that is an id of no store.
func (d *decoder) noStore(n *node, id string) {
	meant, near := suggest.Closest(id, d.ids)
	switch {
	case !n.shown():
		d.note(n, "no store has this id: name one of this file")
	case near:
		d.note(n, "no store %q: did you mean %q?", id, meant)
	default:
		d.note(n, "no store %q: name one of this file, or use a pattern such as \"cache*\"", id)
	}
}

var _ store.Policy = rules(nil).decide
