package redistest

import (
	"fmt"
	"strconv"
)

// master is what a sentinel says of the primary.
func master(sentinel *Server) (map[string]string, error) {
	reply, err := sentinel.ask("SENTINEL", "MASTER", MasterName)
	if err != nil {
		return nil, err
	}
	return reply.AsStrMap()
}

// newest returns what the sentinel says that knows of the latest failover.
func (s *Sentinel) newest() (map[string]string, error) {
	var newest map[string]string
	for _, sentinel := range s.Sentinels {
		if !sentinel.Running() {
			continue
		}
		says, err := master(sentinel)
		if err == nil && (newest == nil || number(says["config-epoch"]) > number(newest["config-epoch"])) {
			newest = says
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("no sentinel answers")
	}
	return newest, nil
}

// agreed returns the index of the primary, and an error while the sentinels that run do not agree or it does not run.
func (s *Sentinel) agreed() (primary int, err error) {
	newest, err := s.newest()
	if err != nil {
		return 0, err
	}
	for i, sentinel := range s.Sentinels {
		if !sentinel.Running() {
			continue
		}
		says, err := master(sentinel)
		if err != nil {
			return 0, fmt.Errorf("sentinel %d: %w", i, err)
		}
		if says["port"] != newest["port"] || says["flags"] != "master" {
			return 0, fmt.Errorf("sentinel %d: the primary at %s is %s", i, says["port"], says["flags"])
		}
	}
	for i, server := range s.Servers {
		if strconv.Itoa(server.Port) == newest["port"] && server.Running() {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the primary at %s does not run", newest["port"])
}

// well returns nil when all is well, as [Sentinel.Wait] promises.
func (s *Sentinel) well() error {
	primary, err := s.agreed()
	if err != nil {
		return err
	}
	if err := s.wellServers(primary); err != nil {
		return err
	}
	for i, sentinel := range s.Sentinels {
		if !sentinel.Running() {
			continue
		}
		if err := s.knows(i, "REPLICAS", "slave", s.Servers, primary); err != nil {
			return err
		}
		if err := s.knows(i, "SENTINELS", "sentinel", s.Sentinels, i); err != nil {
			return err
		}
	}
	return nil
}

// wellServers returns nil when the servers with data that run are a primary and replicas that have what it has.
func (s *Sentinel) wellServers(primary int) error {
	want := s.Servers[primary]
	for i, server := range s.Servers {
		if !server.Running() {
			continue
		}
		info, err := server.report("INFO", "replication")
		if err != nil {
			return err
		}
		role := field(info, "role")
		if i == primary {
			if role != "master" {
				return fmt.Errorf("server %d: it is %s, and the primary to the sentinels", i, role)
			}
			continue
		}
		if at := field(info, "master_port"); at != strconv.Itoa(want.Port) {
			return fmt.Errorf("server %d: it is %s of %q", i, role, at)
		}
		if err := follows(server, want); err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
	}
	return nil
}

// knows returns nil when a sentinel says that those of all servers that run, but one, are well.
func (s *Sentinel) knows(i int, what, flags string, all []*Server, but int) error {
	reply, err := s.Sentinels[i].ask("SENTINEL", what, MasterName)
	if err != nil {
		return err
	}
	entries, err := reply.ToArray()
	if err != nil {
		return err
	}
	found := map[string]map[string]string{}
	for _, entry := range entries {
		if values, err := entry.AsStrMap(); err == nil {
			found[values["port"]] = values
		}
	}
	for j, server := range all {
		if got := found[strconv.Itoa(server.Port)]["flags"]; j != but && server.Running() && got != flags {
			return fmt.Errorf("sentinel %d: the %s at %d is %q", i, flags, server.Port, got)
		}
	}
	return nil
}
