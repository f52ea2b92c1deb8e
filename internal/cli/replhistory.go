package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"unicode/utf8"
)

// historyLimit is how many lines are kept.
const historyLimit = 1000

// historyFile returns where lines are kept unless a flag says it, "" where the environment does not tell.
func (a *app) historyFile() string {
	for _, folder := range []struct {
		variable string
		below    []string
		windows  bool
	}{
		{"XDG_STATE_HOME", nil, false},
		{"HOME", []string{".local", "state"}, false},
		{"LOCALAPPDATA", nil, true},
	} {
		if path, _ := a.lookupEnv(folder.variable); filepath.IsAbs(path) && folder.windows == (runtime.GOOS == "windows") {
			return filepath.Join(append(append([]string{path}, folder.below...), "luastore", "history")...)
		}
	}
	return ""
}

// A history is the file of lines that were typed, by this session and others, even at the same time. Only its owner can read it.
type history struct {
	name string               // "" for none
	tell func(message string) // shows a line, of what fails, once
	last string               // that was added
}

// openHistory returns the history in a file.
func openHistory(name string, tell func(message string)) *history {
	return &history{name: name, tell: tell}
}

// read returns the last lines, oldest first.
func (h *history) read() []string {
	lines, err := h.load()
	if err != nil {
		h.fail(err)
	}
	return lines[max(len(lines)-historyLimit, 0):]
}

// load returns all lines of the file that an editor can show.
func (h *history) load() (lines []string, err error) {
	if h.name == "" {
		return nil, nil
	}
	f, err := os.Open(h.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" && utf8.ValidString(line) {
			lines = append(lines, line)
		}
		if err != nil {
			return lines, nil // what could be read is better than nothing
		}
	}
}

// secret finds what looks like a URL with a password, which of some servers is the token in the place of the user.
var secret = regexp.MustCompile(`://.*@|[?&](?i)[\w.-]*(?:passw|pwd|token|secret)[\w.-]*=`)

// add keeps a line, unless it repeats the one before or seems to hold a password. Each is on disk at once: the session may be killed.
func (h *history) add(line string) {
	if h.name == "" || line == h.last || secret.MatchString(line) {
		return
	}
	h.last = line
	if err := h.append(line + "\n"); err != nil {
		h.fail(err)
	}
}

func (h *history) append(text string) error {
	if err := os.MkdirAll(filepath.Dir(h.name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(h.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// close drops the oldest lines, in one step: whoever reads the file finds the whole of it.
func (h *history) close() {
	lines, err := h.load()
	if err != nil || len(lines) <= historyLimit {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(h.name), ".history-*.tmp") // which its owner alone can read
	if err != nil {
		return // there is another time
	}
	_, err = f.WriteString(strings.Join(lines[len(lines)-historyLimit:], "\n") + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), h.name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

// fail tells that lines are not kept, and keeps none any more.
func (h *history) fail(err error) {
	var reason *fs.PathError
	if errors.As(err, &reason) {
		err = reason.Err
	}
	h.tell(fmt.Sprintf("luastore: what is typed is not kept in %s: %v (--history names another file)\n", shownPath(h.name), err))
	h.name = ""
}
