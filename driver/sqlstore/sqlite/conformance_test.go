package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/storetest"
)

// harness gives each rule a file of its own. Only the tests about durability wait for the disk.
var harness = storetest.Harness{
	InProcess:  true,
	Persistent: true,
	Scale:      0.2, // as over a network: each call locks the file
	Opener: func(t testing.TB) store.Opener {
		return Opener(&Options{Path: filepath.Join(t.TempDir(), "store.db"), Synchronous: SynchronousOff})
	},
}

func TestConformance(t *testing.T) { storetest.Run(t, harness) }

func BenchmarkConformance(b *testing.B) { storetest.Benchmark(b, harness) }
