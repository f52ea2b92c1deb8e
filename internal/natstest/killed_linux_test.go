package natstest

import (
	"testing"

	"github.com/luastore/store/internal/servertest"
)

func TestStart_KilledTestBinary_LeavesNoServer(t *testing.T) {
	find(t)
	servertest.DiesWithTestBinary(t, func() string { return Start(t, nil).Addr() })
}
