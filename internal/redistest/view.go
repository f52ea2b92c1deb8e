package redistest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A view is what nodes of a cluster say of it.
type view struct {
	nodes []node // by index of the cluster's servers
}

// A node is what nodes say of one.
type node struct {
	id      string
	addr    string // host:port@bus
	role    string // master or slave, and what is wrong, such as "master,fail"
	primary string // of a replica, "-" for none
	slots   string // of a primary: ranges, separated by spaces
	open    bool   // a slot is on its way from or to it, as it alone says
}

// agreed returns what all servers that run say, and an error while they do not say the same.
func (c *Cluster) agreed() (*view, error) {
	var all *view
	for i, s := range c.Servers {
		if !s.Running() {
			continue
		}
		v, err := c.view(s)
		if err != nil {
			return nil, fmt.Errorf("server %d: %w", i, err)
		}
		if all == nil {
			all = v
		}
		all.nodes[i].open, v.nodes[i].open = v.nodes[i].open, false
		for j, n := range v.nodes {
			if n.open = all.nodes[j].open; n != all.nodes[j] {
				return nil, fmt.Errorf("server %d: server %d is %v to it, and %v to another", i, j, n, all.nodes[j])
			}
		}
	}
	if all == nil {
		return nil, fmt.Errorf("no server runs")
	}
	return all, nil
}

// view returns what one server says.
func (c *Cluster) view(s *Server) (*view, error) {
	text, err := s.report("CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	v := &view{nodes: make([]node, len(c.Servers))}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines {
		n, err := parseNode(line)
		if err != nil {
			return nil, err
		}
		i := slices.Index(c.ids, n.id)
		if i < 0 {
			return nil, fmt.Errorf("it is in handshake: %s", line)
		}
		v.nodes[i] = n
	}
	if len(lines) != len(c.Servers) {
		return nil, fmt.Errorf("it knows %d nodes of %d", len(lines), len(c.Servers))
	}
	return v, nil
}

// parseNode takes a line of CLUSTER NODES.
func parseNode(line string) (node, error) {
	fields := strings.Fields(line)
	if len(fields) < 8 {
		return node{}, fmt.Errorf("want a node, got %q", line)
	}
	n := node{id: fields[0], addr: fields[1], role: strings.TrimPrefix(fields[2], "myself,"), primary: fields[3]}
	n.addr, _, _ = strings.Cut(n.addr, ",") // a name follows
	for _, slot := range fields[8:] {
		if strings.HasPrefix(slot, "[") {
			n.open = true
		} else {
			n.slots = strings.TrimSpace(n.slots + " " + slot)
		}
	}
	return n, nil
}

// has tells whether a node has a slot.
func (n node) has(slot int) bool {
	return slices.ContainsFunc(strings.Fields(n.slots), func(part string) bool {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, _ := strconv.Atoi(from)
		last, _ := strconv.Atoi(to)
		return first <= slot && slot <= last
	})
}

// owner returns the index of the node that owns a slot.
func (v *view) owner(slot int) (int, error) {
	for i, n := range v.nodes {
		if n.has(slot) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("slot %d has no owner", slot)
}

// primaries returns the indices of the nodes that have slots.
func (v *view) primaries() (all []int) {
	for i, n := range v.nodes {
		if n.slots != "" {
			all = append(all, i)
		}
	}
	return all
}

// replicas returns the indices of the replicas of a node.
func (v *view) replicas(primary int) (all []int) {
	for i, n := range v.nodes {
		if n.primary == v.nodes[primary].id {
			all = append(all, i)
		}
	}
	return all
}

// atFirst returns what was said of a node when the cluster started.
func (c *Cluster) atFirst(n node) node {
	i := slices.Index(c.ids, n.id)
	n.addr, n.role, n.primary, n.slots, n.open = fmt.Sprintf("127.0.0.1:%d@%d", c.Servers[i].Port, c.busPort(i)), "master", "-", "", false
	if i < c.primaries {
		first, last := c.home(i)
		n.slots = fmt.Sprintf("%d-%d", first, last)
	} else {
		n.role, n.primary = "slave", c.ids[(i-c.primaries)%c.primaries]
	}
	return n
}

// acquainted returns nil when all nodes know each other.
func (c *Cluster) acquainted() error {
	_, err := c.agreed()
	return err
}

// well returns nil when all is well, as [Cluster.Wait] promises.
func (c *Cluster) well() error {
	v, err := c.agreed()
	if err != nil {
		return err
	}
	for i, n := range v.nodes {
		if err := c.wellNode(v, i, n); err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
	}
	return nil
}

// wellNode returns nil when all is well with one node.
func (c *Cluster) wellNode(v *view, i int, n node) error {
	s := c.Servers[i]
	if !s.Running() {
		if n.slots != "" {
			return fmt.Errorf("it does not run and owns the slots %s", n.slots)
		}
		return nil
	}
	if n.role != "master" && n.role != "slave" {
		return fmt.Errorf("it is %s", n.role)
	}
	info, err := s.report("CLUSTER", "INFO")
	if err != nil {
		return err
	}
	if state := field(info, "cluster_state"); state != "ok" {
		return fmt.Errorf("the state is %s", state)
	}
	if n.role == "slave" {
		return follows(s, c.Servers[slices.Index(c.ids, n.primary)])
	}
	return nil
}

// follows returns nil when a replica has what its primary has at the moment.
func follows(replica, primary *Server) error {
	info, err := primary.report("INFO", "replication")
	if err != nil {
		return err
	}
	want := field(info, "master_repl_offset")
	if info, err = replica.report("INFO", "replication"); err != nil {
		return err
	}
	if link := field(info, "master_link_status"); link != "up" {
		return fmt.Errorf("the link to its primary is %q", link)
	}
	if got := field(info, "slave_repl_offset"); number(got) < number(want) {
		return fmt.Errorf("it is a replica at %s, its primary at %s", got, want)
	}
	return nil
}

// field returns a value of a reply to INFO, "" for none.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// number returns a number of a reply to INFO, -1 for none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}
