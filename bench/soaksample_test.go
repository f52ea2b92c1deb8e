package bench

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// A sample is what the process holds at one moment of a soak. Zero stands for what this system does not tell.
type sample struct {
	at          time.Time
	units, away int64 // so far
	rss, heap   int64 // bytes
	goroutines  int
	files       int
	clients     int // connections to Redis, that of the soak itself included
}

func takeSample(units, away int64, clients int) sample {
	goroutines := settled(runtime.NumGoroutine)
	files := settled(openFiles)
	debug.FreeOSMemory() // which collects too: what is left is held, and not only not given back yet
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return sample{
		at: time.Now(), units: units, away: away, rss: residentBytes(), heap: int64(m.HeapAlloc),
		goroutines: goroutines, files: files, clients: clients,
	}
}

// settled returns the least of what count answers in a moment: what just ended takes a little until it is gone.
func settled(count func() int) int {
	least := count()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5 {
		<-tick.C
		least = min(least, count())
	}
	return least
}

// openFiles counts open files and connections, without the tables of Pebble, which keeps all that it has open: their number rises and
// falls with what it compacts.
func openFiles() (n int) {
	const dir = "/proc/self/fd"
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, f := range files {
		if name, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil && !strings.HasSuffix(name, ".sst") {
			n++
		}
	}
	return n
}

func residentBytes() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// A series is the samples of a soak, in order.
type series []sample

// A gauge is one thing that is not to grow. Of each third one value counts: memory, which rises and falls, by its median, what is counted by its least,
// which a leak raises and a moment does not.
type gauge struct {
	name  string
	of    func(s sample) int64
	sum   func(values []int64) int64
	slack func(before int64) int64
	unit  int64 // of the figures that are shown
}

func gauges() []gauge {
	none := func(int64) int64 { return 0 }
	one := func(int64) int64 { return 1 } // Pebble and rueidis begin one now and then
	share := func(before int64) int64 { return max(before/20, 1<<20) }
	return []gauge{
		{"RSS", func(s sample) int64 { return s.rss }, middle, share, 1 << 10},
		{"heap", func(s sample) int64 { return s.heap }, middle, share, 1 << 10},
		{"goroutines", func(s sample) int64 { return int64(s.goroutines) }, slices.Min[[]int64], one, 1},
		{"open files", func(s sample) int64 { return int64(s.files) }, slices.Min[[]int64], none, 1},
		{"Redis clients", func(s sample) int64 { return int64(s.clients) }, slices.Min[[]int64], none, 1},
	}
}

func middle(values []int64) int64 {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}

// third returns what a gauge shows of the nth third: 0, 1 or 2.
func (s series) third(g gauge, n int) int64 {
	var values []int64
	for _, one := range s[n*len(s)/3 : (n+1)*len(s)/3] {
		values = append(values, g.of(one))
	}
	return g.sum(values)
}

// faults tells what grew from the second third to the last. In the first all finds its size.
func (s series) faults() (faults []string) {
	for _, g := range gauges() {
		before, after := s.third(g, 1), s.third(g, 2)
		if most := before + g.slack(before); after > most {
			faults = append(faults, fmt.Sprintf("%s grew from %d to %d between the second third of the soak and the last, at most %d is flat: something is not given back",
				g.name, before/g.unit, after/g.unit, most/g.unit))
		}
	}
	return faults
}

// names reports whether one of the faults is about a gauge.
func (s series) names(gauge string) bool {
	return slices.ContainsFunc(s.faults(), func(fault string) bool { return strings.HasPrefix(fault, gauge+" grew") })
}

// String returns the samples as a table, every sixth of them, and below it what is compared.
func (s series) String() string {
	text := new(strings.Builder)
	w := tabwriter.NewWriter(text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "s\tunits\tcalls away\tRSS KiB\theap KiB\tgoroutines\topen files\tRedis clients\t")
	for i, one := range s {
		if i%6 == 5 {
			seconds := math.Round(one.at.Sub(s[0].at).Seconds()*10) / 10
			fmt.Fprintf(w, "%v\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
				seconds, one.units, one.away, one.rss>>10, one.heap>>10, one.goroutines, one.files, one.clients)
		}
	}
	w.Flush()
	for _, g := range gauges() {
		fmt.Fprintf(text, "  %s: %d in the second third, %d in the last\n", g.name, s.third(g, 1)/g.unit, s.third(g, 2)/g.unit)
	}
	return text.String()
}

// made returns a series of n samples.
func made(n int, at func(i int) sample) (s series) {
	for i := range n {
		s = append(s, at(i))
	}
	return s
}

func TestSeries_Faults_NamesWhatGrowsAndNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		at   func(i int) sample
		want string // "": no fault
	}{
		"flat":                      {func(int) sample { return sample{rss: 100 << 20, heap: 10 << 20, goroutines: 20, files: 9, clients: 2} }, ""},
		"growth in the first third": {func(i int) sample { return sample{rss: min(int64(i), 20) << 20, goroutines: min(i, 20)} }, ""},
		"up and down":               {func(i int) sample { return sample{rss: 100<<20 + int64(i%2)<<24, goroutines: 20 + i%7} }, ""},
		"RSS":                       {func(i int) sample { return sample{rss: int64(100+i) << 20} }, "RSS"},
		"heap":                      {func(i int) sample { return sample{heap: int64(100+i) << 20} }, "heap"},
		"one goroutine more":        {func(i int) sample { return sample{goroutines: 20 + i/40} }, ""},
		"a goroutine now and then":  {func(i int) sample { return sample{goroutines: 20 + i/10} }, "goroutines"},
		"a file now and then":       {func(i int) sample { return sample{files: 20 + i/9 + i%4} }, "open files"},
		"a connection":              {func(i int) sample { return sample{clients: 2 + i/25} }, "Redis clients"},
	} {
		t.Run(name, func(t *testing.T) {
			s := made(60, c.at)
			if faults := s.faults(); c.want == "" && len(faults) > 0 || c.want != "" && (len(faults) != 1 || !s.names(c.want)) {
				t.Errorf("the faults are %q, want one about %q", faults, c.want)
			}
		})
	}
}
