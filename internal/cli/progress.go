package cli

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A progress shows on a terminal how far a transfer has come: a bar, the count, the rate, and the time left where the whole is known. A nil
// one shows nothing. It is safe for concurrent use.
type progress struct {
	mu      sync.Mutex
	bar     *progressbar.ProgressBar // nil once it has ended
	doing   string                   // "exporting"
	bytes   bool                     // the bar is of bytes, the entries stand in its description
	full    bool                     // the line has room for all there is to show
	entries int64
	waiting int64 // done, and not shown yet
	shown   time.Time
}

// redraw is how often the bar is drawn at most.
const redraw = 100 * time.Millisecond

// Columns of a terminal that a bar needs: with all that it shows, and with no more than the percentage and the times. One that does not
// fit its line would leave a part of it behind each time that it is drawn.
const (
	fullBar  = 80
	shortBar = 40
)

// startProgress shows a bar on standard error where that is a terminal which is wide enough, unless quiet. Where the bytes of the whole are
// known, and not 0, the bar is of bytes.
func (a *app) startProgress(doing string, quiet bool, bytes int64) *progress {
	f, ok := terminal(a.stderr)
	if !ok || quiet {
		return nil
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns == 0 {
		columns = fullBar
	}
	if columns < shortBar {
		return nil
	}
	full := columns >= fullBar
	theme := progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}
	coloured := a.colours(a.stderr).on
	if coloured {
		theme.BarStart, theme.BarEnd = "[green][", "][reset]"
	}
	kind, _ := a.lookupEnv("TERM")
	options := []progressbar.Option{
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription(doing),
		progressbar.OptionSetTheme(theme),
		progressbar.OptionEnableColorCodes(coloured),
		progressbar.OptionUseANSICodes(kind != "dumb"),
		progressbar.OptionFullWidth(),
		progressbar.OptionShowTotalBytes(bytes > 0),
		progressbar.OptionSetPredictTime(bytes > 0),
		progressbar.OptionSetElapsedTime(true),
	}
	switch {
	case full && bytes > 0:
		options = append(options, progressbar.OptionShowCount(), progressbar.OptionShowBytes(true))
	case full:
		options = append(options, progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("entries"))
	}
	whole := bytes
	if bytes <= 0 {
		whole = math.MaxInt64 // until it is known
	}
	return &progress{doing: doing, bytes: bytes > 0, full: full, bar: progressbar.NewOptions64(whole, options...)}
}

// whole tells how many entries there are in all.
func (p *progress) whole(entries int64) {
	if p == nil || entries <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		return
	}
	progressbar.OptionShowTotalBytes(true)(p.bar)
	progressbar.OptionSetPredictTime(true)(p.bar)
	p.bar.ChangeMax64(entries)
}

// add tells that so many entries, of so many bytes, are done.
func (p *progress) add(entries, bytes int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries += entries
	if p.bytes {
		entries = bytes
	}
	if p.waiting += entries; p.bar == nil || time.Since(p.shown) < redraw {
		return
	}
	if p.bytes && p.full {
		p.bar.Describe(fmt.Sprintf("%s %s", p.doing, counted(p.entries, "entry", "entries")))
	}
	_ = p.bar.Add64(p.waiting) // more than there was to be: the bar is full
	p.waiting, p.shown = 0, time.Now()
}

// aside wipes the bar for what say prints.
func (p *progress) aside(say func()) {
	if p == nil {
		say()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	say()
}

// end wipes the bar for good.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
		_ = p.bar.Exit()
		p.bar = nil
	}
}

// counted returns a number of things in words.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
