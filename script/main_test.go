package script_test

import (
	"os"
	"testing"

	"github.com/luastore/store/script"
)

func TestMain(m *testing.M) {
	script.LimitArrays(1 << 17)
	os.Exit(m.Run())
}
