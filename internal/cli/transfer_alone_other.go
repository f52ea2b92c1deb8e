//go:build !windows && (!unix || aix || solaris)

package cli

import "os"

// openAlone opens a file, and makes it where it is not there. These systems leave it to people to write one file at a time.
func openAlone(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }
