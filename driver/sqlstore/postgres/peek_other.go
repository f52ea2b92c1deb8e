//go:build !unix

package postgres

import "net"

// peeker returns what reports, where the system can tell, whether something can be read from wire. Here a connection that broke
// while it was idle shows at the first call, of which nothing is known then.
func peeker(net.Conn) func() bool { return func() bool { return false } }
