package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/luastore/store/internal/luaunit"
	"github.com/luastore/store/storelua"
)

// annotationsHelp is the contract of the command: what it documents here, tests hold it to.
const annotationsHelp = `Write definitions of the modules store and test for the Lua language server (LuaLS), by which editors complete, explain and check the
calls of scripts: VS Code with the extension "Lua" by sumneko, Neovim, JetBrains and others.

dir is the folder that you open in the editor, the current one unless given. It gets:

  .luastore/store.lua  the definitions of the module store, brought up to date whenever the command runs
  .luastore/test.lua   those of the module test, which luastore test gives to tests
  .luarc.json          the settings that name them; where it is there already it stays as it is, and the command says what to add

Scripts run as before: require("store") is the module, not its definitions.

Exit codes:

  0  done
  1  a file could not be read or written
  2  the command line is wrong, or dir is no folder`

const annotationsExamples = `  luastore annotations
  luastore annotations scripts`

// libraryFolder holds the definitions, below the folder that they are for.
const libraryFolder = ".luastore"

// settingsFiles are those that LuaLS looks for. It reads the first that is there and none after it.
var settingsFiles = []string{".luarc.json", ".luarc.jsonc"}

// settings is what a settings file holds that the command writes.
const settings = `{
  "$schema": "https://raw.githubusercontent.com/LuaLS/vscode-lua/master/setting/schema.json",
  "runtime.version": "Lua 5.1",
  "workspace.library": [".luastore"]
}
`

// annotationsCommand is luastore annotations.
func (a *app) annotationsCommand() *cobra.Command {
	return &cobra.Command{
		Use:                   "annotations [dir]",
		Short:                 "Write definitions of the modules for editors",
		Long:                  annotationsHelp,
		Example:               annotationsExamples,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("more than one folder: want luastore annotations [dir]")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return a.annotations(dir)
		},
	}
}

// annotations writes what dir lacks and says, file by file, what it did.
func (a *app) annotations(dir string) error {
	if err := checkFolder(dir); err != nil {
		return err
	}
	steps := []func(dir string) (string, error){
		func(dir string) (string, error) { return writeDefinitions(dir, "store.lua", storelua.Annotations()) },
		func(dir string) (string, error) { return writeDefinitions(dir, "test.lua", luaunit.Annotations()) },
		writeSettings,
	}
	for _, step := range steps {
		done, err := step(dir)
		if err != nil {
			return &failure{exitScript, err}
		}
		if _, err := fmt.Fprintln(a.stdout, done); err != nil {
			return a.written(err)
		}
	}
	return nil
}

// checkFolder reports what is no folder.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	var reason *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usageError("there is no folder %s: make it first, or name the one that you open in the editor", shownPath(dir))
	case errors.As(err, &reason):
		return usageError("cannot use the folder %s: %w", shownPath(dir), reason.Err)
	case err != nil:
		return usageError("cannot use the folder %s: %w", shownPath(dir), err)
	case !info.IsDir():
		return usageError("%s is a file: name the folder that you open in the editor", shownPath(dir))
	}
	return nil
}

// shownPath returns a path as people read it, the same on every system.
func shownPath(path string) string {
	if path == "" {
		return `""`
	}
	return filepath.ToSlash(path)
}

// writeDefinitions brings a file of definitions below dir up to date and says whether it had to.
func writeDefinitions(dir, file, definitions string) (done string, err error) {
	name := filepath.Join(dir, libraryFolder, file)
	if present, err := os.ReadFile(name); err == nil && string(present) == definitions {
		return shownPath(name) + " is up to date", nil
	}
	err = os.MkdirAll(filepath.Dir(name), 0o777)
	if err == nil {
		err = replaceFile(name, []byte(definitions))
	}
	if err != nil {
		return "", fmt.Errorf("cannot write %s: %w", shownPath(name), err)
	}
	return "wrote " + shownPath(name), nil
}

// replaceFile writes a file in one step: whoever reads it finds the whole of what was there before, or the whole of content.
func replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Chmod(f.Name(), 0o644) // CreateTemp makes it readable for its owner only
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// writeSettings writes settings below dir, or says what those lack that are there: they belong to the user, and may hold
// comments that a machine would lose.
func writeSettings(dir string) (done string, err error) {
	for _, base := range settingsFiles {
		name := filepath.Join(dir, base)
		present, err := os.ReadFile(name)
		switch {
		case err == nil:
			return advice(dir, shownPath(name), present), nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("cannot read %s: %w", shownPath(name), err)
		}
	}
	name := filepath.Join(dir, settingsFiles[0])
	if err := createFile(name, []byte(settings)); err != nil {
		return "", fmt.Errorf("cannot write %s: %w", shownPath(name), err)
	}
	return "wrote " + shownPath(name), nil
}

// createFile writes a file that is not there; one that has appeared meanwhile is an error and stays as it is.
func createFile(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(name)
	}
	return err
}

// advice says what to add to the user's own settings, if anything.
func advice(dir, name string, present []byte) string {
	var all any
	if err := json.Unmarshal(withoutComments(present), &all); err != nil {
		all = nil // LuaLS tells what is wrong with it
	}
	library, listed := setting(all, "workspace.library")
	if paths, ok := library.([]any); ok && slices.ContainsFunc(paths, func(p any) bool { return namesLibrary(dir, p) }) {
		return fmt.Sprintf("%s names %s already", name, libraryFolder)
	}
	yours := name + " is yours and stays as it is: "
	if listed {
		return fmt.Sprintf("%sadd %q to its list workspace.library", yours, libraryFolder)
	}
	add := fmt.Sprintf("\n  \"workspace.library\": [%q],", libraryFolder)
	if _, set := setting(all, "runtime.version"); !set {
		add = "\n  \"runtime.version\": \"Lua 5.1\"," + add
	}
	return yours + "add below its first {" + add
}

// A string of JSON, or what JSON with comments has beyond JSON.
var (
	comment       = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/`)
	trailingComma = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"|,\s*[}\]]`)
)

// withoutComments returns JSON for JSON with comments.
func withoutComments(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	b = comment.ReplaceAllFunc(b, func(found []byte) []byte {
		if found[0] == '"' {
			return found
		}
		return []byte(" ")
	})
	return trailingComma.ReplaceAllFunc(b, func(found []byte) []byte { return bytes.TrimPrefix(found, []byte(",")) })
}

// setting returns a setting of LuaLS, which may be nested in any way and stand below "Lua".
func setting(all any, name string) (any, bool) {
	if v, ok := lookUp(all, name); ok {
		return v, true
	}
	return lookUp(all, "Lua."+name)
}

// lookUp finds the value of a dotted name in objects, each of whose keys may be any part of it.
func lookUp(v any, name string) (any, bool) {
	object, _ := v.(map[string]any)
	if v, ok := object[name]; ok {
		return v, true
	}
	for key, below := range object {
		if rest, ok := strings.CutPrefix(name, key+"."); ok {
			if v, ok := lookUp(below, rest); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// namesLibrary reports whether a path of the settings below dir is the folder of the definitions, or the file of the module store.
func namesLibrary(dir string, path any) bool {
	p, ok := path.(string)
	if !ok {
		return false
	}
	p = filepath.FromSlash(strings.TrimPrefix(p, "${workspaceFolder}/"))
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	p, err := filepath.Abs(p)
	library, err2 := filepath.Abs(filepath.Join(dir, libraryFolder))
	return err == nil && err2 == nil && (p == library || p == filepath.Join(library, "store.lua"))
}
