//go:build !race

package redistest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"github.com/luastore/store/internal/faulttest"
	"github.com/luastore/store/internal/servertest"
)

// slotKey is a key of slot 12182, which belongs to the last of three primaries at first.
const (
	slotKey  = "foo"
	fooSlot  = 12182
	fooOwner = 2
)

// refusal returns the error that a server answers a command.
func refusal(t *testing.T, s *Server, command ...string) string {
	t.Helper()
	_, err := s.text(command...)
	if err == nil {
		t.Fatalf("%q: no error", command)
	}
	return err.Error()
}

func TestSlot_IsThatOfTheServer(t *testing.T) {
	s := SharedCluster(t).Servers[0]
	for _, key := range []string{"", "foo", "{foo}", "a{foo}b", "a{}foo", "a{foo", "a}foo{b}", "a{{foo}}b", "{foo}{bar}", "\x00ä\xff"} {
		if got, want := strconv.Itoa(Slot(key)), s.Do(t, "CLUSTER", "KEYSLOT", key); got != want {
			t.Errorf("%q: slot %s, the server says %s", key, got, want)
		}
	}
}

func TestSharedCluster_IsEmptyAndServesEverySlot(t *testing.T) {
	c := SharedCluster(t)
	for i := range 30 {
		key := fmt.Sprint("key", i)
		c.Servers[c.Primary(t, Slot(key))].Do(t, "SET", key, "v")
	}
	if again := SharedCluster(t); again != c {
		t.Error("another cluster, though nothing happened to the first")
	}
	for i, s := range c.Servers {
		if got := s.Do(t, "DBSIZE"); got != "0" {
			t.Errorf("server %d has %s keys", i, got)
		}
	}
	for i := range 3 {
		if replicas := c.Replicas(t, i); len(replicas) != 1 || replicas[0] != i+3 {
			t.Errorf("replicas of server %d: %v", i, replicas)
		}
	}
	if want := "redis+cluster://" + c.Servers[1].Addr() + "," + c.Servers[4].Addr(); c.URLOf(1, 4) != want || strings.Count(c.URL(), "127.0.0.1:") != 6 {
		t.Errorf("URLs %s and %s", c.URL(), c.URLOf(1, 4))
	}
}

func TestFollows_ReplicaThatLacksAWrite_DoesNot(t *testing.T) {
	primary := Start(t, &Options{Args: []string{"--repl-diskless-sync-delay", "0"}})
	proxy := faulttest.StartProxy(t, primary.Addr(), 1)
	_, port, _ := strings.Cut(proxy.Addr(), ":")
	replica := Start(t, &Options{Args: []string{"--replicaof", "127.0.0.1", port}})
	wait(t, func() error { return follows(replica, primary) })
	proxy.Set(faulttest.Blackhole)
	for range 20 { // of which some pass before the mode strikes
		primary.Do(t, "INCR", "k")
		primary.Do(t, "WAIT", "1", "10")
	}
	if err := follows(replica, primary); err == nil || !strings.Contains(err.Error(), "replica at") {
		t.Errorf("cut off: %v", err)
	}
	proxy.Set(faulttest.Pass)
	wait(t, func() error { return follows(replica, primary) })
	if got := replica.Do(t, "GET", "k"); got != "20" {
		t.Errorf("the replica has %q", got)
	}
}

func TestMigrate_MovesTheSlotWithItsKeys(t *testing.T) {
	c := SharedCluster(t)
	const keys = 2*keysPerMove + 50
	for i := range keys {
		c.Servers[fooOwner].Do(t, "SET", fmt.Sprintf("{%s}%d", slotKey, i), "v")
	}
	c.Migrate(t, fooSlot, 0)
	c.Wait(t)
	if got := c.Primary(t, fooSlot); got != 0 {
		t.Errorf("the slot belongs to server %d", got)
	}
	for i, want := range map[int]string{0: strconv.Itoa(keys), 3: strconv.Itoa(keys), fooOwner: "0", fooOwner + 3: "0"} {
		if got := c.Servers[i].Do(t, "DBSIZE"); got != want {
			t.Errorf("server %d has %s keys, want %s", i, got, want)
		}
	}
	if got, want := refusal(t, c.Servers[1], "GET", slotKey), fmt.Sprintf("MOVED %d %s", fooSlot, c.Servers[0].Addr()); got != want {
		t.Errorf("a server without the slot answers %q, want %q", got, want)
	}
	c.Migrate(t, fooSlot, fooOwner) // the next test takes the cluster as it is
}

