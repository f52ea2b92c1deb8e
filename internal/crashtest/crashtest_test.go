package crashtest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/value"
)

// toyWith returns a target whose toy has these hooks. What is played back it damages in the parent only: a second child would
// notice, and say so in other words.
func toyWith(cycles int, h func() hooks) Target {
	return Target{Cycles: cycles, Open: func(_ context.Context, dir string) (store.Driver, error) {
		h := h()
		if os.Getenv(envTest) != "" {
			h.replay = nil
		}
		return openToy(dir, h)
	}}
}

func TestRun_ALogWrittenBeforeItIsAcknowledged_Passes(t *testing.T) {
	Run(t, toyWith(60, func() hooks { return hooks{} }))
}

func TestRun_ALogThatIsSynced_Passes(t *testing.T) {
	Run(t, toyWith(20, func() hooks {
		return hooks{append: func(f *os.File, line []byte) error {
			_, err := f.Write(line)
			return errors.Join(err, f.Sync())
		}}
	}))
}

// withoutOptional is a driver that is neither a Batcher nor a Counter.
type withoutOptional struct{ store.Driver }

func TestRun_ADriverWithoutOptionalInterfaces_Passes(t *testing.T) {
	Run(t, Target{Cycles: 10, Open: func(_ context.Context, dir string) (store.Driver, error) {
		d, err := openToy(dir, hooks{})
		return withoutOptional{d}, err
	}})
}

// anyLoss is what the report says of a lost write, of any kind.
const anyLoss = "an acknowledged write is lost|came back|a wrong (ttl|count|sum|answer)"

// faults are toys that are wrong in one way, and what the report says of them.
var faults = []struct {
	name  string
	want  string
	hooks func() hooks
}{
	{"acknowledges before it writes", anyLoss, func() hooks {
		var buffer []byte
		return hooks{append: func(f *os.File, line []byte) error {
			if buffer = append(buffer, line...); len(buffer) < 10_000 {
				return nil
			}
			_, err := f.Write(buffer)
			buffer = nil
			return err
		}}
	}},
	{"writes beside the acknowledgement", anyLoss, func() hooks {
		lines := make(chan []byte, 1000)
		return hooks{append: func(f *os.File, line []byte) error {
			if len(lines) == 0 {
				go func() {
					for line := range lines {
						_, _ = f.Write(line)
					}
				}()
			}
			lines <- line
			return nil
		}}
	}},
	{"drops the last record", anyLoss, func() hooks {
		return hooks{replay: func(r record, last bool) record {
			if last {
				return record{Key: r.Key, Deleted: true}
			}
			return r
		}}
	}},
	// The kill leaves what was on its way possible, too, and each lane tells of the first key only: so it may say of the same fault that
	// nothing, or what was on its way, should be there.
	{"forgets deletes", `a deleted entry came back|value \S+ is there, want nothing or`, func() hooks {
		values := map[string]record{}
		return hooks{replay: func(r record, _ bool) record {
			if !r.Deleted {
				values[r.Key] = r
			}
			return values[r.Key]
		}}
	}},
	{"tears long values", "torn value", func() hooks {
		return hooks{replay: func(r record, _ bool) record {
			if len(r.Value) > 4096 {
				clear(r.Value[4096:])
			}
			return r
		}}
	}},
	{"cuts long values", "torn value", func() hooks {
		return hooks{replay: func(r record, _ bool) record {
			r.Value = r.Value[:min(4096, len(r.Value))]
			return r
		}}
	}},
	// In the same way it may say of what had hardly begun to live that its ttl is wrong: none.
	{"revives what has expired", `an expired entry came back|a wrong ttl: value \S+ has 0s,`, func() hooks {
		return hooks{replay: func(r record, _ bool) record {
			if r.Expires < time.Now().UnixNano() {
				r.Expires = 0
			}
			return r
		}}
	}},
	{"extends a ttl", "a wrong ttl", func() hooks {
		return hooks{replay: func(r record, _ bool) record {
			if r.Expires > time.Now().Add(time.Minute).UnixNano() {
				r.Expires += int64(time.Second)
			}
			return r
		}}
	}},
	{"drops what has a ttl", "an acknowledged write is lost", func() hooks {
		return hooks{replay: func(r record, _ bool) record {
			r.Deleted = r.Deleted || r.Expires != 0
			return r
		}}
	}},
	{"counts twice", "a wrong count", func() hooks {
		return hooks{replay: func(r record, last bool) record { return counted(r, 100) }}
	}},
	{"does not count", "a wrong count", func() hooks {
		return hooks{replay: func(r record, last bool) record { return counted(r, -1) }}
	}},
	{"mixes values up", "the value of another key", func() hooks {
		return hooks{replay: func(r record, _ bool) record {
			r.Value = bytes.Replace(r.Value, []byte("writer1:"), []byte("writer0:"), 1)
			return r
		}}
	}},
	{"lists a key that nobody wrote", "nobody ever meant to write it", func() hooks {
		return hooks{list: func(keys []string, _ string) []string { return append(keys, "zzz:ghost") }}
	}},
	{"leaves keys out of listings", "the listing before had no such key", func() hooks {
		return hooks{list: func(keys []string, _ string) []string {
			return slices.DeleteFunc(keys, func(key string) bool { return strings.HasPrefix(key, "writer3:") })
		}}
	}},
	{"lists keys that are not there", "listed, though nothing is there", func() hooks {
		return hooks{list: func(_ []string, cursor string) []string {
			return slices.DeleteFunc(ownKeys(), func(key string) bool { return key <= cursor })
		}}
	}},
	{"lists without an end", "has no end", func() hooks {
		return hooks{list: func(keys []string, _ string) []string { return append(keys, ownKeys()...) }}
	}},
	{"answers a sum before", "a wrong sum", func() hooks {
		return hooks{incr: func(sum float64) float64 { return sum - 1 }}
	}},
	{"answers that it swapped", "a wrong answer", func() hooks {
		return hooks{swap: func(bool) bool { return true }}
	}},
	{"answers that nothing existed", "a wrong (answer|count)", func() hooks {
		return hooks{delete: func(bool) bool { return false }}
	}},
	{"miscounts a batch of deletes", "a wrong count", func() hooks {
		return hooks{count: func(n int) int { return n + 1 }}
	}},
	{"fails in a child", "in a child: .*the disk is on fire", func() hooks {
		return hooks{append: func(*os.File, []byte) error { return errors.New("the disk is on fire") }}
	}},
	{"ends its process", "a child ended by itself", func() hooks {
		return hooks{append: func(*os.File, []byte) error { os.Exit(3); return nil }}
	}},
	{"does not open what a crash left", "open after a crash: the log is corrupt", func() hooks {
		return hooks{open: func() error { return inParent(errors.New("the log is corrupt")) }}
	}},
}

