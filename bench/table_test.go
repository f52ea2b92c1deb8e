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

// BenchmarkLuaMemory prints what scripts see of the memory driver.
func BenchmarkLuaMemory(b *testing.B) {
	t := memoryTable(b, memstore.Opener(nil))
	show(b, t)
	for _, v := range values {
		t.beyond(v.name)
	}
}

// BenchmarkLuaThreads prints how that scales to two threads.
func BenchmarkLuaThreads(b *testing.B) {
	t := threadsTable(b)
	show(b, t)
	for _, v := range values {
		t.scaling("set "+v.name, "empty call + literal "+v.name)
		t.scaling("get "+v.name, "empty call + literal "+v.name)
	}
	t.scaling("miss", "empty call + literal "+values[0].name)
}

// show measures and prints one table. b.N is of no use: the rounds are interleaved.
func show(b *testing.B, t *table) {
	t.measure(*rounds, *round)
	t.print(os.Stdout)
}
