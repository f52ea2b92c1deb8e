package script

import (
	"fmt"
	"slices"
	"strings"
)

// A Grant opens to scripts what they do not have by default. What it opens is not bounded: a deadline does not end a call of
// io.read or os.execute that waits.
type Grant string

// The grants.
const (
	GrantIO    Grant = "io"    // the library io, dofile and loadfile: all files. io.write goes to the standard output of the process
	GrantOS    Grant = "os"    // the whole library os: processes, files, the environment; with [GrantIO], io.popen; os.exit ends the unit with [KindExit]
	GrantLoad  Grant = "load"  // load and loadstring, under the limits of [Compile]
	GrantDebug Grant = "debug" // the library debug, which reaches what is hidden from scripts otherwise
)

// grants are all that there are.
var grants = []Grant{GrantIO, GrantOS, GrantLoad, GrantDebug}

// grantOf returns the grant that gives a global.
func grantOf(name string) Grant {
	switch name {
	case "io", "loadfile", "dofile":
		return GrantIO
	case "load", "loadstring":
		return GrantLoad
	case "debug":
		return GrantDebug
	}
	return ""
}

// ParseGrants reads grants that are separated by commas, such as "io,os". The error names those that there are.
func ParseGrants(list string) ([]Grant, error) {
	var parsed []Grant
	for name := range strings.SplitSeq(list, ",") {
		g := Grant(strings.TrimSpace(name))
		if !slices.Contains(grants, g) {
			return nil, fmt.Errorf("no grant %q: want some of io, os, load, debug, separated by commas", name)
		}
		parsed = append(parsed, g)
	}
	return parsed, nil
}
