package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/suggest"
)

// A decoder makes a configuration of the tree of a file.
type decoder struct {
	*file
	expander
	open func(rawURL string) (store.Opener, error)
	ids  []string // of all stores that rules may name
}

// A fieldOf is what a mapping that a T is made of may have.
type fieldOf[T any] struct {
	name string
	open bool // errors may show its value
	read func(d *decoder, v *node, to *T)
}

// readFields reads the fields of a mapping and returns where they are. what names the mapping in errors, as "a store".
func readFields[T any](d *decoder, n *node, what string, table []fieldOf[T], to *T) map[string]*node {
	found := map[string]*node{}
	if !d.isMapping(n, what, names(table)) {
		return found
	}
	for _, f := range n.fields {
		i := slices.IndexFunc(table, func(t fieldOf[T]) bool { return t.name == f.key.text })
		if i < 0 {
			d.unknown(f.key, "field", what, names(table))
			continue
		}
		f.mark.open = table[i].open
		if d.isNew(f.key, found) {
			found[f.key.text] = f.key
			table[i].read(d, f.value, to)
		}
	}
	return found
}

// names returns the names of a table.
func names[T any](table []fieldOf[T]) []string {
	all := make([]string, len(table))
	for i, f := range table {
		all[i] = f.name
	}
	return all
}

// isMapping notes that a node is no mapping, or an empty one.
func (d *decoder) isMapping(n *node, what string, fields []string) bool {
	if n.kind == mapping && len(n.fields) > 0 {
		return true
	}
	d.note(n, "%s here: want fields of %s, such as %s", n.what(), what, list(fields[:min(len(fields), 3)]))
	return false
}

// isNew notes that a key is there twice.
func (d *decoder) isNew(key *node, found map[string]*node) bool {
	first := found[key.text]
	if first == nil {
		return true
	}
	name := "this field"
	if shownName.MatchString(key.text) {
		name = fmt.Sprintf("%q", key.text)
	}
	d.note(key, "%s is there twice, first in line %d: remove one", name, first.line)
	return false
}

// unknown notes a name that is none of those that there are.
func (d *decoder) unknown(n *node, what, of string, known []string) {
	if of != "" {
		of = " of " + of
	}
	if what == "field" && strings.Contains(n.text, "${") {
		d.note(n, "${…} in the name of a field%s: it may stand in values only", of)
		return
	}
	if !n.shown() || !shownName.MatchString(n.text) {
		d.note(n, "unknown %s%s: want one of %s", what, of, list(known))
		return
	}
	if meant, ok := suggest.Closest(n.text, known); ok {
		d.note(n, "unknown %s %q%s: did you mean %q?", what, n.text, of, meant)
		return
	}
	d.note(n, "unknown %s %q%s: want one of %s", what, n.text, of, list(known))
}

// note notes a mistake at a node.
func (d *decoder) note(n *node, format string, args ...any) *Error {
	return d.add(n.line, n.column, format, args...)
}

// text reads a string that is not empty. want says what it is for.
func (d *decoder) text(n *node, want string) (filled, bool) {
	return d.escaped(n, want, func(part string) string { return part })
}

// escaped is text where what variables stand for passes through a function.
func (d *decoder) escaped(n *node, want string, escape func(string) string) (filled, bool) {
	switch n.kind {
	case text:
		return d.filled(n, want, escape)
	case empty:
		d.note(n, "nothing here: want %s", optional(want))
	case number, boolean:
		d.note(n, "%s here: want %s; put it in quotes if it is meant", n.what(), want)
	case mapping:
		d.note(n, "a mapping here: want %s; put text with a colon in quotes", want)
	default:
		d.note(n, "%s here: want %s", n.what(), want)
	}
	return filled{}, false
}

// filled expands a text.
func (d *decoder) filled(n *node, want string, escape func(string) string) (filled, bool) {
	v, err := d.expand(n.text, escape)
	switch {
	case err != nil:
		d.note(n, "%v", err)
		return filled{}, false
	case strings.TrimSpace(v.text) == "" && len(v.parts) > 0:
		d.note(n, "what ${…} stands for is empty: want %s", want)
		return filled{}, false
	case strings.TrimSpace(v.text) == "":
		d.note(n, "empty text here: want %s", optional(want))
		return filled{}, false
	}
	return v, true
}

// optional adds what else one can do who has nothing to say: every value but a URL may be missing.
func optional(want string) string {
	if want == wantURL {
		return want
	}
	return want + ", or remove it"
}

// plain reads what may be a number, a word or a text into which something was put, and returns it as a text. Quotes around a plain
// number or word tell that a text was meant.
func (d *decoder) plain(n *node, kind kind, want string) (string, bool) {
	if n.kind == kind {
		return n.text, true
	}
	if n.kind == text && strings.Contains(n.text, "$") {
		v, ok := d.text(n, want)
		return v.text, ok
	}
	switch n.kind {
	case empty:
		d.note(n, "nothing here: want %s", optional(want))
	case text:
		if n.quoted {
			want += ", without quotes"
		}
		d.note(n, "want %s", want)
	default:
		d.note(n, "%s here: want %s", n.what(), want)
	}
	return "", false
}

// duration reads a duration above zero.
func (d *decoder) duration(n *node, to *time.Duration) {
	if n.kind == number {
		d.note(n, "a number without a unit: %v", errDuration)
		return
	}
	v, ok := d.text(n, "a duration such as 30s")
	if !ok {
		return
	}
	parsed, err := parseDuration(v.text)
	if err != nil {
		d.note(n, "%v", err)
		return
	}
	*to = parsed
}

// size reads a number of bytes up to most.
func (d *decoder) size(n *node, to *int64, most int64) {
	written := n.text
	if n.kind != number {
		v, ok := d.text(n, "a size such as 256MB")
		if !ok {
			return
		}
		written = v.text
	}
	parsed, err := parseSize(written)
	switch {
	case err != nil:
		d.note(n, "%v", err)
	case parsed > most:
		d.note(n, "too large: want at most %d bytes", most)
	default:
		*to = parsed
	}
}

// smallSize is size into an int.
func (d *decoder) smallSize(n *node, to *int) {
	wide := int64(*to)
	d.size(n, &wide, math.MaxInt32)
	*to = int(wide)
}

// count reads a whole number above zero.
func (d *decoder) count(n *node, to *int) {
	const want = "a whole number above 0"
	v, ok := d.plain(n, number, want)
	if !ok {
		return
	}
	parsed, err := strconv.ParseInt(v, 10, 32)
	if err != nil || parsed <= 0 {
		d.note(n, "want %s", want)
		return
	}
	*to = int(parsed)
}

// boolean reads true or false.
func (d *decoder) boolean(n *node, to *bool) {
	const want = "true or false"
	v, ok := d.plain(n, boolean, want)
	switch {
	case !ok:
	case v == "true" || v == "false":
		*to = v == "true"
	default:
		d.note(n, "want %s", want)
	}
}

// elements returns those of a list that is not empty. example shows what is wanted.
func (d *decoder) elements(n *node, example string) []*node {
	switch {
	case n.kind == sequence && len(n.items) > 0:
		return n.items
	case n.kind == sequence || n.kind == empty:
		d.note(n, "nothing here: want a list such as %s, or remove the field", example)
	default:
		d.note(n, "%s here: want a list such as %s", n.what(), example)
	}
	return nil
}

// list returns names as a sentence has them.
func list(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
