package cli

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/luastore/store/storelua"
)

// content returns what a file holds.
func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// files returns the names of all files below the current folder.
func files(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(".", func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// wantDone fails unless the command succeeded and said this.
func wantDone(t *testing.T, got outcome, stdout string) {
	t.Helper()
	if got.code != 0 || got.stdout != stdout || got.stderr != "" {
		t.Errorf("got %+v\nwant %s", got, stdout)
	}
}

func TestAnnotations_WritesDefinitionsAndSettings(t *testing.T) {
	folder(t)
	wantDone(t, luastore(t, "annotations"), "wrote .luastore/store.lua\nwrote .luastore/test.lua\nwrote .luarc.json\n")
	if got := files(t); !slices.Equal(got, []string{".luarc.json", ".luastore/store.lua", ".luastore/test.lua"}) {
		t.Errorf("files %v", got)
	}
	if content(t, ".luastore/store.lua") != storelua.Annotations() {
		t.Error("the definitions are others")
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(content(t, ".luarc.json")), &got); err != nil {
		t.Fatal(err)
	}
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, []string{"$schema", "runtime.version", "workspace.library"}) {
		t.Errorf("settings %v", keys)
	}
	if info, err := os.Stat(".luastore/store.lua"); err != nil || info.Mode().Perm()&0o444 != 0o444 {
		t.Errorf("not everybody can read the definitions: %v, %v", info, err)
	}
}

func TestAnnotations_InAnotherFolder(t *testing.T) {
	folder(t, "my scripts/a.lua", "")
	const done = "wrote my scripts/.luastore/store.lua\nwrote my scripts/.luastore/test.lua\nwrote my scripts/.luarc.json\n"
	wantDone(t, luastore(t, "annotations", "my scripts/"), done)
	wantDone(t, luastore(t, "annotations", "my scripts"),
		"my scripts/.luastore/store.lua is up to date\nmy scripts/.luastore/test.lua is up to date\nmy scripts/.luarc.json names .luastore already\n")
}

func TestAnnotations_SecondRun_ChangesNothing(t *testing.T) {
	folder(t)
	luastore(t, "annotations")
	before := map[string]os.FileInfo{}
	for _, name := range files(t) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = info
	}
	wantDone(t, luastore(t, "annotations"), ".luastore/store.lua is up to date\n.luastore/test.lua is up to date\n.luarc.json names .luastore already\n")
	for name, was := range before {
		is, err := os.Stat(name)
		if err != nil || !os.SameFile(was, is) || !was.ModTime().Equal(is.ModTime()) {
			t.Errorf("%s was written again: %v", name, err)
		}
	}
}

func TestAnnotations_OldDefinitions_AreBroughtUpToDate(t *testing.T) {
	folder(t, ".luastore/store.lua", "---@meta store\n", ".luastore/other.lua", "---@meta other\n")
	wantDone(t, luastore(t, "annotations"), "wrote .luastore/store.lua\nwrote .luastore/test.lua\nwrote .luarc.json\n")
	if content(t, ".luastore/store.lua") != storelua.Annotations() || content(t, ".luastore/other.lua") != "---@meta other\n" {
		t.Error("the definitions are old, or another file was changed")
	}
	if got := files(t); len(got) != 4 {
		t.Errorf("files are left over: %v", got)
	}
}

