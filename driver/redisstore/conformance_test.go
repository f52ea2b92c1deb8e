package redisstore

import (
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/storetest"
)

// openerOf returns an opener by URL.
func openerOf(t testing.TB, url string) store.Opener {
	t.Helper()
	return Opener(must(ParseURL(url))(t))
}

// harness gives each rule an empty database of the server that all tests of the package share.
var harness = storetest.Harness{
	Persistent: true,
	Opener:     func(t testing.TB) store.Opener { return openerOf(t, redistest.Shared(t).URL()) },
}

func BenchmarkConformance(b *testing.B) { storetest.Benchmark(b, harness) }
