package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/luastore/store/internal/redistest"
)

// Every command that README shows for scripts runs as it stands, with a Redis and a folder of the test's in the place of the reader's.
func TestREADME_CommandsRun(t *testing.T) {
	t.Chdir("../..")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("redis://localhost:6379/0", redistest.Shared(t).URL(), "sqlite:", "sqlite:"+t.TempDir()+"/", "pebble:", "pebble:"+t.TempDir()+"/")
	commands := 0
	for line := range strings.Lines(string(readme)) {
		command, found := strings.CutPrefix(line, "go run ./cmd/luastore ")
		if !found {
			continue
		}
		commands++
		command, _, _ = strings.Cut(command, "#")
		args := strings.Fields(here.Replace(command))
		var stdout, stderr bytes.Buffer
		if code := Main(t.Context(), args, nil, &stdout, &stderr, nil); code != 0 || stdout.Len() == 0 {
			t.Errorf("%s: exit %d\n%s%s", command, code, &stdout, &stderr)
		}
	}
	if commands < 4 {
		t.Errorf("README has %d commands that run scripts", commands)
	}
}
