package mysql

import (
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
	"github.com/luastore/store/storetest"
)

// harness gives each rule an empty database of the server that all tests of the package share.
var harness = storetest.Harness{
	Persistent: true,
	CountScale: 0.02, // of hundreds of thousands of increments, each of several round trips
	Opener: func(t testing.TB) store.Opener {
		o, err := ParseURL(mariadbtest.Shared(t).URL())
		if err != nil {
			t.Fatal(err)
		}
		return Opener(o)
	},
}

func BenchmarkConformance(b *testing.B) { storetest.Benchmark(b, harness) }
