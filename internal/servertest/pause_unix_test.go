//go:build unix

package servertest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestProcess_Paused_AnswersWhenItGoesOn(t *testing.T) {
	p := start(t)
	p.Pause(t)
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || p.Running() {
		t.Errorf("paused: read %v, running %v", err, p.Running())
	}
	p.Resume(t)
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil || !p.Running() {
		t.Errorf("resumed: read %q, %v, running %v", got, err, p.Running())
	}
	p.Pause(t)
	p.Kill()
	if dial(p.Addr()) == nil || p.Running() {
		t.Error("the server was killed while it was paused, and runs")
	}
}
