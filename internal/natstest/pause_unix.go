//go:build unix

package natstest

import "testing"

// Pause stops one server where it is, until Resume: its connections stay open, and it does nothing.
func (c *Cluster) Pause(t testing.TB, i int) {
	t.Helper()
	c.touch()
	c.Servers[i].Pause(t)
}

// Resume makes a server go on that Pause stopped.
func (c *Cluster) Resume(t testing.TB, i int) {
	t.Helper()
	c.Servers[i].Resume(t)
}
