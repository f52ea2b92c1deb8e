package natsstore

import (
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
	"github.com/luastore/store/storetest"
)

// onOne gives each rule an empty bucket of the server that all tests of the package share. A bucket takes long to make, and random
// sequences want one each.
var onOne = storetest.Harness{
	Persistent: true,
	Scale:      0.3,
	CountScale: 0.1,
	Opener:     func(t testing.TB) store.Opener { return openerOf(t, natstest.Shared(t).URL()) },
}

func openerOf(t testing.TB, url string) store.Opener {
	o, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return Opener(o)
}

func BenchmarkConformance(b *testing.B) { storetest.Benchmark(b, onOne) }
