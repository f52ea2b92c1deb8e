//go:build !windows

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// On Windows making symbolic links needs a privilege.

func TestTest_ALinkToAFolder_IsAFolder(t *testing.T) {
	folder(t, "project/x_test.lua", `require("test").case("x", function() end)`)
	if err := os.Symlink("project", "link"); err != nil {
		t.Fatal(err)
	}
	if got := luastore(t, "test", "link"); got.code != 0 || !strings.HasPrefix(got.stdout, "ok    link/x_test.lua  1 case  ") {
		t.Errorf("got %+v", got)
	}
}

// A module outside of the folders, or behind a link that leads out of them, is not read.
func TestTest_ModulesStayInside(t *testing.T) {
	folder(t, "project/x_test.lua", `local test = require("test")
		test.case("x", function() require("link") end)`, "secret.lua", `return "secret"`)
	if err := os.Symlink(filepath.Join("..", "secret.lua"), filepath.Join("project", "link.lua")); err != nil {
		t.Fatal(err)
	}
	t.Chdir("project")
	luastore(t, "test").expect(t, 1, "cannot read module file link.lua: path escapes from parent")
}
