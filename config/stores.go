package config

import (
	"context"
	"strings"
	"time"

	"github.com/luastore/store"
)

// settings are what a file says of one store, expanded. Equal ones mean the same store.
type settings struct {
	url         string
	prefix      string
	defaultTTL  time.Duration
	maxTTL      time.Duration
	timeout     time.Duration
	openTimeout time.Duration
	readOnly    bool
	limits      store.Limits
}

// A storeReader gathers what is said of one store: settings, and what only errors need.
type storeReader struct {
	settings
	opener store.Opener
	opens  bool             // the URL was read
	never  bool             // default_ttl says never
	limit  map[string]*node // where each limit is
}

var storeFields = []fieldOf[storeReader]{
	{"url", false, (*decoder).url},
	{"prefix", true, (*decoder).prefix},
	{"default_ttl", true, (*decoder).defaultTTL},
	{"max_ttl", true, func(d *decoder, v *node, to *storeReader) { d.duration(v, &to.maxTTL) }},
	{"timeout", true, func(d *decoder, v *node, to *storeReader) { d.duration(v, &to.timeout) }},
	{"open_timeout", true, func(d *decoder, v *node, to *storeReader) { d.duration(v, &to.openTimeout) }},
	{"read_only", true, func(d *decoder, v *node, to *storeReader) { d.boolean(v, &to.readOnly) }},
	{"limits", false, func(d *decoder, v *node, to *storeReader) {
		to.limit = readFields(d, v, "limits", limitFields, &to.limits)
	}},
}

var limitFields = []fieldOf[store.Limits]{
	{"key_bytes", true, func(d *decoder, v *node, to *store.Limits) { d.smallSize(v, &to.KeyBytes) }},
	{"value_bytes", true, func(d *decoder, v *node, to *store.Limits) { d.smallSize(v, &to.ValueBytes) }},
	{"depth", true, func(d *decoder, v *node, to *store.Limits) { d.count(v, &to.Depth) }},
	{"nodes", true, func(d *decoder, v *node, to *store.Limits) { d.count(v, &to.Nodes) }},
	{"batch", true, func(d *decoder, v *node, to *store.Limits) { d.count(v, &to.Batch) }},
	{"batch_bytes", true, func(d *decoder, v *node, to *store.Limits) { d.smallSize(v, &to.BatchBytes) }},
}

const wantURL = `a URL such as "mem:", sqlite:cache.db or redis://localhost:6379/0`

// stores reads the section stores.
func (d *decoder) stores(n *node, to *Config) {
	if n.kind != mapping || len(n.fields) == 0 {
		d.note(n, "%s here: want stores, each an id with a url, such as cache: sqlite:cache.db", n.what())
		return
	}
	found := map[string]*node{}
	for _, f := range n.fields {
		d.ids = append(d.ids, f.key.text)
		if !d.isID(f.key) || !d.isNew(f.key, found) {
			continue
		}
		found[f.key.text] = f.key
		if s, ok := d.store(f); ok {
			to.settings[f.key.text] = s.settings
			to.Stores[f.key.text] = s.definition()
		}
	}
}

// isID notes an id that no store can have.
func (d *decoder) isID(key *node) bool {
	if strings.Contains(key.text, "${") {
		d.note(key, "${…} in the id of a store: it may stand in values only")
		return false
	}
	if err := try(key.text, store.Definition{}); err != nil {
		d.note(key, "invalid id of a store: %s", reason(err))
		return false
	}
	return true
}

// store reads one store, whose value is a mapping or the URL alone.
func (d *decoder) store(f field) (*storeReader, bool) {
	before := len(d.mistakes)
	s := new(storeReader)
	if f.value.kind == text {
		d.url(f.value, s)
	} else if found := readFields(d, f.value, "a store", storeFields, s); len(found) > 0 {
		if found["url"] == nil {
			d.note(f.key, "no url: a store needs %s", wantURL)
		}
		d.checkStore(s, found)
	}
	return s, len(d.mistakes) == before
}

// url reads the URL of a store, which the driver checks that it names.
func (d *decoder) url(n *node, to *storeReader) {
	v, ok := d.text(n, wantURL)
	if !ok {
		return
	}
	opener, err := d.open(v.text)
	if err != nil {
		mistake := d.note(n, "%s", v.concealed(err.Error()))
		mistake.cause = cause(v, err)
		return
	}
	to.url, to.opener, to.opens = v.text, opener, true
}

