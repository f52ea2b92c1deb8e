package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/luastore/store/internal/luaunit"
)

// testSuffix is what the names of test files end in.
const testSuffix = "_test.lua"

// A testFile is where tests are.
type testFile struct {
	name   string // as a person wrote it, with slashes
	path   string
	abs    string // the path from the root
	source string
	top    string // the highest folder in which its modules are looked for
	below  int    // how many folders below that the file is
}

// findTests reads the test files that arguments name, or are in and below the folders that they name, each once. Without arguments
// that is the current folder.
func (a *app) findTests(ctx context.Context, args []string) ([]testFile, error) {
	if len(args) == 0 {
		args = []string{"."}
	}
	var found []testFile
	seen := map[string]bool{}
	for _, arg := range args {
		paths, dir, err := testPaths(ctx, arg)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			f, err := newTestFile(path, dir)
			if err != nil {
				return nil, err
			}
			if seen[f.abs] {
				continue
			}
			seen[f.abs] = true
			source, err := a.read(ctx, path)
			if err != nil {
				return nil, err
			}
			f.source = string(source)
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return nil, usageError("no test files in %s: luastore test runs files whose names end in %s", strings.Join(args, ", "), testSuffix)
	}
	return found, nil
}

// testPaths returns the paths of the test files that one argument means, in order, and the folder that it names or is in.
func testPaths(ctx context.Context, arg string) (paths []string, dir string, err error) {
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		return nil, "", cannotReadTest(arg, err)
	case !info.IsDir():
		return []string{filepath.Clean(arg)}, filepath.Dir(arg), nil
	}
	top := arg + string(filepath.Separator) // a link to a folder is followed then
	err = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return &failure{exitScript, fmt.Errorf("stopped while looking for tests: %w", context.Cause(ctx))}
		case err != nil:
			return cannotReadTest(path, err)
		case entry.IsDir() && path != top && leftOut(entry.Name()):
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, testSuffix) && !leftOut(entry.Name()):
			paths = append(paths, path)
		}
		return nil
	})
	return paths, arg, err
}

// leftOut reports whether a folder holds what is not the user's own, or a file is what an editor puts beside another.
func leftOut(name string) bool {
	return strings.HasPrefix(name, ".") || slices.Contains([]string{"node_modules", "lua_modules", "vendor"}, name)
}

// newTestFile finds out how far up the modules of a file are looked for: to the current folder or the one that was named, whichever
// of those that it is in is the higher.
func newTestFile(path, dir string) (testFile, error) {
	f := testFile{name: filepath.ToSlash(path), path: path}
	abs, err := filepath.Abs(path)
	if err != nil {
		return f, usageError("cannot find the folder of %s: %w", f.name, err)
	}
	named, err := filepath.Abs(dir)
	if err != nil {
		return f, usageError("cannot find the folder %s: %w", dir, err)
	}
	current, err := os.Getwd()
	if err != nil {
		return f, usageError("cannot find the current folder: %w", err)
	}
	folder := filepath.Dir(abs)
	f.abs, f.top = abs, named
	if depth(current, folder) > depth(named, folder) {
		f.top = current
	}
	f.below = depth(f.top, folder)
	return f, nil
}

// depth returns how far below a folder another is, -1 where it is elsewhere.
func depth(top, folder string) int {
	rel, err := filepath.Rel(top, folder)
	switch {
	case err != nil || !filepath.IsLocal(rel):
		return -1
	case rel == ".":
		return 0
	}
	return strings.Count(rel, string(filepath.Separator)) + 1
}

// modules opens the folders in which the modules of the file are looked for, its own first. The caller closes the highest, which they
// are in.
func (f testFile) modules() (*os.Root, []luaunit.Folder, error) {
	within, err := filepath.Rel(f.top, filepath.Dir(f.abs))
	if err != nil {
		return nil, nil, usageError("cannot find the folder of %s: %w", f.name, err)
	}
	top, err := os.OpenRoot(f.top)
	if err != nil {
		return nil, nil, usageError("cannot open the folder of %s: %w", f.name, err)
	}
	var folders []luaunit.Folder
	shown := filepath.Dir(f.path)
	for range f.below + 1 {
		files, err := fs.Sub(top.FS(), filepath.ToSlash(within))
		if err != nil {
			top.Close()
			return nil, nil, usageError("cannot open the folder of %s: %w", f.name, err)
		}
		folders = append(folders, luaunit.Folder{Name: filepath.ToSlash(shown), Files: files})
		shown, within = filepath.Dir(shown), filepath.Dir(within)
	}
	return top, folders, nil
}

// cannotReadTest says why a file or folder is of no use.
func cannotReadTest(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return usageError("cannot read %s: there is no such file or folder", path)
	}
	var reason *fs.PathError
	if errors.As(err, &reason) {
		err = reason.Err
	}
	return usageError("cannot read %s: %w", path, err)
}
