package pebblestore

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

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
	path := onDisk(t).path
	d, err := Opener(&Options{Path: path}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	secondProcess(t, path)
	if err := d.Set(t.Context(), "t:k", []byte("v"), 0); err != nil {
		t.Errorf("the first process, afterwards: %v", err)
	}
}

// secondProcess has a second process open the folder, and fail.
func secondProcess(t *testing.T, path string) {
	t.Helper()
	second := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDriver_SecondProcess_IsToldAtOnce$")
	second.Env = append(os.Environ(), asSecondProcess+"="+path)
	if out, err := second.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A copy of the folder, made by the process that has it, must not let another in.
func TestDriver_WhoseLockFilesWereRead_KeepsTheFolder(t *testing.T) {
	to := onDisk(t)
	d := openOn(t, to, vfs.Default)
	for _, name := range names(t, to.path) {
		if _, err := os.ReadFile(filepath.Join(to.path, name)); err != nil && runtime.GOOS != "windows" {
			t.Error(err)
		}
	}
	secondProcess(t, to.path)
	if err := d.Set(t.Context(), "t:k", []byte("v"), 0); err != nil {
		t.Errorf("the first process, afterwards: %v", err)
	}
}

func TestDriver_OpenedTwiceInOneProcess_IsToldAtOnce(t *testing.T) {
	path := onDisk(t).path
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
