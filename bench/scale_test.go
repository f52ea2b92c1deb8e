package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/luastore/store/driver/memstore"
)

const (
	scaleEntries = 10_000_000 // where ENTRIES says nothing
	scaleGets    = 500_000
	scalePages   = 2000

	envScaleCase   = "LUASTORE_SCALE_CASE"   // which case a child measures; not set in the parent
	envScaleFigure = "LUASTORE_SCALE_RESULT" // the file that it writes what it found to
)

// scaleCases are measured each in a process of its own, one after the other, so that no heap is in the way of another's.
var scaleCases = []struct {
	name    string
	measure func(b *testing.B, n int) figures
}{
	{"map", measureMap},
	{"driver", func(b *testing.B, n int) figures { return measureDriver(b, n, 0) }},
	{"driver, all expire", func(b *testing.B, n int) figures { return measureDriver(b, n, time.Hour) }},
}

// figures are what one case came to: times in nanoseconds, sizes in bytes, by name. What a case does not have is not there.
type figures map[string]float64

// The rows of the table, in order.
const (
	fillTime   = "fill, ns an entry"
	entryBytes = "heap, bytes an entry"
	gcWall     = "full GC, ms"
	gcPause    = "longest pause of it, µs"
	getP50     = "random get p50, ns"
	getP99     = "random get p99, ns"
	pageTime   = "page of 100 keys, µs"
	tenthP99   = "p99 while a tenth expires, ns"
	tenthMax   = "slowest get meanwhile, µs"
	tenthGone  = "until the tenth is reclaimed, s"
	restP99    = "p99 while all the rest expires, ns"
	restGone   = "until all is reclaimed, s"
	emptyBytes = "heap left, bytes an entry"
)

var scaleRows = []string{
	fillTime, entryBytes, gcWall, gcPause, getP50, getP99, pageTime, tenthP99, tenthMax, tenthGone, restP99, restGone, emptyBytes,
}

// BenchmarkScaleMemory prints the table of ENTRIES entries in memory.
func BenchmarkScaleMemory(b *testing.B) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("ENTRIES"), strconv.Itoa(scaleEntries)))
	if err != nil || n < 1000 {
		b.Fatalf("ENTRIES is %q: want a number of at least 1000", os.Getenv("ENTRIES"))
	}
	if name := os.Getenv(envScaleCase); name != "" {
		measureCase(b, name, n)
		return
	}
	columns := make([]figures, len(scaleCases))
	for i, c := range scaleCases {
		columns[i] = runCase(b, c.name, n)
	}
	printScale(n, columns)
}

// runCase measures a case in a second run of this binary.
func runCase(b *testing.B, name string, n int) (f figures) {
	b.Helper()
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	result := filepath.Join(b.TempDir(), "figures")
	child := exec.Command(program, "-test.run=^$", "-test.bench=^BenchmarkScaleMemory$", "-test.benchtime=1x", "-test.timeout=1h")
	child.Env = append(os.Environ(), envScaleCase+"="+name, envScaleFigure+"="+result, "ENTRIES="+strconv.Itoa(n))
	if output, err := child.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", name, err, output)
	}
	text, err := os.ReadFile(result)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// measureCase is what the second run does.
