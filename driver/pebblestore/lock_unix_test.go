//go:build unix && !aix && !solaris

package pebblestore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/luastore/store"
)

// A folder that is mounted a second time has files of other names and the same contents: here a hard link of the file that is
// locked stands for that.
func TestDriver_FolderUnderASecondName_IsToldAtOnce(t *testing.T) {
	to, other := onDisk(t), onDisk(t)
	openOn(t, to, vfs.Default)
	if err := os.Mkdir(other.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(to.path, lockName), filepath.Join(other.path, lockName)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), other, vfs.Default); store.Kind(err) != "unavailable" {
		t.Errorf("got %v", err)
	}
}
