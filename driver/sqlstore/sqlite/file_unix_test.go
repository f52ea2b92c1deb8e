//go:build unix

package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/luastore/store"
)

func TestOpen_FileWithTwoNames_IsInvalid(t *testing.T) {
	path := newPath(t)
	openPath(t, path, Options{}).Close()
	second := path + ".second"
	if err := os.Link(path, second); err != nil {
		t.Fatal(err)
	}
	openFails(t, Options{Path: path}, "invalid", "has 2 names")
	openFails(t, Options{Path: second}, "invalid", "has 2 names")
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	openPath(t, path, Options{})
}

func TestOpen_WhatIsNoRegularFile_SaysSo(t *testing.T) {
	fifo := newPath(t)
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	openFails(t, Options{Path: fifo}, "invalid", "is not a regular file")
	openFails(t, Options{Path: os.DevNull}, "invalid", "is not a regular file")
}

func TestOpen_LongPath_SaysSo(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for len(dir) < 300 {
		dir = filepath.Join(dir, strings.Repeat("d", 90))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	name := func(bytes int) string { return filepath.Join(dir, strings.Repeat("n", bytes-len(dir)-1)) }
	seed(t, openPath(t, name(longestPath), Options{}))
	openFails(t, Options{Path: name(longestPath + 1)}, "invalid", "SQLite takes 504")
}

func TestOpen_RelativePathInAFolderThatIsGone_SaysSo(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	openFails(t, Options{Path: "store.db"}, "unavailable", "give an absolute path")
}

func TestFile_RemovedOrReplaced_IsNoticed(t *testing.T) {
	for name, with := range map[string]string{"removed": "", "replaced": "another file"} {
		t.Run(name, func(t *testing.T) {
			d := openNew(t)
			seed(t, d)
			path := d.target.Path
			aside := path + ".aside"
			if err := os.Rename(path, aside); err != nil {
				t.Fatal(err)
			}
			if with != "" {
				if err := os.WriteFile(path, []byte(with), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for call, write := range writes {
				if err := write(testContext(t), d); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "was removed or replaced") {
					t.Errorf("%s: %v", call, err)
				}
			}
			for call, read := range reads {
				eventually(t, call+" notices", func() bool {
					_, err := read(testContext(t), d, "t:k")
					return store.Kind(err) == "unavailable" && strings.Contains(err.Error(), "was removed or replaced")
				})
			}
			if err := os.Rename(aside, path); err != nil {
				t.Fatal(err)
			}
			wantSeed(t, d)
		})
	}
}

// A connection that is opened later must not open what is there by then.
func TestFile_Replaced_IsNotReadByNewConnections(t *testing.T) {
	d := openNew(t)
	seed(t, d)
	other := openNew(t)
	if err := other.Set(testContext(t), "t:k", []byte("other"), 0); err != nil {
		t.Fatal(err)
	}
	other.Close()
	if err := os.Rename(d.target.Path, d.target.Path+".aside"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other.target.Path, d.target.Path); err != nil {
		t.Fatal(err)
	}
	d.file.looked.Store(int64(now()))
	if v, err := d.Get(testContext(t), "t:k"); err == nil || store.Kind(err) != "unavailable" {
		t.Errorf("got %q, %v", v, err)
	}
}

// link makes a symbolic link.
func link(t *testing.T, to, from string) {
	t.Helper()
	if err := os.Symlink(to, from); err != nil {
		t.Fatal(err)
	}
}

func TestOpener_OfALinkAndItsFile_IsOneConnection(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"real", "links"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "real", "store.db")
	link(t, "real", filepath.Join(dir, "folder"))
	link(t, filepath.Join("..", "real", "store.db"), filepath.Join(dir, "links", "relative.db"))
	link(t, path, filepath.Join(dir, "links", "absolute.db"))
	link(t, "absolute.db", filepath.Join(dir, "links", "twice.db"))
	names := []string{"real/store.db", "folder/store.db", "links/relative.db", "links/absolute.db", "links/twice.db", "folder/../links/twice.db"}
	for range 2 { // before the file is there, and after
		for _, name := range names {
			if got := (&Options{Path: filepath.Join(dir, filepath.FromSlash(name))}).target().Path; got != path {
				t.Errorf("%s is %s", name, got)
			}
		}
		d := openPath(t, filepath.Join(dir, "links", "twice.db"), Options{})
		seed(t, d)
		if size := logSize(t, d); size == 0 {
			t.Error("the log is not where it is looked for")
		}
		d.Close()
	}
	loop := filepath.Join(dir, "links", "loop")
	link(t, "loop", loop)
	openFails(t, Options{Path: loop}, "unavailable", "loop")
	link(t, filepath.Join("none", "x.db"), filepath.Join(dir, "links", "dangling"))
	openFails(t, Options{Path: filepath.Join(dir, "links", "dangling")}, "unavailable", "the folder of the SQLite database")
}
