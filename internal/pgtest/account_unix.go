//go:build unix

package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// An account is the user that servers run as. Nil is the one that runs the test.
type account struct{ uid, gid uint32 }

// unprivileged returns the account for servers of this process: nil, or another one for root, whom PostgreSQL refuses.
func unprivileged() (*account, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &account{uint32(uid), uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody: run the test as another user")
}

// tempDir returns the folder for temporary files, or /tmp where the account cannot enter that.
func (a *account) tempDir() string {
	dir, err := filepath.EvalSymlinks(os.TempDir())
	if a == nil || err != nil {
		return ""
	}
	for at := dir; a.mayEnter(at); at = filepath.Dir(at) {
		if at == filepath.Dir(at) {
			return dir
		}
	}
	return "/tmp"
}

func (a *account) mayEnter(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return info.Mode()&0o001 != 0 || ok && stat.Uid == a.uid && info.Mode()&0o100 != 0
}

// own gives a folder and the files in it to the account.
func (a *account) own(dir string) error {
	if a == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.uid), int(a.gid))
	})
}

// run makes a command run as the account.
func (a *account) run(command *exec.Cmd) {
	if a != nil {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
	}
}