func TestBeginMigration_KeyThatMoved_AnswersASK(t *testing.T) {
	c := SharedCluster(t)
	source, target := c.Servers[fooOwner], c.Servers[1]
	source.Do(t, "SET", slotKey, "v")
	source.Do(t, "SET", "{foo}stays", "v")
	m := c.BeginMigration(t, fooSlot, 1)
	if c.untouched() {
		t.Error("a slot is open, and the cluster as at first")
	}
	m.Move(t, slotKey)
	if got, want := refusal(t, source, "GET", slotKey), fmt.Sprintf("ASK %d %s", fooSlot, target.Addr()); got != want {
		t.Errorf("the source answers %q, want %q", got, want)
	}
	if got := source.Do(t, "GET", "{foo}stays"); got != "v" {
		t.Errorf("the source answers %q for a key that has not moved", got)
	}
	client := target.Client(t)
	replies := client.DoMulti(context.Background(), client.B().Asking().Build(), client.B().Get().Key(slotKey).Build())
	if got, err := replies[1].ToString(); got != "v" || err != nil {
		t.Errorf("the target answers %q, %v after ASKING", got, err)
	}
	m.MoveAll(t)
	m.Finish(t)
	if got := c.Primary(t, fooSlot); got != 1 || c.Primary(t, fooSlot+1) != fooOwner {
		t.Errorf("the slot belongs to server %d", got)
	}
	c.Migrate(t, fooSlot, fooOwner)
	c.Wait(t)
	if !c.untouched() {
		t.Error("the slot is back, and the cluster is not as at first")
	}
}

func TestCluster_KilledPrimary_IsReplacedAndComesBackAsReplica(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3, 1, nil)
	c.Servers[fooOwner].Do(t, "SET", slotKey, "v")
	c.Wait(t)
	c.Servers[fooOwner].Kill()
	c.Wait(t)
	if got := c.Primary(t, fooSlot); got != fooOwner+3 {
		t.Fatalf("the slot belongs to server %d, want the replica", got)
	}
	if got := c.Servers[fooOwner+3].Do(t, "GET", slotKey); got != "v" {
		t.Errorf("the new primary answers %q", got)
	}
	c.Servers[fooOwner].Restart(t)
	c.Wait(t)
	if replicas := c.Replicas(t, fooOwner+3); len(replicas) != 1 || replicas[0] != fooOwner || c.Servers[fooOwner].Do(t, "DBSIZE") != "1" {
		t.Errorf("replicas of the new primary: %v", replicas)
	}
}

func TestSharedCluster_AfterAKill_IsAsAtFirst(t *testing.T) {
	before := SharedCluster(t)
	before.Servers[4].Kill()
	if c := SharedCluster(t); c == before || !c.untouched() {
		t.Error("the cluster is not as at first")
	}
	if _, err := os.Stat(before.dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the killed cluster is there: %v", err)
	}
}

func TestAnnounce_SendsClientsElsewhere(t *testing.T) {
	c := SharedCluster(t)
	own := c.URL()
	moved := fmt.Sprintf("MOVED %d 127.0.0.1:", fooSlot)
	proxy := faulttest.StartProxy(t, c.Servers[fooOwner].Addr(), 1)
	_, port, _ := strings.Cut(proxy.Addr(), ":")
	announced, _ := strconv.Atoi(port)
	c.Announce(t, 0, 0, announced)
	if got := refusal(t, c.Servers[0], "GET", slotKey); got != moved+port || !strings.Contains(c.URL(), ","+proxy.Addr()+",") {
		t.Errorf("announced at %s: %q, %s", port, got, c.URL())
	}
	c.Wait(t)
	c.Announce(t)
	if got := refusal(t, c.Servers[0], "GET", slotKey); got != fmt.Sprint(moved, c.Servers[fooOwner].Port) || c.URL() != own {
		t.Errorf("announced no more: %q, %s", got, c.URL())
	}
	c.Wait(t)
}

func TestStartCluster_WithTLSAndPassword_MovesSlotsAndServesClients(t *testing.T) {
	t.Parallel()
	password := servertest.Password()
	c := StartCluster(t, 3, 1, &Options{TLS: true, Password: password, Args: []string{"--user", "alice", "on", ">" + password, "~*", "+@all"}})
	c.Servers[fooOwner].Do(t, "SET", slotKey, "v")
	c.Migrate(t, fooSlot, 0)
	c.Wait(t)
	for _, want := range []string{"rediss+cluster://:" + password + "@" + c.Servers[0].Addr() + ",", "?ca=" + c.CAFile} {
		if !strings.Contains(c.URL(), want) {
			t.Errorf("want %s in %s", want, c.URL())
		}
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{c.Servers[1].Addr()}, Username: "alice", Password: password, TLSConfig: clientTLS(t, c.Certificates), DisableCache: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got, err := client.Do(t.Context(), client.B().Get().Key(slotKey).Build()).ToString(); got != "v" || err != nil {
		t.Errorf("a client of the cluster got %q, %v", got, err)
	}
}

// clientTLS is the configuration of a client with certificates.
func clientTLS(t *testing.T, c servertest.Certificates) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: authority, Certificates: []tls.Certificate{pair}}
}
