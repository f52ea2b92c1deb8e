package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// page returns the table with all that it takes to read it, as Markdown that is readable as it is too.
func (t *peersTable) page(machine string) string {
	var page strings.Builder
	fmt.Fprintf(&page, "%s. Medians of %d rounds, each %v long for each case and peer.\n\n", machine, t.rounds, t.round)
	page.WriteString(markdown(t.peerRows(), 0))
	page.WriteString("\n")
	page.WriteString(markdown(t.rows(), 8))
	page.WriteString("\nTo reach: how many times as long as luastore a peer takes for set + get with one thread, judged with the loops; less them in brackets.\n\n")
	for _, target := range peerTargets() {
		page.WriteString(t.targetLine(target))
	}
	return page.String()
}

// peerRows tell what was measured.
func (t *peersTable) peerRows() [][]string {
	rows := [][]string{{"peer", "versions", "2 threads are"}}
	for _, c := range t.columns {
		version := c.version
		if c.missing != "" {
			version = c.missing
		}
		rows = append(rows, []string{c.name, version, c.two})
	}
	return rows
}

// rows tell the results: those of all peers together for each operation on each value.
func (t *peersTable) rows() [][]string {
	rows := [][]string{{"operation", "value", "peer",
		"ns, 1 thread", "×", "less the loop", "×", "ns, 2 threads", "×", "less the loop", "×"}}
	for _, key := range caseOrder() {
		for i, c := range t.columns {
			row := []string{"", "", c.name}
			if i == 0 {
				row[0], row[1] = key.operation, key.value
			}
			rows = append(rows, append(row, t.figures(c, key)...))
		}
	}
	return rows
}

// caseOrder returns the cases as the table has them, without a number of threads.
func caseOrder() []caseKey {
	order := []caseKey{{operation: emptyLoop}}
	for _, operation := range []string{setOnly, getOnly, setAndGet} {
		for _, v := range values {
			order = append(order, caseKey{operation: operation, value: v.name})
		}
	}
	return append(order, caseKey{operation: hasOnly}, caseKey{operation: miss})
}

// figures returns the cells of one peer for one case: with the loop and without, beside what luastore takes.
func (t *peersTable) figures(c *peerColumn, key caseKey) []string {
	if c.missing != "" {
		return []string{c.missing, "", "", "", "", "", "", ""}
	}
	var cells []string
	for threads := 1; threads <= maxThreads; threads++ {
		key.threads = threads
		ours := t.columns[0]
		cells = append(cells, nanoseconds(c.ns(key)), figure(times(c.ns(key), ours.ns(key))))
		if key.operation == emptyLoop {
			cells = append(cells, "", "")
			continue
		}
		cells = append(cells, nanoseconds(c.net(key)), figure(times(c.net(key), ours.net(key))))
	}
	return cells
}

// nanoseconds writes a median.
func nanoseconds(each []float64) string {
	ns := median(each)
	if ns < 100 {
		return fmt.Sprintf("%.1f", ns)
	}
	return fmt.Sprintf("%.0f", ns)
}

// targetLine tells one target beside what was reached.
func (t *peersTable) targetLine(target peerTarget) string {
	for _, c := range t.columns {
		if c.name != target.peer {
			continue
		}
		if c.missing != "" {
			return fmt.Sprintf("- %s: not measured, %s\n", c.name, c.missing)
		}
		var parts []string
		for i, least := range target.atLeast {
			key := caseKey{setAndGet, values[i].name, 1}
			parts = append(parts, t.verdict(c, key, least))
		}
		return fmt.Sprintf("- %s: %s\n", c.name, strings.Join(parts, ", "))
	}
	return ""
}

// verdict tells what was reached in one case beside the target for it.
func (t *peersTable) verdict(c *peerColumn, key caseKey, least float64) string {
	ours := t.columns[0]
	with, less := times(c.ns(key), ours.ns(key)), times(c.net(key), ours.net(key))
	met := "met"
	if with < least {
		met = "MISSED"
	}
	return fmt.Sprintf("%s %s× [%s×] (≥ %s×, %s)", key.value, figure(with), figure(less), figure(least), met)
}

