package postgres

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/pgtest"
	"github.com/luastore/store/storetest"
)

// harness gives each rule a table of its own in one database: to make a database, of hundreds of files, takes longer than most
// rules do. Every other driver prepares no statements.
func harness(t testing.TB) storetest.Harness {
	server := pgtest.Shared(t)
	var tables atomic.Int64
	return storetest.Harness{
		Persistent: true,
		Scale:      0.04, // of hundreds of thousands of increments, each of two round trips
		Opener: func(t testing.TB) store.Opener {
			n := tables.Add(1)
			return Opener(must(ParseURL(fmt.Sprintf("%s?table=t%d&statement_cache=%t", server.URL(), n, n%2 == 0)))(t))
		},
	}
}

func TestConformance(t *testing.T) { storetest.Run(t, harness(t)) }

func BenchmarkConformance(b *testing.B) { storetest.Benchmark(b, harness(b)) }
