package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/luastore/store/driver/all"
	"github.com/luastore/store/script"
)

// compiled returns the schema, ready to judge.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("luastore.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("luastore.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// judge returns what a schema says of a file, as an editor asks it, and whether the file is YAML at all.
func judge(t *testing.T, s *jsonschema.Schema, path string) (err error, readable bool) {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal([]byte(strings.TrimPrefix(string(source), "\ufeff")), &v); err != nil {
		return nil, false
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, false
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc), true
}

func TestSchema_OfValidFiles_FindsNothing(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob("testdata/valid/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("found %q, %v", files, err)
	}
	for _, path := range files {
		if err, readable := judge(t, s, path); err != nil || !readable {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// unseen are the mistakes that no schema can know: of several fields together, of what a variable, a file, a driver or other fields
// hold, and of YAML that its reader takes.
var unseen = []string{
	"default-ttl-longer-than-max-ttl", "never-with-max-ttl", "ttl-too-short-and-too-long", "limits-that-leave-no-key", "unknown-scheme",
	"url-of-a-driver-that-refuses-it", "variable-not-set", "variable-never-closed", "variable-with-a-bad-name", "variable-that-is-empty",
	"variable-that-is-no-operation",
	"file-not-there", "store-of-a-rule-that-is-none", "pattern-that-ends-with-a-backslash", "tag", "anchor-and-alias", "two-documents",
	"merge-key", "quotes-never-closed", "control-character", "latin-1",
}

func TestSchema_OfMistakes_FindsAllThatASchemaCanKnow(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob("testdata/mistakes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range files {
		err, readable := judge(t, s, path)
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		switch {
		case !readable || slices.Contains(unseen, name):
		case err == nil:
			t.Errorf("%s passes the schema", path)
		default:
			found++
		}
	}
	if found < 25 {
		t.Errorf("the schema found %d mistakes, want at least 25", found)
	}
}

// at returns the names that stand below a path of the schema.
func at(t *testing.T, path ...string) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(Schema()), &v); err != nil {
		t.Fatal(err)
	}
	for _, step := range path {
		if list, ok := v.([]any); ok && step == "1" {
			v = list[1]
			continue
		}
		if list, ok := v.([]any); ok && step == "0" {
			v = list[0]
			continue
		}
		v = v.(map[string]any)[step]
	}
	var all []string
	switch v := v.(type) {
	case map[string]any:
		all = sorted(v)
	case []any:
		for _, item := range v {
			all = append(all, item.(string))
		}
		slices.Sort(all)
	}
	return all
}

func TestSchema_HasTheFieldsThatTheParserKnows_AndNoOthers(t *testing.T) {
	store := []string{"$defs", "store", "anyOf", "1", "properties"}
	for name, c := range map[string]struct{ schema, parser []string }{
		"the file":   {at(t, "properties"), sectionNames()},
		"a store":    {at(t, store...), names(storeFields)},
		"limits":     {at(t, "$defs", "limits", "properties"), names(limitFields)},
		"a rule":     {at(t, "$defs", "rule", "properties"), names(ruleFields)},
		"the runner": {at(t, "properties", "runner", "properties"), names(runnerFields)},
		"telemetry":  {at(t, "properties", "telemetry", "properties"), names(telemetryFields)},
		"operations": {at(t, "$defs", "operations", "items", "anyOf", "0", "enum"), operationNames()},
		"grants":     {at(t, "properties", "runner", "properties", "allow", "items", "anyOf", "0", "enum"), slices.Clone(grantNames)},
	} {
		slices.Sort(c.parser)
		if !slices.Equal(c.schema, c.parser) {
			t.Errorf("%s: the schema has %q, the parser %q", name, c.schema, c.parser)
		}
	}
}

// TestGrants_AreThoseOfScripts holds the names here against what package script takes.
func TestGrants_AreThoseOfScripts(t *testing.T) {
	if _, err := script.ParseGrants(strings.Join(grantNames, ",")); err != nil {
		t.Error(err)
	}
	_, err := script.ParseGrants("none of them")
	if err == nil || !strings.Contains(err.Error(), strings.Join(grantNames, ", ")) {
		t.Errorf("there are others than %q: %v", grantNames, err)
	}
}

// page is docs/configuration.md.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var block = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestPage_TellsOfEveryField(t *testing.T) {
	text := page(t)
	for _, table := range [][]string{
		sectionNames(), names(storeFields), names(limitFields), names(ruleFields), names(runnerFields), names(telemetryFields), operationNames(), grantNames,
	} {
		for _, name := range table {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("docs/configuration.md does not tell of `%s`", name)
			}
		}
	}
}

func TestPage_HasNoYAMLThatIsWrong(t *testing.T) {
	s := compiled(t)
	blocks := block.FindAllStringSubmatch(page(t), -1)
	if len(blocks) < 5 {
		t.Fatalf("found %d blocks", len(blocks))
	}
	for _, b := range blocks {
		path := filepath.Join(t.TempDir(), FileName)
		if err := os.WriteFile(path, []byte(b[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "db-url"), []byte("postgres://u:p@localhost/db\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, all.Opener, &Options{LookupEnv: func(string) (string, bool) { return "x", true }}); err != nil {
			t.Errorf("%v\n%s", err, b[1])
		}
		if err, readable := judge(t, s, path); err != nil || !readable {
			t.Errorf("the schema: %v\n%s", err, b[1])
		}
	}
}
