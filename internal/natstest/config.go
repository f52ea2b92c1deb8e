package natstest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/luastore/store/internal/servertest"
)

// command writes the configuration and returns the command that runs the server with it.
func (p *process) command() *exec.Cmd {
	file := filepath.Join(p.Dir, "server.conf")
	command := exec.Command(p.program, "-c", file)
	config, err := p.config()
	if err == nil {
		err = os.WriteFile(file, []byte(config), 0o600)
	}
	command.Err = err
	return command
}

func (p *process) config() (string, error) {
	cluster, err := p.cluster()
	// How much it may store is said, that it does not depend on the machine.
	return fmt.Sprintf(`server_name: %q
listen: %q
jetstream { store_dir: %q, max_memory_store: 1GB, max_file_store: 8GB }
%s%s%s
`, p.name, p.Addr(), p.storeDir(), p.access, cluster, p.options.Config), err
}

// storeDir is the folder of what JetStream keeps.
func (p *process) storeDir() string { return filepath.Join(p.Dir, "jetstream") }

// writeAccess writes the files that a client needs, and returns the lines of the configuration that ask for them.
func (s *Server) writeAccess() (string, error) {
	var lines strings.Builder
	if s.options.TLS {
		var err error
		if s.Certificates, err = servertest.WriteCertificates(s.Dir); err != nil {
			return "", err
		}
		fmt.Fprintf(&lines, "tls { ca_file: %q, cert_file: %q, key_file: %q, verify: true }\n",
			s.CAFile, s.ServerCertFile, s.ServerKeyFile)
	}
	authorization, err := s.writeAuthorization()
	lines.WriteString(authorization)
	return lines.String(), err
}

func (s *Server) writeAuthorization() (string, error) {
	switch {
	case s.options.User != "":
		return fmt.Sprintf("authorization { user: %q, password: %q }\n", s.options.User, s.options.Password), nil
	case s.options.Token != "":
		return fmt.Sprintf("authorization { token: %q }\n", s.options.Token), nil
	case s.options.NKey:
		return s.writeNKey()
	case s.options.Creds:
		return s.writeCreds()
	default:
		return "", nil
	}
}

func (s *Server) writeNKey() (string, error) {
	user, err := newKey(nkeys.PrefixByteUser)
	if err != nil {
		return "", err
	}
	s.SeedFile = filepath.Join(s.Dir, "user.nk")
	line := fmt.Sprintf("authorization { users: [ { nkey: %s } ] }\n", user.public)
	return line, os.WriteFile(s.SeedFile, user.seed, 0o600)
}
