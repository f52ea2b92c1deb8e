package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxSecret is how long a file may be that ${file:path} stands for, in bytes.
const maxSecret = 64 << 10

// An expander replaces ${NAME} and ${file:path} in the values of a file.
type expander struct {
	lookup func(name string) (string, bool)
	folder string // that paths are relative to
}

// A filled value is a text after expansion.
type filled struct {
	text  string
	parts []string // what was put in; nothing of it may be shown
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand returns text with its references replaced. What they stand for is not looked at again, and passes through escape before it
// is put in. An error repeats names only.
func (x *expander) expand(text string, escape func(string) string) (filled, error) {
	var b strings.Builder
	var out filled
	for {
		before, after, ok := strings.Cut(text, "$")
		b.WriteString(before)
		switch {
		case !ok:
			out.text = b.String()
			return out, nil
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "{"):
			name, rest, closed := strings.Cut(after[1:], "}")
			if !closed {
				return filled{}, errors.New("${ without its }: close it, or write $${ for the characters themselves")
			}
			part, err := x.value(name)
			if err != nil {
				return filled{}, err
			}
			out.parts = append(out.parts, part)
			b.WriteString(escape(part))
			text = rest
		default:
			b.WriteByte('$')
			text = after
		}
	}
}

// value returns what a reference stands for.
func (x *expander) value(reference string) (string, error) {
	if path, ok := strings.CutPrefix(reference, "file:"); ok {
		return x.file(path)
	}
	if !variableName.MatchString(reference) {
		return "", errors.New("bad name in ${…}: want ${NAME} of letters, digits and _, or ${file:path}; $${ stands for the characters themselves")
	}
	v, ok := x.lookup(reference)
	if !ok {
		return "", fmt.Errorf("environment variable %s is not set", reference)
	}
	return v, nil
}

// file returns what a file holds, without the newline that editors put at the end.
func (x *expander) file(path string) (string, error) {
	if path == "" {
		return "", errors.New("no path in ${file:}: want one such as ${file:/run/secrets/redis}")
	}
	where := path
	if !filepath.IsAbs(where) {
		where = filepath.Join(x.folder, where)
	}
	text, err := readRegular(where, maxSecret)
	if err != nil {
		return "", fmt.Errorf("cannot read the file of ${file:%s}: %w", path, bare(err))
	}
	line, _ := strings.CutSuffix(string(text), "\n")
	line, _ = strings.CutSuffix(line, "\r")
	return line, nil
}

var errNoFile = errors.New("it is no regular file")

// readRegular returns what is in a regular file of at most so many bytes: a pipe could make its reader wait for ever.
func readRegular(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNoFile
	}
	return readFile(path, most)
}

// readFile is readRegular for what is known to be one.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("too large: at most %d KB", most>>10)
	}
	return text, err
}

var quotedPart = regexp.MustCompile(`"[^"]*"`)

// concealed returns a message of somebody else's about a value, without what was put into the value: quotations of it are left out, and
// where that is not enough, the message.
func (v filled) concealed(message string) string {
	message = quotedPart.ReplaceAllStringFunc(message, func(quotation string) string {
		for _, part := range v.parts {
			if inner := strings.Trim(quotation, `"`); inner != "" && (strings.Contains(part, inner) || strings.Contains(inner, part)) {
				return `"` + hidden + `"`
			}
		}
		return quotation
	})
	for _, part := range v.parts {
		if part != "" && strings.Contains(message, part) {
			return "refused, for a reason that would show what ${…} stands for: check that value"
		}
	}
	return message
}
