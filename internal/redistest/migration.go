package redistest

import (
	"strconv"
	"strings"
	"testing"
)

const (
	keysPerMove = 100    // that Migrate asks for and moves at a time
	moveTimeout = "5000" // of a move, in milliseconds
)

// Slot returns the slot of a key in a cluster.
func Slot(key string) int {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			key = tag
		}
	}
	return int(crc16(key)) % slots
}

// crc16 is the variant that is called XMODEM.
func crc16(text string) (sum uint16) {
	for _, b := range []byte(text) {
		sum ^= uint16(b) << 8
		for range 8 {
			carry := sum >> 15
			sum = sum<<1 ^ carry*0x1021
		}
	}
	return sum
}

// A Migration is the move of one slot with its keys to another primary, as redis-cli does it. Begun and not finished, it leaves the
// slot between the two: the source answers ASK for keys that it has not or no longer.
type Migration struct {
	From, To int // indices of the servers

	cluster *Cluster
	slot    string
}

// Migrate moves a slot with its keys to the primary at index to.
func (c *Cluster) Migrate(t testing.TB, slot, to int) {
	t.Helper()
	m := c.BeginMigration(t, slot, to)
	m.MoveAll(t)
	m.Finish(t)
}

// BeginMigration opens a slot for its move from its owner to the primary at index to, which is another. No key moves yet.
func (c *Cluster) BeginMigration(t testing.TB, slot, to int) *Migration {
	t.Helper()
	m := &Migration{cluster: c, slot: strconv.Itoa(slot), From: c.Primary(t, slot), To: to}
	c.Servers[to].Do(t, "CLUSTER", "SETSLOT", m.slot, "IMPORTING", c.ids[m.From])
	c.Servers[m.From].Do(t, "CLUSTER", "SETSLOT", m.slot, "MIGRATING", c.ids[to])
	return m
}

// Move moves keys of the slot. Those that the source does not have stay where they are.
func (m *Migration) Move(t testing.TB, keys ...string) {
	t.Helper()
	command := []string{"MIGRATE", "127.0.0.1", strconv.Itoa(m.cluster.Servers[m.To].Port), "", "0", moveTimeout}
	if password := m.cluster.options.Password; password != "" {
		command = append(command, "AUTH", password)
	}
	command = append(command, "KEYS")
	m.cluster.Servers[m.From].Do(t, append(command, keys...)...)
}

// MoveAll moves keys until the source has none in the slot.
func (m *Migration) MoveAll(t testing.TB) {
	t.Helper()
	for {
		keys := m.keys(t)
		if len(keys) == 0 {
			return
		}
		m.Move(t, keys...)
	}
}

// keys returns some of the keys that the source has in the slot.
func (m *Migration) keys(t testing.TB) []string {
	t.Helper()
	reply, err := m.cluster.Servers[m.From].ask("CLUSTER", "GETKEYSINSLOT", m.slot, strconv.Itoa(keysPerMove))
	if err != nil {
		t.Fatalf("redistest: keys of slot %s: %v", m.slot, err)
	}
	keys, err := reply.AsStrSlice()
	if err != nil {
		t.Fatalf("redistest: keys of slot %s: %v", m.slot, err)
	}
	return keys
}

// Finish gives the slot, all whose keys have moved, to the target: it tells the target, then the source, then the other primaries.
func (m *Migration) Finish(t testing.TB) {
	t.Helper()
	order := []int{m.To, m.From}
	for i, s := range m.cluster.Servers {
		if i != m.To && i != m.From && s.Running() && field(s.Do(t, "INFO", "replication"), "role") == "master" {
			order = append(order, i)
		}
	}
	for _, i := range order {
		m.cluster.Servers[i].Do(t, "CLUSTER", "SETSLOT", m.slot, "NODE", m.cluster.ids[m.To])
	}
}
