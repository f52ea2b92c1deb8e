package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHead_TellsWhetherMemoryRanOut(t *testing.T) {
	const rest = "\n\ngoroutine 1 [running]:\nmain.main()\n"
	for text, want := range map[string]bool{
		"runtime: out of memory: cannot allocate 4194304-byte block (8388608 in use)\nfatal error: out of memory":            true,
		"fatal error: runtime: cannot allocate memory":                                                                       true,
		"fatal error: out of memory allocating heap arena metadata":                                                          true,
		"fatal error: too many address space collisions for -race mode":                                                      true,
		"runtime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort":                               true,
		"SIGSEGV: segmentation violation\nPC=0x43797d m=4 sigcode=1 addr=0x0":                                                true,
		"a library complains\nSIGSEGV: segmentation violation\nPC=0x43797d m=4 sigcode=1 addr=0x18":                          true,
		"fatal error: unexpected signal during runtime execution\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0": true,
		"SIGSEGV: segmentation violation\nPC=0x43797d m=4 sigcode=1 addr=0x7f0012":                                           false,
		"panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: code=0x1 addr=0x0 pc=0x1": false,
		"fatal error: all goroutines are asleep - deadlock!":                                                                 false,
		"": false,
	} {
		var h head
		for _, part := range []string{text, rest} {
			if n, err := h.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatalf("wrote %d, %v", n, err)
			}
		}
		if got := h.outOfMemory(); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestHead_KeepsNoMoreThanItsSize(t *testing.T) {
	var h head
	part := make([]byte, headSize/2+1)
	for range 5 {
		if n, err := h.Write(part); n != len(part) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if len(h.text) != headSize {
		t.Errorf("kept %d bytes", len(h.text))
	}
}

// What keeps a child from limiting itself here is that it never hears its limits.
func TestChild_WithoutLimits_DoesNotRun(t *testing.T) {
	name := filepath.Join(t.TempDir(), "stderr")
	stderr, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p := &Process{Args: []string{"version"}, Stdout: stderr, Stderr: stderr}
	code := p.mainLimited(t.Context(), json.NewDecoder(strings.NewReader("")), nil)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := "luastore: cannot limit an isolated process here, where the system forbids it: EOF\n"
	if code != exitConfig || string(text) != want {
		t.Errorf("got %d, %s", code, text)
	}
}
