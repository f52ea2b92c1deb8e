//go:build unix

package postgres

import (
	"net"
	"syscall"
)

// peeker returns what reports, without waiting, whether something can be read from wire, its end included. The client may have
// left a goroutine behind that reads; a call to Read would wait for it.
func peeker(wire net.Conn) func() bool {
	socket, ok := wire.(syscall.Conn)
	if !ok {
		return func() bool { return false }
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return func() bool { return true }
	}
	var readable bool
	look := func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		readable = err != syscall.EAGAIN && err != syscall.EINTR
	}
	return func() bool { return raw.Control(look) != nil || readable }
}