func measureCase(b *testing.B, name string, n int) {
	for _, c := range scaleCases {
		if c.name != name {
			continue
		}
		text, err := json.Marshal(c.measure(b, n))
		if err == nil {
			err = os.WriteFile(os.Getenv(envScaleFigure), text, 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
		return
	}
	b.Fatalf("no case %q", name)
}

// scaleKey returns a new key of 12 to 20 bytes. A tenth of all are of the namespace temp.
func scaleKey(i int) string {
	switch {
	case i%10 == 0:
		return fmt.Sprintf("temp:%07d", i)
	case i%2 == 0:
		return fmt.Sprintf("user:%08d", i)
	}
	return fmt.Sprintf("session:%d:%08d", i%100, i)
}

// scaleValue returns a new value of 16 to 60 bytes.
func scaleValue(i int) []byte { return make([]byte, 16+i%45) }

// fillAll sets n entries in no order, and measures what they take.
func fillAll(n int, set func(key string, value []byte)) figures {
	r := rand.New(rand.NewPCG(1, 1))
	order := r.Perm(n)
	base := heapBytes()
	start := time.Now()
	for _, i := range order {
		set(scaleKey(i), scaleValue(i))
	}
	f := figures{fillTime: perEntry(time.Since(start).Nanoseconds(), n), entryBytes: perEntry(heapBytes()-base, n)}
	f[gcWall], f[gcPause] = collections(5)
	runtime.KeepAlive(order)
	return f
}

func perEntry(total int64, n int) float64 { return float64(total) / float64(n) }

// heapBytes returns what is in use.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// collections returns the median of the times that full collections take, in ms, and the longest pause in them, in µs.
func collections(times int) (wall, pause float64) {
	var walls []float64
	for range times {
		start := time.Now()
		runtime.GC()
		walls = append(walls, time.Since(start).Seconds()*1e3)
	}
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	longest := slices.Max(stats.Pause[:times]) // the latest come first
	return median(walls), float64(longest) / 1e3
}

// latencies are the times of single gets, in order, with a reading of the clock in each, of some 50 to 100 ns.
type latencies []int64

func (l latencies) at(percent int) float64 { return float64(l[min(len(l)*percent/100, len(l)-1)]) }

// getsOf times gets of random keys until enough were made and done answers true. It asks each thousand.
func getsOf(n int, done func() bool, get func(key string)) latencies {
	r := rand.New(rand.NewPCG(2, 2))
	all := make(latencies, 0, scaleGets)
	for i := 0; ; i++ {
		if i%1000 == 0 && len(all) >= scaleGets && done() {
			break
		}
		key := scaleKey(r.IntN(n))
		start := time.Now()
		get(key)
		all = append(all, time.Since(start).Nanoseconds())
	}
	slices.Sort(all)
	return all
}

func always() bool { return true }

func measureMap(_ *testing.B, n int) figures {
	m := &lockedMap{m: make(map[string][]byte)}
	f := fillAll(n, m.set)
	quiet := getsOf(n, always, func(key string) { m.get(key) })
	f[getP50], f[getP99] = quiet.at(50), quiet.at(99)
	return f
}

func measureDriver(b *testing.B, n int, ttl time.Duration) figures {
	d, err := memstore.Open(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	ctx := context.Background()
	base := heapBytes()
	f := fillAll(n, func(key string, value []byte) {
		if err := d.Set(ctx, key, value, ttl); err != nil {
			b.Fatal(err)
		}
	})
	get := func(key string) { _, _ = d.Get(ctx, key) }
	quiet := getsOf(n, always, get)
	f[getP50], f[getP99] = quiet.at(50), quiet.at(99)
	f[pageTime] = timePages(b, d)
	if ttl == 0 {
		return f
	}
	busy, gone := expire(b, d, n, "temp:", get)
	f[tenthP99], f[tenthMax], f[tenthGone] = busy.at(99), busy.at(100)/1e3, gone.Seconds()
	busy, gone = expire(b, d, n, "", get)
	f[restP99], f[restGone] = busy.at(99), gone.Seconds()
	f[emptyBytes] = perEntry(heapBytes()-base, n)
	return f
}

// timePages returns the time of one page of 100 keys of a walk, in µs.
func timePages(b *testing.B, d *memstore.Driver) float64 {
	b.Helper()
	start, pages, cursor := time.Now(), 0, ""
	for pages < scalePages {
		page, err := d.List(context.Background(), "session:", cursor, 100)
		if err != nil {
			b.Fatal(err)
		}
		pages++
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	return time.Since(start).Seconds() * 1e6 / float64(pages)
}

// expire makes the entries under a prefix expire at one moment, waits for it, and times gets from then on until the memory of all of
// them is free. It returns how long that took.
func expire(b *testing.B, d *memstore.Driver, n int, prefix string, get func(key string)) (latencies, time.Duration) {
	b.Helper()
	touchAll := func(every int, ttl func() time.Duration) time.Duration {
		start := time.Now()
		for i := 0; i < n; i += every {
			if key := scaleKey(i); strings.HasPrefix(key, prefix) {
				if _, err := d.Touch(context.Background(), key, ttl()); err != nil {
					b.Fatal(err)
				}
			}
		}
		return time.Since(start)
	}
	sample := touchAll(100, func() time.Duration { return time.Hour })
	moment := time.Now().Add(time.Second + 150*sample) // when all are touched, with some to spare
	touchAll(1, func() time.Duration { return max(time.Until(moment), time.Millisecond) })
	<-time.After(time.Until(moment))
	var took time.Duration
	busy := getsOf(n, func() bool {
		took = time.Since(moment)
		return reclaimed(b, d, prefix)
	}, get)
	return busy, took
}

// reclaimed reports whether a listing, which skips up to 2,000 expired keys, finds the end at once.
func reclaimed(b *testing.B, d *memstore.Driver, prefix string) bool {
	b.Helper()
	page, err := d.List(context.Background(), prefix, "", 1)
	if err != nil {
		b.Fatal(err)
	}
	return len(page.Keys) == 0 && page.Next == ""
}

// printScale prints the table and what is to be reached.
func printScale(n int, columns []figures) {
	fmt.Printf("\n%d entries in memory, keys of 12 to 20 bytes, values of 16 to 60\n%s\n", n, describeMachine())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, c := range scaleCases {
		fmt.Fprint(w, c.name, "\t")
	}
	fmt.Fprintln(w, " \t")
	for _, row := range scaleRows {
		fmt.Fprintln(w, strings.Join(cells(row, columns), "\t")+"\t")
	}
	w.Flush()
	bare, driver, expiring := columns[0], columns[1], columns[2]
	fmt.Println(bound(1.35, driver[entryBytes]/bare[entryBytes], "bytes an entry, driver / map"))
	fmt.Println(bound(0, expiring[entryBytes]/bare[entryBytes], "bytes an entry, driver where all expire / map, which keeps no expiry"))
	fmt.Println(bound(1.6, driver[gcWall]/bare[gcWall], "full GC, driver / map"))
	fmt.Println(bound(0, expiring[gcWall]/bare[gcWall], "full GC, driver where all expire / map"))
	fmt.Println(bound(2, expiring[tenthP99]/expiring[getP99], "p99 of get while a tenth expires at once / quiet"))
	fmt.Println(bound(0, expiring[restP99]/expiring[getP99], "p99 of get while all the rest expires at once / quiet"))
}

func cells(row string, columns []figures) (cells []string) {
	for _, f := range columns {
		text := "–"
		if v, ok := f[row]; ok {
			text = strconv.FormatFloat(v, 'f', 1, 64)
		}
		cells = append(cells, text)
	}
	return append(cells, " "+row)
}

// bound tells a ratio beside the most that it is to be; 0: it is only shown.
func bound(most, got float64, what string) string {
	if most == 0 {
		return fmt.Sprintf("  %s×  %s", figure(got), what)
	}
	met := "met"
	if !(got <= most) {
		met = "MISSED"
	}
	return fmt.Sprintf("  %s× (to reach: ≤ %s×, %s)  %s", figure(got), figure(most), met, what)
}
