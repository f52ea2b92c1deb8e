package cli

import (
	"strings"
	"testing"
	"time"
)

func TestIsolate_InsideAnotherProgram_IsRefused(t *testing.T) {
	folder(t, "ok.lua", "")
	if got := luastore(t, "run", "--isolate", "ok.lua"); got.code != 2 || got.stdout != "" {
		t.Errorf("got %+v", got)
	}
}

func TestRun_Memory_BoundsTheHeap(t *testing.T) {
	folder(t, "ok.lua", "", "keep.lua", "local t = {} for i = 1, 1e9 do t[i] = { i } end")
	got := luastore(t, "run", "--memory", "1G", "ok.lua")
	want := "luastore: invalid argument \"1G\" for \"--memory\" flag: want a size such as 256MB, 1GB or 64MiB, or a number of bytes\n" +
		"See luastore run --help\n"
	if got.code != 2 || got.stdout != "" || got.stderr != want {
		t.Errorf("got %+v", got)
	}
	got = luastore(t, "run", "--memory", "16MB", "keep.lua")
	want = "luastore: script stopped: it needed more than 16 MB of memory\nstack traceback:\n\t"
	if got.code != 1 || got.stdout != "" || !strings.HasPrefix(got.stderr, want) {
		t.Errorf("got %+v", got)
	}
}

func TestLimits_FollowTheFlags(t *testing.T) {
	for _, c := range []struct {
		options runOptions
		want    limits
	}{
		{runOptions{isolate: true}, limits{Memory: 512 << 20}},
		{runOptions{isolate: true, memory: 1 << 30}, limits{Memory: 1 << 30}},
		{runOptions{isolate: true, timeout: 1}, limits{Memory: 512 << 20, Processor: 2 * time.Second}},
		{runOptions{isolate: true, timeout: 10 * time.Second}, limits{Memory: 512 << 20, Processor: 11 * time.Second}},
		{runOptions{isolate: true, timeout: 10*time.Second + 1}, limits{Memory: 512 << 20, Processor: 12 * time.Second}},
		{runOptions{isolate: true, timeout: 1<<63 - 1}, limits{Memory: 512 << 20}}, // as good as none
	} {
		if got := c.options.limits(); got != c.want {
			t.Errorf("%+v: got %+v, want %+v", c.options, got, c.want)
		}
	}
}
