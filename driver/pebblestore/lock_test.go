package pebblestore

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

// asSecondProcess names, in the environment of a child, the folder that it is to open.
const asSecondProcess = "PEBBLESTORE_TEST_SECOND"

// TestDriver_SecondProcess_IsToldAtOnce starts itself as the second process.
func TestDriver_SecondProcess_IsToldAtOnce(t *testing.T) {
	if path := os.Getenv(asSecondProcess); path != "" {
		start := time.Now()
		_, err := Opener(&Options{Path: path}).Open(context.Background())
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), path+" is in use by another process") || time.Since(start) > time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		return
	}
	path := realTemp(t)
	d, err := Opener(&Options{Path: path}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	second := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDriver_SecondProcess_IsToldAtOnce$")
	second.Env = append(os.Environ(), asSecondProcess+"="+path)
	if out, err := second.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if err := d.Set(t.Context(), "t:k", []byte("v"), 0); err != nil {
		t.Errorf("the first process, afterwards: %v", err)
	}
}

// realTemp is a folder for a store, by the name that it has without symbolic links.
func realTemp(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "store")
}

func TestDriver_OpenedTwiceInOneProcess_IsToldAtOnce(t *testing.T) {
	path := realTemp(t)
	link := filepath.Join(filepath.Dir(path), "link")
	d, err := Opener(&Options{Path: path}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	names := []string{path}
	if os.Symlink(path, link) == nil { // which Windows allows to some only
		names = append(names, link)
	}
	for _, name := range names {
		if _, err := Opener(&Options{Path: name, NoSync: true}).Open(t.Context()); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Opener(&Options{Path: link, NoSync: true}).Open(t.Context())
	if err != nil && len(names) > 1 {
		t.Fatalf("after Close: %v", err)
	}
	if err == nil {
		again.Close()
	}
}
