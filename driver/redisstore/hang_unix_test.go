//go:build unix && !race

package redisstore

import (
	"testing"

	"github.com/luastore/store/internal/redistest"
)

// hang makes a server stop where it is, with its connections open.
func hang(t *testing.T, s *redistest.Server) {
	t.Helper()
	s.Pause(t)
}

// resume ends hang.
func resume(t *testing.T, s *redistest.Server) {
	t.Helper()
	s.Resume(t)
}
