package pebblestore

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/storetest"
)

// harness gives each rule a folder of its own. It does not wait for the disk: durability is the subject of other tests.
var harness = storetest.Harness{
	InProcess:  true,
	Persistent: true,
	Scale:      repetitions(1),
	Opener: func(t testing.TB) store.Opener {
		return Opener(&Options{Path: filepath.Join(t.TempDir(), "store"), NoSync: true})
	},
}

// durable waits for a disk that takes no time, and fills tables all the time.
var durable = storetest.Harness{
	InProcess:  true,
	Persistent: true,
	Scale:      repetitions(0.2),
	Opener: func(testing.TB) store.Opener {
		disk := newMemory()
		return store.Opener{Open: func(ctx context.Context) (store.Driver, error) {
			d, err := open(ctx, small, disk)
			if err != nil {
				return nil, err
			}
			return d, nil
		}}
	},
}

// repetitions returns scale, or a quarter of it under the race detector, to which repetitions say little.
func repetitions(scale float64) float64 {
	if boundtest.Race {
		scale /= 4
	}
	return scale
}

func TestConformance(t *testing.T) { storetest.Run(t, harness) }

func TestConformance_Durable(t *testing.T) { storetest.Run(t, durable) }

func BenchmarkConformance(b *testing.B) { storetest.Benchmark(b, harness) }