// counted adds to a record of a shared counter.
func counted(r record, n float64) record {
	if strings.HasPrefix(r.Key, "counter:") {
		sum, _ := value.ParseNumber(r.Value)
		r.Value = value.AppendNumber(nil, sum+n)
	}
	return r
}

func TestRun_EveryFault_IsCaughtAndNamed(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { wantCaught(t, toyWith(20, f.hooks), f.want) })
	}
}

// wantCaught states that the report on a target matches want. It is Run for a target that must not pass.
func wantCaught(t *testing.T, target Target, want string) {
	t.Helper()
	if target.isChild(t) {
		return
	}
	faults := target.crash(t, target.cycles())
	if report := errors.Join(faults...); report == nil || !regexp.MustCompile(want).MatchString(report.Error()) {
		t.Errorf("want a report of %q, got %v", want, report)
	}
}

// inParent returns err where the folder is verified, nil in a child.
func inParent(err error) error {
	if os.Getenv(envTest) != "" {
		return nil
	}
	return err
}

func TestRun_AStoreThatOpensSlowly_IsCaught(t *testing.T) {
	wantCaught(t, toyWith(lanes, func() hooks {
		return hooks{open: func() error {
			if inParent(store.ErrTimeout) != nil {
				<-time.After(boundtest.Scale(mostOpening) + 50*time.Millisecond)
			}
			return nil
		}}
	}), "opening after a crash took")
}

func TestRun_AStoreThatHangs_IsCaught(t *testing.T) {
	hanging := toyWith(20, func() hooks {
		return hooks{append: func(*os.File, []byte) error { <-time.After(time.Hour); return nil }}
	})
	hanging.patience = 200 * time.Millisecond
	wantCaught(t, hanging, `a child has acknowledged \d+ writes after`)
}

// TestCycles_GrowWithTheScale pins how long the runs are that the issue states.
func TestCycles_GrowWithTheScale(t *testing.T) {
	few := 1
	if boundtest.Race || testing.Short() {
		few = 10
	}
	for scale, want := range map[string]int{"": 300, "1": 300, "2": 600, "20": 10_000, "100": 30_000, "0.001": lanes * few} {
		t.Setenv("STORETEST_SCALE", scale)
		if got := (Target{}).cycles(); got != want/few {
			t.Errorf("with a scale of %q: %d cycles, want %d", scale, got, want/few)
		}
	}
}
