package redistest

import (
	"testing"

	"github.com/luastore/store/internal/servertest"
)

func TestStart_KilledTestBinary_LeavesNoServer(t *testing.T) {
	find(t)
	servertest.DiesWithTestBinary(t, func() string { return Start(t, nil).Addr() })
}

func TestStartCluster_KilledTestBinary_LeavesNoServer(t *testing.T) {
	t.Parallel()
	find(t)
	servertest.DiesWithTestBinary(t, func() string { return StartCluster(t, 3, 1, nil).Servers[5].Addr() })
}

func TestStartSentinel_KilledTestBinary_LeavesNoServer(t *testing.T) {
	t.Parallel()
	find(t)
	servertest.DiesWithTestBinary(t, func() string { return StartSentinel(t, nil).Sentinels[2].Addr() })
}