// TestAnnotations_SettingsOfTheUser_StayAsTheyAre gives the command settings in all the forms that LuaLS understands.
func TestAnnotations_SettingsOfTheUser_StayAsTheyAre(t *testing.T) {
	const (
		named   = " names .luastore already\n"
		list    = " is yours and stays as it is: add \".luastore\" to its list workspace.library\n"
		library = "  \"workspace.library\": [\".luastore\"],\n"
		version = "  \"runtime.version\": \"Lua 5.1\",\n"
		below   = " is yours and stays as it is: add below its first {\n"
	)
	abs := func(path string) string {
		b, err := json.Marshal(filepath.Join(t.TempDir(), path))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, c := range map[string]struct{ settings, says string }{
		"flat":                    {`{"workspace.library": [".luastore"]}`, named},
		"nested":                  {`{"workspace": {"library": ["lib", "./.luastore/"]}}`, named},
		"below Lua":               {`{"Lua": {"workspace.library": [".luastore"]}}`, named},
		"with Lua in front":       {`{"Lua.workspace": {"library": [".luastore"]}}`, named},
		"the folder as a place":   {`{"workspace.library": ["${workspaceFolder}/.luastore"]}`, named},
		"the file itself":         {`{"workspace.library": [".luastore/store.lua"]}`, named},
		"comments and commas":     {"\ufeff// mine\n{ /* \"x */ \"workspace.library\": [\n\".luastore\", // \"]\n],\n}", named},
		"nothing":                 {`{}`, below + version + library},
		"a version":               {`{"runtime": {"version": "LuaJIT"}}`, below + library},
		"another library":         {`{"workspace.library": ["lib"]}`, list},
		"no library":              {`{"workspace": {"library": []}, "runtime.version": "Lua 5.1"}`, list},
		"a library elsewhere":     {`{"workspace.library": [` + abs(".luastore") + `, "lib/.luastore", 1]}`, list},
		"in a comment":            {`{"workspace.library": [/*".luastore"*/]}`, list},
		"in a comment of a line":  {"{\n// \"workspace.library\": [\".luastore\"]\n\"hint.enable\": true}", below + version + library},
		"named for something":     {`{"workspace.ignoreDir": [".luastore"]}`, below + version + library},
		"a URL in a string":       {`{"$schema": "https://x/*", "workspace.library": [".luastore"]}`, named},
		"a quote in a string":     {`{"hint": "\"//", "workspace.library": [".luastore"]}`, named},
		"a comma in a string":     {`{"hint": ",}", "workspace.library": [".luastore"]}`, named},
		"not JSON":                {`{"workspace.library": `, below + version + library},
		"not an object":           {`[".luastore"]`, below + version + library},
		"an empty file":           {``, below + version + library},
		"a library of other type": {`{"workspace.library": ".luastore"}`, list},
	} {
		t.Run(name, func(t *testing.T) {
			for _, file := range []string{".luarc.json", ".luarc.jsonc"} {
				folder(t, file, c.settings)
				wantDone(t, luastore(t, "annotations"), "wrote .luastore/store.lua\nwrote .luastore/test.lua\n"+file+c.says)
				if got := content(t, file); got != c.settings {
					t.Errorf("the settings of the user are now %s", got)
				}
				if got := files(t); !slices.Equal(got, []string{file, ".luastore/store.lua", ".luastore/test.lua"}) {
					t.Errorf("files %v", got)
				}
			}
		})
	}
}

// TestAnnotations_Advice_Works does what the command says.
func TestAnnotations_Advice_Works(t *testing.T) {
	for _, before := range []string{`{}`, "{\n  // mine\n  \"hint.enable\": true\n}\n"} {
		folder(t, ".luarc.json", before)
		_, add, _ := strings.Cut(luastore(t, "annotations").stdout, "add below its first {\n")
		after := strings.Replace(before, "{", "{\n"+add, 1)
		if err := os.WriteFile(".luarc.json", []byte(after), 0o600); err != nil {
			t.Fatal(err)
		}
		wantDone(t, luastore(t, "annotations"), ".luastore/store.lua is up to date\n.luastore/test.lua is up to date\n.luarc.json names .luastore already\n")
	}
}

func TestAnnotations_AbsolutePaths(t *testing.T) {
	folder(t)
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal([]string{filepath.Join(dir, ".luastore")})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(".luarc.json", []byte(`{"workspace.library":`+string(list)+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"annotations"}, {"annotations", dir}} {
		if got := luastore(t, args...); got.code != 0 || !strings.Contains(got.stdout, ".luarc.json names .luastore already\n") {
			t.Errorf("%v: got %+v", args, got)
		}
	}
}

func TestAnnotations_MistakesOnTheCommandLine(t *testing.T) {
	folder(t, "file.lua", "")
	const see = "\nSee luastore annotations --help\n"
	for _, c := range []struct {
		args   []string
		stderr string
	}{
		{[]string{"none"}, "there is no folder none: make it first, or name the one that you open in the editor"},
		{[]string{""}, `there is no folder "": make it first, or name the one that you open in the editor`},
		{[]string{"file.lua"}, "file.lua is a file: name the folder that you open in the editor"},
		{[]string{"file.lua/x"}, "cannot use the folder file.lua/x: not a directory"},
		{[]string{".", "none"}, "more than one folder: want luastore annotations [dir]"},
		{[]string{"--force"}, "unknown flag: --force"},
	} {
		got := luastore(t, append([]string{"annotations"}, c.args...)...)
		if got.code != exitUsage || got.stdout != "" || got.stderr != "luastore: "+c.stderr+see {
			t.Errorf("%q: got %+v\nwant %s", c.args, got, c.stderr)
		}
	}
	if got := files(t); !slices.Equal(got, []string{"file.lua"}) {
		t.Errorf("files %v", got)
	}
}

func TestAnnotations_FilesThatCannotBeWritten(t *testing.T) {
	for name, c := range map[string]struct {
		files  []string
		stderr string
	}{
		"a file where the folder belongs":       {[]string{".luastore", "mine"}, "cannot write .luastore/store.lua: "},
		"a folder where the definitions belong": {[]string{".luastore/store.lua/x", "mine"}, "cannot write .luastore/store.lua: "},
		"a folder where the settings belong":    {[]string{".luarc.json/x", "mine"}, "cannot read .luarc.json: "},
	} {
		t.Run(name, func(t *testing.T) {
			folder(t, c.files...)
			got := luastore(t, "annotations")
			if got.code != exitScript || !strings.HasPrefix(got.stderr, "luastore: "+c.stderr) || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("got %+v", got)
			}
			if content(t, c.files[0]) != "mine" || slices.ContainsFunc(files(t), func(f string) bool { return strings.HasSuffix(f, ".tmp") }) {
				t.Errorf("files %v", files(t))
			}
		})
	}
}

