package servertest_test

import (
	"testing"

	"github.com/luastore/store/internal/servertest"
)

func TestProcess_OfAKilledTestBinary_IsKilled(t *testing.T) {
	servertest.DiesWithTestBinary(t, func() string { return start(t).Addr() })
}
