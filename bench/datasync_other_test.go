//go:build !linux

package bench

import "os"

// datasync syncs f: only Linux has the lesser call everywhere.
func datasync(f *os.File) error { return f.Sync() }
