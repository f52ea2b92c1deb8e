//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store/internal/boundtest"
)

// mute is a server that takes connections and says nothing. Its channel tells of each.
func mute(t *testing.T) (address string, met <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	came := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			came <- struct{}{}
		}
	}()
	return listener.Addr().String(), came
}

// Whatever a command waits for: an interrupt ends it within a second, with exit code 1 and a word about it.
func TestInterrupt_OfACommandThatWaits_EndsItWithinASecond(t *testing.T) {
	const endBound = time.Second
	program := build(t)
	address, met := mute(t)
	folder := t.TempDir()
	for name, text := range map[string]string{
		"get.lua":  `local s = assert(require("store").get("mute")) print(s:get("a:b"))`,
		"in.jsonl": `{"key":"a:b","value":1}` + "\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store := "--store mute=redis://" + address + " "
	for _, line := range []string{
		"run " + store + "get.lua",
		"run --isolate " + store + "get.lua",
		"kv get " + store + "mute a:b",
		"kv set " + store + "mute a:b 1",
		"kv delete " + store + "mute a:b",
		"kv has " + store + "mute a:b",
		"kv ls " + store + "mute",
		"kv ttl " + store + "mute a:b",
		"kv touch " + store + "mute a:b",
		"kv incr " + store + "mute a:b",
		"kv export " + store + "mute -o out.jsonl",
		"kv import " + store + "mute in.jsonl",
		"check " + store,
	} {
		args := strings.Fields(line)
		t.Run(args[0]+" "+args[1], func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Dir = folder
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-met
			start := time.Now()
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			code, killed := exit(cmd.Wait())
			if took := time.Since(start); took > boundtest.Scale(endBound) {
				t.Errorf("it ended after %v", took)
			}
			if code != 1 || killed != 0 || stdout.Len() > 0 || !strings.HasPrefix(stderr.String(), "luastore: ") || !strings.Contains(stderr.String(), "interrupt") {
				t.Errorf("exit %d, signal %v\n%s%s", code, killed, &stdout, &stderr)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(folder, "out.jsonl")); err == nil {
		t.Error("an export that was stopped left its file")
	}
}