// cause returns the error of an opener for callers that look into it, unless its text may hold what was put into the URL.
func cause(v filled, err error) error {
	if len(v.parts) > 0 {
		return nil
	}
	return err
}

func (d *decoder) prefix(n *node, to *storeReader) {
	v, ok := d.text(n, "a word such as sessions")
	if !ok {
		return
	}
	if err := try("id", store.Definition{Prefix: v.text}); err != nil {
		d.note(n, "invalid prefix: %s", reason(err))
		return
	}
	to.prefix = v.text
}

func (d *decoder) defaultTTL(n *node, to *storeReader) {
	if n.kind == text && n.text == "never" {
		to.never = true
		return
	}
	d.duration(n, &to.defaultTTL)
}

// definition returns the settings as a registry takes them.
func (s *storeReader) definition() store.Definition {
	return store.Definition{
		Open: s.opener, Prefix: s.prefix, DefaultTTL: s.defaultTTL, MaxTTL: s.maxTTL, Timeout: s.timeout,
		OpenTimeout: s.openTimeout, ReadOnly: s.readOnly, Limits: s.limits,
	}
}

// checkStore notes what a registry would refuse, each with the field to change.
func (d *decoder) checkStore(s *storeReader, found map[string]*node) {
	before := len(d.mistakes)
	alone := map[string]store.Definition{
		"default_ttl":  {DefaultTTL: s.defaultTTL},
		"max_ttl":      {MaxTTL: s.maxTTL},
		"timeout":      {Timeout: s.timeout},
		"open_timeout": {OpenTimeout: s.openTimeout},
	}
	for _, name := range sorted(alone) {
		d.checkAlone(found[name], name, alone[name])
	}
	limits := map[string]store.Limits{
		"key_bytes": {KeyBytes: s.limits.KeyBytes}, "value_bytes": {ValueBytes: s.limits.ValueBytes},
		"depth": {Depth: s.limits.Depth}, "nodes": {Nodes: s.limits.Nodes},
		"batch": {Batch: s.limits.Batch}, "batch_bytes": {BatchBytes: s.limits.BatchBytes},
	}
	for _, name := range sorted(limits) {
		d.checkAlone(s.limit[name], name, store.Definition{Limits: limits[name]})
	}
	if len(d.mistakes) == before {
		d.checkTogether(s, found)
	}
}

// checkAlone notes that a registry refuses a definition that says nothing but one field.
func (d *decoder) checkAlone(key *node, name string, definition store.Definition) {
	if key == nil {
		return
	}
	if err := try("id", definition); err != nil {
		d.note(key, "invalid %s: %s", name, reason(err))
	}
}

// checkTogether notes fields that are right, but not beside each other.
func (d *decoder) checkTogether(s *storeReader, found map[string]*node) {
	switch {
	case s.never && s.maxTTL > 0:
		d.note(found["default_ttl"], "default_ttl is never, and max_ttl lets no entry live for ever: remove one of them")
	case s.maxTTL > 0 && s.defaultTTL > s.maxTTL:
		d.note(found["default_ttl"], "default_ttl is longer than max_ttl")
	case try("id", s.definition()) == nil:
	case s.prefix != "" && s.limit["key_bytes"] != nil:
		d.note(s.limit["key_bytes"], "key_bytes leaves no room for a key behind the prefix of the store")
	case s.opens:
		d.note(found["url"], "invalid store: %s", reason(try("id", s.definition())))
	}
}

// try returns why a registry would refuse a definition, of which only the opener may be missing.
func try(id string, d store.Definition) error {
	if d.Open.Open == nil {
		d.Open.Open = nothing
	}
	return store.New(nil).Define(id, d)
}

// reason returns what an error of a registry wants, in the words after the value that it refuses: that may be a secret.
func reason(err error) string {
	message := err.Error()
	if at := strings.LastIndex(message, ": "); at >= 0 {
		message = message[at+len(": "):]
	}
	return strings.TrimSuffix(message, ", or 0 for the default")
}

// nothing is the opener of a definition that is never opened.
func nothing(context.Context) (store.Driver, error) { return nil, store.ErrUnavailable }
