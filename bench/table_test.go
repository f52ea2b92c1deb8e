package bench

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/luastore/store/driver/memstore"
)

var (
	rounds = flag.Int("rounds", 7, "how often each case is measured; the median is shown")
	round  = flag.Duration("round", 100*time.Millisecond, "how long one measurement of one case takes")
)

// BenchmarkLuaMemory prints its table.
func BenchmarkLuaMemory(b *testing.B) { show(b, memoryTable(b, memstore.Opener(nil))) }

// show measures and prints one table. b.N is of no use: the rounds are interleaved.
func show(b *testing.B, t *table) {
	t.measure(*rounds, *round)
	t.print(os.Stdout)
}
