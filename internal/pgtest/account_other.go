//go:build !unix

package pgtest

import "os/exec"

// An account is the user that servers run as: here always the one that runs the test.
type account struct{}

func unprivileged() (*account, error) { return nil, nil }

func (*account) tempDir() string  { return "" }
func (*account) own(string) error { return nil }
func (*account) run(*exec.Cmd)    {}
