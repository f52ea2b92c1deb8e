package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// envCommand makes this test binary the command. What it holds names what a child does besides.
const envCommand = "LUASTORE_TEST_COMMAND"

// misdeeds are what the child of an isolated command does besides running the script, or instead of it.
var misdeeds = map[string]func(){
	"takes memory":    func() { go whenLimited(takeMemory) },
	"spins":           func() { go whenLimited(spin) },
	"spins for ever":  func() { go whenLimited(func() { signal.Ignore(syscall.SIGXCPU); spin() }) },
	"panics":          func() { go whenLimited(func() { panic("a mistake in Go") }) },
	"writes an error": func() { os.Stderr.WriteString("a library complains\n") },
	"hangs":           hang,
}

func TestMain(m *testing.M) {
	command, ok := os.LookupEnv(envCommand)
	if !ok {
		os.Exit(m.Run())
	}
	if misdeed := misdeeds[command]; misdeed != nil && os.Args[1] != "run" {
		misdeed()
	}
	main()
}

// whenLimited calls f when the memory of this process is limited.
func whenLimited(f func()) {
	for limit := new(syscall.Rlimit); ; runtime.Gosched() {
		if err := syscall.Getrlimit(syscall.RLIMIT_AS, limit); err != nil || limit.Cur < 1<<62 {
			f()
			return
		}
	}
}

// takeMemory takes all that the kernel gives, where package script cannot see it, and then lets Go have none.
func takeMemory() {
	for err := error(nil); err == nil; {
		_, err = syscall.Mmap(-1, 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	}
	type block struct {
		next *block
		_    [1 << 20]byte
	}
	for all := (*block)(nil); ; {
		all = &block{next: all}
	}
}

// spin uses processor time, on so many threads that it gets its share of a busy machine, until it overflows, which it does not live to
// see.
func spin() {
	const threads = 8
	runtime.GOMAXPROCS(threads)
	var all sync.WaitGroup
	for range threads {
		all.Go(func() {
			for i := uint64(1); i > 0; i++ {
			}
		})
	}
	all.Wait()
}

// hang says who it is and does nothing that it is told.
func hang() {
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	fmt.Println(os.Getpid())
	select {}
}

// command returns the command as a process that does a misdeed in its child, "" for none. A test that hangs kills it.
func command(t *testing.T, misdeed, stdin string, args ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"run"}, args...)...)
	cmd.Env = append(os.Environ(), envCommand+"="+misdeed)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

// pipe returns the ends of a pipe that is open until the test ends.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// An outcome is what is seen of a process that has ended.
type outcome struct {
	code           int
	signal         syscall.Signal
	stdout, stderr string
}

// ended runs a process to its end.
func ended(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	code, killed := exit(cmd.Wait())
	return outcome{code, killed, stdout.String(), stderr.String()}
}

// waitGone waits until the process has ended whose id is the first line, and kills it when it does not. One that has ended may still
// be there as a zombie, where no init reaps orphans.
func (r *running) waitGone(t *testing.T) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(r.first))
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(10 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the child outlived its parent")
		}
	}
}

