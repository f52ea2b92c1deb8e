//go:build !unix && !race

package redisstore

import (
	"testing"

	"github.com/luastore/store/internal/redistest"
)

// hang kills the server: this system cannot stop a process where it is.
func hang(_ *testing.T, s *redistest.Server) { s.Kill() }

// resume ends hang.
func resume(t *testing.T, s *redistest.Server) {
	t.Helper()
	s.Restart(t)
}
