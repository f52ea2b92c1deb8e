//go:build !race

package redistest

import (
	"strings"
	"testing"

	"github.com/luastore/store/internal/servertest"
)

func TestSharedSentinel_IsEmptyAndReplicates(t *testing.T) {
	s := SharedSentinel(t)
	s.Servers[s.Primary(t)].Do(t, "SET", "k", "v")
	s.Wait(t)
	for i, server := range s.Servers {
		if got := server.Do(t, "GET", "k"); got != "v" {
			t.Errorf("server %d answers %q", i, got)
		}
	}
	if again := SharedSentinel(t); again != s {
		t.Error("other servers, though nothing happened to the first")
	}
	for i, server := range s.Servers {
		if got := server.Do(t, "DBSIZE"); got != "0" {
			t.Errorf("server %d has %s keys", i, got)
		}
	}
	if want := "/" + MasterName; !strings.HasPrefix(s.URL(), "redis+sentinel://"+s.Sentinels[0].Addr()+",") || !strings.HasSuffix(s.URL(), want) {
		t.Errorf("URL %s", s.URL())
	}
}

func TestSentinel_KilledPrimary_IsReplacedAndComesBackAsReplica(t *testing.T) {
	t.Parallel()
	s := StartSentinel(t, nil)
	before := s.Primary(t)
	s.Servers[before].Do(t, "SET", "k", "v")
	s.Wait(t)
	s.Servers[before].Kill()
	s.Sentinels[0].Kill()
	s.Wait(t)
	after := s.Primary(t)
	if got := s.Servers[after].Do(t, "GET", "k"); after == before || got != "v" {
		t.Fatalf("server %d is the primary and answers %q", after, got)
	}
	s.Servers[before].Restart(t)
	s.Wait(t)
	if got := s.Servers[before].Do(t, "GET", "k"); got != "v" || s.Primary(t) != after {
		t.Errorf("the server that came back answers %q; the primary is %d, was %d", got, s.Primary(t), after)
	}
}

func TestSharedSentinel_AfterKills_IsWell(t *testing.T) {
	s := SharedSentinel(t)
	primary := s.Primary(t)
	s.Sentinels[0].Kill()
	s.Servers[primary].Kill()
	s.Servers[(primary+1)%dataServers].Kill()
	again := SharedSentinel(t)
	for i := range dataServers {
		if again != s || !s.Sentinels[i].Running() || !s.Servers[i].Running() {
			t.Errorf("not all that was killed runs for the next test: server or sentinel %d", i)
		}
	}
}

func TestStartSentinel_WithTLSAndPasswords_FailsOver(t *testing.T) {
	t.Parallel()
	password, other := servertest.Password(), servertest.Password()
	s := StartSentinel(t, &SentinelOptions{Options: Options{TLS: true, Password: password}, SentinelPassword: other})
	s.Servers[0].Do(t, "SET", "k", "v")
	s.Failover(t)
	after := s.Primary(t)
	if after == 0 {
		t.Error("server 0 is the primary still")
	}
	s.Servers[after].Do(t, "SET", "l", "v")
	s.Wait(t)
	for i, server := range s.Servers {
		if got := server.Do(t, "DBSIZE"); got != "2" {
			t.Errorf("server %d has %s keys", i, got)
		}
	}
	if url := s.URL(); !strings.HasPrefix(url, "rediss+sentinel://:"+password+"@") || strings.Contains(url, other) {
		t.Errorf("URL %s", url)
	}
}
