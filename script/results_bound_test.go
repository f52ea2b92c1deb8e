package script_test

import (
	"testing"

	"github.com/luastore/store/script"
)

func TestRun_ResultsAreBounded(t *testing.T) {
	for name, source := range map[string]string{
		"one string many times": `local s, t = ("x"):rep(2^20 - 100), {} for i = 1, 2000 do t[i] = s end return unpack(t)`,
		"one table many times": `
			local t, r = {}, {}
			for i = 1, 9000 do t[i] = { "abcdefgh" .. i, i } end
			for i = 1, 5000 do r[i] = t end
			return unpack(r)`,
	} {
		t.Run(name, func(t *testing.T) {
			failed := fail(t, nil, source)
			if failed.Kind != script.KindResult {
				t.Errorf("got %s: %s", failed.Kind, failed.Message)
			}
		})
	}
}
