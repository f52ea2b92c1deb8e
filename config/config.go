// Package config reads luastore.yaml: the stores of a host, who may do what with them, how scripts run, and what is measured.
//
//	host, err := config.Open("luastore.yaml", all.Opener, nil)
//	defer host.Registry().Close(ctx)
//	runner := script.New(host.Registry(), host.Config().Runner.Script())
//
// [Host.Reload] follows the file while units go on. docs/configuration.md describes every field; [Schema] is the same for editors.
//
// # Mistakes
//
// A file is right as a whole or refused: names of fields that do not exist, values of another type, and everything that would fail at
// the first use of a store as far as it can be known without connecting. All mistakes are told at once, as [*Errors], each with its line.
// What is shown of a line holds no secret: values of fields that can hold one are left out, and so is all that variables and files
// have put in.
package config

import (
	_ "embed"
	"os"
	"path/filepath"
	"slices"

	"github.com/luastore/store"
)

// FileName is the name that the command looks for in the current folder.
const FileName = "luastore.yaml"

// Options configure how a file is read and served. Nil means the defaults.
type Options struct {
	// LookupEnv finds the variables that ${NAME} stands for. Default: [os.LookupEnv].
	LookupEnv func(name string) (value string, ok bool)
	// Stores are there besides those of the file, and win over one with the same id. Default: none.
	Stores map[string]store.Definition
	// Registry is what the registry of a [Host] gets besides what the file says. Its Policy must be nil.
	Registry store.Options
}

// A Config is a file that was read and found right. It does not change: callers may share it, and modify nothing in it.
type Config struct {
	Path      string                      // as the caller named it
	Stores    map[string]store.Definition // those of the file, by id
	Policy    store.Policy                // nil where the file has no access rules: everything is allowed
	Runner    Runner
	Telemetry Telemetry

	settings map[string]settings // what each of Stores was made of
}

var sections = []fieldOf[Config]{
	{"stores", false, (*decoder).stores},
	{"access", false, (*decoder).access},
	{"runner", false, func(d *decoder, v *node, to *Config) { readFields(d, v, "the runner", runnerFields, &to.Runner) }},
	{"telemetry", false, func(d *decoder, v *node, to *Config) { readFields(d, v, "telemetry", telemetryFields, &to.Telemetry) }},
}

// sectionNames are the fields at the top of a file.
func sectionNames() []string { return names(sections) }

// isField reports whether a name is that of a field anywhere in a file.
func isField(name string) bool {
	for _, table := range [][]string{
		sectionNames(), names(storeFields), names(limitFields), names(ruleFields), names(runnerFields), names(telemetryFields),
	} {
		if isOneOf(name, table) {
			return true
		}
	}
	return false
}

// Load reads a regular file: what a pipe holds could not be read again, and may never come. open makes openers of URLs, such as driver/all.Opener; nothing is opened. What is wrong with the file is a
// [store.ErrInvalid]: [*Errors] with places, or one that [fs.ErrNotExist] and the like are found in.
func Load(path string, open func(rawURL string) (store.Opener, error), o *Options) (*Config, error) {
	source, err := readRegular(path, maxFile)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return Parse(path, source, open, o)
}

// Parse is Load for a source at hand; path is its name in errors, and ${file:…} is relative to its folder.
func Parse(path string, source []byte, open func(rawURL string) (store.Opener, error), o *Options) (*Config, error) {
	if o == nil {
		o = &Options{}
	}
	lookup := o.LookupEnv
	if lookup == nil {
		lookup = os.LookupEnv
	}
	f := &file{path: path}
	c := &Config{Path: path, Stores: map[string]store.Definition{}, settings: map[string]settings{}}
	if root := f.read(source); root != nil {
		d := &decoder{file: f, expander: expander{lookup: lookup, folder: filepath.Dir(path)}, open: open, ids: sorted(o.Stores)}
		d.config(root, c)
	}
	if err := f.fail(); err != nil {
		return nil, err
	}
	return c, nil
}

// config reads the root of a file, stores first wherever they stand: rules name them.
func (d *decoder) config(root *node, to *Config) {
	slices.SortStableFunc(root.fields, func(a, b field) int { return rank(a) - rank(b) })
	readFields(d, root, "the file", sections, to)
}

// rank orders sections.
func rank(section field) int {
	if section.key.text == "stores" {
		return 0
	}
	return 1
}

//go:embed luastore.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of the file, for editors.
func Schema() string { return schema }