// Whether a folder without the permission to write can be written is the system's to say: root may, and Windows looks elsewhere.
func TestAnnotations_FolderThatMayNotBeWritten_IsRefused(t *testing.T) {
	folder(t, "locked/a.lua", "")
	if err := os.Chmod("locked", 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod("locked", 0o700) })
	locked := os.WriteFile("locked/probe", nil, 0o600) != nil
	got := luastore(t, "annotations", "locked")
	if refused := got.code == exitScript && strings.HasPrefix(got.stderr, "luastore: cannot write locked/.luastore/store.lua: "); refused != locked {
		t.Errorf("got %+v, though files can be made there: %v", got, !locked)
	}
}

func TestAnnotations_OutputFails_IsTold(t *testing.T) {
	folder(t)
	full := writerFunc(func([]byte) (int, error) { return 0, errors.New("no space left on device") })
	var stderr strings.Builder
	if code := Main(t.Context(), []string{"annotations"}, nil, full, &stderr, nil); code != exitScript || !strings.Contains(stderr.String(), "no space left") {
		t.Errorf("got %d %s", code, stderr.String())
	}
}

func TestAnnotations_ScriptsBesideThem_GetTheModule(t *testing.T) {
	folder(t, "a.lua", `
		local store = require("store")
		local s = assert(store.get("cache"))
		assert(s:set("a:b", "from the module"))
		print((s:get("a:b")))`)
	luastore(t, "annotations")
	if got := luastore(t, "run", "--store", "cache=mem:", "a.lua"); got.code != 0 || got.stdout != "from the module\n" || got.stderr != "" {
		t.Errorf("got %+v", got)
	}
}

func TestAnnotations_Help(t *testing.T) {
	for _, args := range [][]string{{"annotations", "--help"}, {"help", "annotations"}} {
		got := luastore(t, args...)
		for _, want := range []string{".luastore/store.lua", ".luarc.json", "Exit codes:", "Examples:", "annotations [dir]\n"} {
			if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, want) {
				t.Errorf("%v: %q is missing in %+v", args, want, got)
			}
		}
	}
	if got := luastore(t, "--help"); !strings.Contains(got.stdout, "  annotations ") {
		t.Errorf("got %+v", got)
	}
}
