//go:build !windows

package script_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luastore/store/script"
)

// On Windows making symbolic links needs a privilege.
func TestRequire_SymbolicLinkOutOfTheRoot_IsRefused(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	write := func(dir, name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(outside, "secret.lua", `return "secret"`)
	write(inside, "open.lua", `return "open"`)
	for link, target := range map[string]string{"file.lua": filepath.Join(outside, "secret.lua"), "dir": outside, "ok.lua": "open.lua"} {
		if err := os.Symlink(target, filepath.Join(inside, link)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	o := &script.Options{Modules: root.FS()}
	for _, name := range []string{"file", "dir.secret"} {
		failed := fail(t, o, `return require("`+name+`")`)
		if !strings.Contains(failed.Message, "cannot read module file") || !strings.Contains(failed.Message, "escapes") {
			t.Errorf("%s: got %s", name, failed.Message)
		}
	}
	if _, err := run(t, o, `assert(require("ok") == "open")`); err != nil {
		t.Error(err)
	}
}
