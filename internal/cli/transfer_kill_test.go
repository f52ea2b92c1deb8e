package cli

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// killed starts the command as a process of its own, gives it a part of its input, and kills it when it has taken that.
func killed(t *testing.T, input string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "luastore", args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, input); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it ended before it was killed")
	}
}

// ran runs the command as a process of its own and returns its standard output.
func ran(t *testing.T, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "luastore", args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

// TestImport_Killed_EndsTheSame kills an import at three places and starts it again each time: in the end the store holds what it would after
// one import, entries that were there before included.
func TestImport_KilledAndStartedAgain_EndsTheSame(t *testing.T) {
	const entries = 6000
	now := time.Now()
	var file strings.Builder
	file.Write(appendHeader(nil, "s", now))
	for i := range entries {
		key, expires := fmt.Sprintf("t:%d", i%(entries-500)), time.Time{} // some come twice
		switch i % 10 {
		case 3:
			expires = now.Add(time.Hour)
		case 7:
			expires = now.Add(-time.Hour)
		}
		v := append([]byte{0xd9, 100}, strings.Repeat("x", 100)...)
		file.Write(appendEntry(nil, key, append([]byte{0x92, byte(i % 100)}, v...), expires))
	}
	file.Write(appendEnd(nil, entries))
	text := file.String()
	before := `{"key":"t:7","value":"gone"}` + "\n" + `{"key":"t:8","value":"replaced"}` + "\n" + `{"key":"u:1","value":"stays"}` + "\n"
	for _, scheme := range []string{"sqlite", "pebble"} {
		t.Run(scheme, func(t *testing.T) {
			dir := t.TempDir()
			stores := map[string]string{}
			for _, id := range []string{"once", "killed"} {
				stores[id] = "s=" + scheme + ":" + filepath.Join(dir, id)
				ran(t, before, "kv", "import", "--store", stores[id], "s")
			}
			ran(t, text, "kv", "import", "--store", stores["once"], "s")
			for _, part := range []int{len(text) / 4, len(text) / 2, len(text) * 3 / 4} {
				killed(t, text[:part], "kv", "import", "--store", stores["killed"], "s")
			}
			ran(t, text, "kv", "import", "--store", stores["killed"], "s")
			want := exportLines(t, ran(t, "", "kv", "export", "--store", stores["once"], "s"))
			got := exportLines(t, ran(t, "", "kv", "export", "--store", stores["killed"], "s"))
			if len(got) != len(want) || len(want) < entries/2 {
				t.Fatalf("%d entries, want %d", len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%s, want %s", got[i], want[i])
				}
			}
		})
	}
}
