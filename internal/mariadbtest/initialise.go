package mariadbtest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// initialise makes the data folder, with a root that has no password yet.
func (s *Server) initialise() error {
	version, err := exec.Command(s.program, "--no-defaults", "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", s.program, err)
	}
	command := exec.Command(s.program, append(s.common(), "--initialize-insecure")...) // of MySQL
	if strings.Contains(string(version), "MariaDB") {
		if command, err = s.installDB(); err != nil {
			return err
		}
	}
	command.Dir = s.Dir
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", command, err, output)
	}
	return nil
}

// installDB returns the command that initialises MariaDB. It is a script that comes with the server, in the folder of the server or
// in one beside that.
func (s *Server) installDB() (*exec.Cmd, error) {
	program := s.program
	if path, err := filepath.EvalSymlinks(program); err == nil {
		program = path
	}
	base := filepath.Dir(filepath.Dir(program))
	for _, file := range []string{
		filepath.Join(base, "bin", "mariadb-install-db"), filepath.Join(base, "scripts", "mariadb-install-db"), "mariadb-install-db",
		filepath.Join(base, "bin", "mysql_install_db"), filepath.Join(base, "scripts", "mysql_install_db"), "mysql_install_db",
	} {
		if script, err := exec.LookPath(file); err == nil {
			args := append(s.common(), "--basedir="+base, "--auth-root-authentication-method=normal", "--skip-test-db")
			return exec.Command(script, args...), nil
		}
	}
	return nil, fmt.Errorf("%s comes without mariadb-install-db", s.program)
}