func TestIsolate_ShowsWhatItShowsWithout(t *testing.T) {
	script := filepath.Join(t.TempDir(), "hello.lua")
	if err := os.WriteFile(script, []byte(`print("hello", ...)`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		stdin string
		args  []string
		code  int
	}{
		"arguments":            {"", []string{script, "--isolate", "a b", ""}, 0},
		"standard input":       {`print(arg[0], require("store").get("a"):set("b:c", 1))`, []string{"-"}, 0},
		"an error":             {"local function f() error('boom') end\nprint(1) f()", []string{"-"}, 1},
		"a syntax error":       {"x = = 1", []string{"-"}, 1},
		"a timeout":            {"while true do end", []string{"--timeout", "100ms", "-"}, 1},
		"no script":            {"", nil, 2},
		"no such script":       {"", []string{"none.lua"}, 2},
		"an unknown flag":      {"", []string{"--isolated", script}, 2},
		"a timeout below zero": {"", []string{"--timeout", "-1s", script}, 2},
		"a wrong store":        {"", []string{"--store", "a=mem:?x=1", script}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			want := ended(t, command(t, "", c.stdin, c.args...))
			if want.code != c.code || (want.stdout+want.stderr) == "" {
				t.Fatalf("without --isolate: %+v", want)
			}
			got := ended(t, command(t, "", c.stdin, append([]string{"--isolate"}, c.args...)...))
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestIsolate_MemoryExhausted lets scripts take memory. Package script may stop one before the kernel does.
func TestIsolate_MemoryExhausted(t *testing.T) {
	for name, source := range map[string]string{
		"tables":         `local t = {} for i = 1, 1e12 do t[i] = { i } end`,
		"doubled string": `local s = "x" while true do s = s .. s end`,
		"long strings":   `local t = {} for i = 1, 1e12 do t[i] = ("x"):rep(1e7 + i) end`,
		"one string":     `local t = { ("x"):rep(1e9) } error("it was made")`,
		"coroutines":     `local t = {} for i = 1, 1e12 do t[i] = coroutine.create(print) coroutine.resume(t[i]) end`,
	} {
		t.Run(name, func(t *testing.T) {
			got := ended(t, command(t, "", source, "--isolate", "--memory", "100MB", "-"))
			clean := strings.HasPrefix(got.stderr, "luastore: ") && !strings.Contains(got.stderr, "goroutine ")
			if got.code != 1 || !clean || strings.Contains(got.stderr, "it was made") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestIsolate_ChildThatMisbehaves_IsToldOf(t *testing.T) {
	const loop = "while true do end"
	for _, c := range []struct {
		misdeed, stdin string
		args           []string
		code           int
		stderr         []string // parts of it, the whole if it is one
	}{
		{"takes memory", loop, []string{"--memory", "64MiB"}, 1, []string{"luastore: script stopped: it needed more than 64 MB of memory\n"}},
		{"takes memory", loop, nil, 1, []string{"luastore: script stopped: it needed more than 512 MB of memory\n"}},
		{"panics", loop, nil, 1, []string{"luastore: script stopped: its process ended by itself (exit status 2)\npanic: a mistake in Go\n", "goroutine "}},
		{"writes an error", "print(1)", nil, 0, []string{"a library complains\n"}},
	} {
		t.Run(c.misdeed, func(t *testing.T) {
			got := ended(t, command(t, c.misdeed, c.stdin, append(append([]string{"--isolate"}, c.args...), "-")...))
			if got.code != c.code || len(c.stderr) == 1 && got.stderr != c.stderr[0] {
				t.Errorf("got %+v", got)
			}
			for _, part := range c.stderr {
				if !strings.Contains(got.stderr, part) {
					t.Errorf("%q is missing in %s", part, got.stderr)
				}
			}
		})
	}
}

// TestIsolate_ProcessorTimeUsedUp has a child that waits for its script meanwhile: that is no part of the unit, which the timeout ends.
func TestIsolate_ProcessorTimeUsedUp(t *testing.T) {
	for misdeed, want := range map[string]string{
		"spins":          "luastore: stopped while reading the script: it used more than 2s of processor time\n",
		"spins for ever": "luastore: script stopped: it used more than 2s of processor time\n",
	} {
		t.Run(misdeed, func(t *testing.T) {
			cmd := command(t, misdeed, "", "--isolate", "--timeout", "1ms", "-")
			cmd.Stdin, _ = pipe(t)
			if got := ended(t, cmd); got.code != 1 || got.stderr != want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestIsolate_Timeout has a script that waits for what nothing ends, and one that comes only when that has been killed: to wait for it is no
// part of the unit.
func TestIsolate_Timeout_KillsAScriptThatWaits_AndNoneThatIsWaitedFor(t *testing.T) {
	late := command(t, "", "", "--isolate", "--timeout", "1s", "-")
	stdin, typing := pipe(t)
	var stdout, stderr strings.Builder
	late.Stdin, late.Stdout, late.Stderr = stdin, &stdout, &stderr
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	got := ended(t, command(t, "", `io.open("`+fifo+`")`, "--isolate", "--timeout", "1s", "--allow", "io", "-"))
	if got.code != 1 || got.stderr != "luastore: script stopped: it did not stop when it was told to, and was killed\n" {
		t.Errorf("one that waits: %+v", got)
	}
	if _, err := typing.WriteString(`print("here")`); err != nil {
		t.Fatal(err)
	}
	typing.Close()
	if code, killed := exit(late.Wait()); code != 0 || killed != 0 || stdout.String() != "here\n" || stderr.Len() > 0 {
		t.Errorf("one that was waited for: exit %d, signal %v, %s%s", code, killed, &stdout, &stderr)
	}
}

// A configuration may change while the script is still waited for, when the child, which takes SIGHUP with the script, would end of it.
func TestIsolate_HangupBeforeTheScriptBegins_ReloadsWhenItDoes(t *testing.T) {
	h := &hearer{folder: t.TempDir()}
	fifo := filepath.Join(h.folder, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	h.write(t, `stores: {before: "mem:"}`)
	h.cmd = command(t, "", "", "--isolate", fifo)
	var stdout, stderr strings.Builder
	h.cmd.Dir, h.cmd.Stdout, h.cmd.Stderr = h.folder, &stdout, &stderr
	heedHangup(t)
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() {
		h.cmd.Process.Kill()
		os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0) // for who waits that the child does
	})
	defer timer.Stop()
	script, err := os.OpenFile(fifo, os.O_WRONLY, 0) // which waits until the child reads it
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, `stores: {after: "mem:"}`)
	h.hangup(t)
	if _, err := script.WriteString(`while not require("store").get("after") do end print("after")`); err != nil {
		t.Fatal(err)
	}
	script.Close()
	code, killed := exit(h.cmd.Wait())
	told := strings.TrimPrefix(stderr.String(), "luastore: luastore.yaml was reloaded\n") // unless the script has ended by then
	if code != 0 || killed != 0 || stdout.String() != "after\n" || told != "" {
		t.Errorf("exit %d, signal %v, %s%s", code, killed, &stdout, &stderr)
	}
}

// TestIsolate_Interrupt_ReleasesTheStores sends a signal to the parent, or to both as a terminal does.
func TestIsolate_Interrupt_ReleasesTheStores(t *testing.T) {
	const loop = `local s = require("store").get("a") s:set("a:b", 1) print("ready") while true do s:incr("a:b") end`
	for name, c := range map[string]struct {
		signal syscall.Signal
		group  bool
		cause  string
	}{
		"interrupt":                   {syscall.SIGINT, false, "interrupt"},
		"interrupt from a terminal":   {syscall.SIGINT, true, "interrupt"},
		"terminated":                  {syscall.SIGTERM, false, "terminated"},
		"terminated as a whole group": {syscall.SIGTERM, true, "terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			flag := "a=sqlite:" + filepath.Join(t.TempDir(), "a.db")
			cmd := command(t, "", loop, "--isolate", "--store", flag, "-")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			r := begun(t, cmd)
			to := cmd.Process.Pid
			if c.group {
				to = -to
			}
			if err := syscall.Kill(to, c.signal); err != nil {
				t.Fatal(err)
			}
			code, killed := exit(cmd.Wait())
			if want := "luastore: script stopped: " + c.cause + " signal received\nstack traceback:\n"; code != 1 || killed != 0 || !strings.HasPrefix(r.stderr.String(), want) {
				t.Errorf("got exit %d, signal %v, %s", code, killed, &r.stderr)
			}
			after := ended(t, command(t, "", `print(require("store").get("a"):get("a:b") >= 1)`, "--store", flag, "-"))
			if after.stdout != "true\n" || after.stderr != "" {
				t.Errorf("afterwards: %+v", after)
			}
		})
	}
}

func TestIsolate_SecondInterrupt_EndsBoth(t *testing.T) {
	r := begun(t, command(t, "hangs", "", "--isolate", "-"))
	done := make(chan error, 1)
	go func() { done <- r.cmd.Wait() }()
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		if err := r.cmd.Process.Signal(os.Interrupt); errors.Is(err, os.ErrProcessDone) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if code, killed := exit(<-done); killed != syscall.SIGINT {
		t.Errorf("got exit %d, signal %v, %s", code, killed, &r.stderr)
	}
	r.waitGone(t)
}

// TestIsolate_KilledParent_LeavesNoChild kills a parent whose child listens to nobody.
func TestIsolate_KilledParent_LeavesNoChild(t *testing.T) {
	r := begun(t, command(t, "hangs", "", "--isolate", "-"))
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.cmd.Wait()
	r.waitGone(t)
}

func TestIsolate_KilledChild_IsToldOf(t *testing.T) {
	r := begun(t, command(t, "hangs", "", "--isolate", "-"))
	pid, err := strconv.Atoi(strings.TrimSpace(r.first))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	code, killed := exit(r.cmd.Wait())
	if want := "luastore: script stopped: its process was ended by signal 9 (killed)\n"; code != 1 || killed != 0 || r.stderr.String() != want {
		t.Errorf("got exit %d, signal %v, %s", code, killed, &r.stderr)
	}
}

func TestIsolate_NobodyElseBecomesAChild(t *testing.T) {
	cmd := command(t, "", "", "-")
	cmd.Args[1] = "isolated"
	r, w := pipe(t)
	cmd.ExtraFiles = []*os.File{w, r}
	if got := ended(t, cmd); got.code != 2 || !strings.HasPrefix(got.stderr, `luastore: unknown command "isolated"`) {
		t.Errorf("got %+v", got)
	}
}