// markdown writes rows, the first of which is the head, as a table of whose columns the last ones are numbers.
func markdown(rows [][]string, numbers int) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			if i == len(row)-numbers && strings.HasPrefix(cell, "not installed") {
				continue // it may be wider than its column
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for i, row := range rows {
		writeRow(&text, row, widths, numbers)
		if i == 0 {
			writeRow(&text, rule(widths, numbers), widths, numbers)
		}
	}
	return text.String()
}

func writeRow(text *strings.Builder, row []string, widths []int, numbers int) {
	for i, cell := range row {
		pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
		if i >= len(row)-numbers {
			cell = pad + cell
		} else {
			cell += pad
		}
		fmt.Fprintf(text, "| %s ", cell)
	}
	text.WriteString("|\n")
}

// rule returns the cells of the line below the head.
func rule(widths []int, numbers int) []string {
	cells := make([]string, len(widths))
	for i, width := range widths {
		cells[i] = strings.Repeat("-", width)
		if i >= len(widths)-numbers {
			cells[i] = strings.Repeat("-", max(0, width-1)) + ":"
		}
	}
	return cells
}

// describeMachine tells what the numbers were measured on, and how busy that was, where Linux tells.
func describeMachine() string {
	cpu := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			cpu = strings.TrimSpace(model)
			break
		}
	}
	load := "unknown"
	if text, _ := os.ReadFile("/proc/loadavg"); len(text) > 0 {
		load, _, _ = strings.Cut(string(text), " ")
	}
	return fmt.Sprintf("%s, %s, %d cores, %s/%s, %s; load of the machine before: %s (0 is quiet)",
		time.Now().Format(time.DateOnly), cpu, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), load)
}

// madeUp returns a column in which every case takes factor times what the n-th of the cases takes: n nanoseconds and a loop of 10.
func madeUp(name string, factor float64) *peerColumn {
	c := &peerColumn{name: name, cases: make(map[caseKey]*bench)}
	for n, task := range tasks() {
		for threads := 1; threads <= maxThreads; threads++ {
			ns := factor * float64(n*100)
			c.cases[caseKey{task.operation, task.value, threads}] = &bench{ns: []float64{3*ns + 10, ns + 10, ns + 10}}
		}
	}
	return c
}

func TestPeersTable_OfMadeUpNumbers_ShowsMediansWithAndWithoutTheLoopAndTimesLuastore(t *testing.T) {
	table := &peersTable{rounds: 3, round: time.Second, columns: []*peerColumn{madeUp("luastore", 1), madeUp(redisName, 2)}}
	text := table.page("a machine")
	for _, want := range []string{
		"a machine. Medians of 3 rounds, each 1s long for each case and peer.",
		"| operation  | value ",
		"| ---",
		// The preferences are set in the 4th case and got in the 5th: 300 and 400 ns.
		"| Redis EVAL, cmsgpack |          610 | 1.97 |           600 | 2.00 |",
		"| Redis EVAL, cmsgpack |         1420 | 1.97 |          1400 | 2.00 |", // set + get
		"- Redis EVAL, cmsgpack: 16-byte string 1.94× [2.00×] (≥ 1.00×, met), preferences 1.97× [2.00×] (≥ 1.00×, met)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}

func TestPeersTable_OfASlowerLuastore_SaysWhichTargetIsMissed(t *testing.T) {
	table := &peersTable{rounds: 3, round: time.Second, columns: []*peerColumn{madeUp("luastore", 1), madeUp(nginxName, 0.9)}}
	const want = "- nginx shared.DICT, cjson: 16-byte string 0.91× [0.90×] (≥ 1.00×, MISSED), preferences 0.90× [0.90×] (≥ 0.77×, met)"
	if text := table.page("a machine"); !strings.Contains(text, want) {
		t.Errorf("the page lacks %q:\n%s", want, text)
	}
}

func TestPeersTable_WithAPeerThatIsMissing_SaysInItsRowsHowToInstallIt(t *testing.T) {
	table := &peersTable{rounds: 3, round: time.Second, columns: []*peerColumn{madeUp("luastore", 1)}}
	table.addMissing(tarantoolPeer(), tarantoolMissing.Error())
	text := table.page("a machine")
	if got, want := strings.Count(text, "not installed: apt-get install tarantool"), len(caseOrder())+2; got != want {
		t.Errorf("%d places say how to install it, want %d:\n%s", got, want, text)
	}
}
