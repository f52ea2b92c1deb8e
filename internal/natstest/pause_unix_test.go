//go:build unix && !race

package natstest

import "testing"

func TestCluster_PausedLeader_AnswersWhenItGoesOn(t *testing.T) {
	c := SharedCluster(t)
	name := stream(t, c)
	leader := c.Leader(t, name)
	conn := c.Servers[leader].Conn(t)
	c.Pause(t, leader)
	if publish(t, c.Servers[(leader+1)%3], name, "meanwhile") == nil {
		t.Error("a message was acknowledged while the leader was paused")
	}
	c.Resume(t, leader)
	if err := conn.Flush(); err != nil {
		t.Error(err)
	}
	c.Wait(t, name)
}
