package config

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// hidden stands for text of the file that an error does not show.
const hidden = "…"

// maxShown is how many characters of a line an error shows.
const maxShown = 100

// A source is the text of a file with what is known about its lines. Errors show lines by it: keys as the parser found them, values
// only of fields that hold no secret, and never what no key explains.
type source struct {
	lines []string
	keys  map[int][]*mark // by line
}

// A mark is where a key stands in its line.
type mark struct {
	column int // from 1, in characters
	name   string
	open   bool // its value, on the same line, may be shown
}

func newSource(text string) *source {
	return &source{lines: strings.Split(text, "\n"), keys: map[int][]*mark{}}
}

// add remembers a key that the parser found.
func (s *source) add(line, column int, name string) *mark {
	m := &mark{column: column, name: name}
	s.keys[line] = append(s.keys[line], m)
	return m
}

// show returns a line as an error may show it, and how many of its characters are before the column.
func (s *source) show(line, column int) (text string, caret int) {
	if line < 1 || line > len(s.lines) {
		return "", 0
	}
	c := &cover{column: column}
	raw := []rune(s.lines[line-1])
	marks := slices.SortedFunc(slices.Values(s.keys[line]), func(a, b *mark) int { return cmp.Compare(a.column, b.column) })
	marks = slices.DeleteFunc(marks, func(m *mark) bool { return m.column < 1 || m.column > len(raw) })
	c.add(1, leading(string(raw[:start(marks, 0, len(raw))])))
	for i, m := range marks {
		last := i == len(marks)-1
		c.add(m.column, m.segment(string(raw[m.column-1:start(marks, i+1, len(raw))]), last))
	}
	if strings.Trim(c.text.String(), " "+hidden) == "" {
		return "", 0
	}
	return window(c.text.String(), c.at)
}

// start returns the offset of the i-th key, or that of the end of the line.
func start(marks []*mark, i, end int) int {
	if i < len(marks) {
		return marks[i].column - 1
	}
	return end
}

// A cover is a line that is being written as it may be shown, and where a column of the true line is in it.
type cover struct {
	text   strings.Builder
	length int // of text, in characters
	column int // that is looked for
	at     int // where it is, in characters, within the last part that begins before it
}

// add writes the part that begins at a column of the true line.
func (c *cover) add(column int, part string) {
	n := len([]rune(part))
	if column <= c.column {
		c.at = c.length + min(c.column-column, max(n-1, 0))
	}
	c.text.WriteString(part)
	c.length += n
}

var (
	structure   = regexp.MustCompile(`^[-{}\[\], ]*`)
	placeholder = regexp.MustCompile(`^["']?\$\{(?:[A-Za-z0-9_]+|file:[A-Za-z0-9_./-]+)\}["']?[\s,}\]]*$`)
	scheme      = regexp.MustCompile(`^["']?[A-Za-z][A-Za-z0-9+.-]*://`)
	shownName   = regexp.MustCompile(`^[\pL\pN_.:-]{1,64}$`)
)

// leading returns what stands before the first key of a line.
func leading(text string) string {
	frame := structure.FindString(text)
	return frame + withoutValue(text[len(frame):])
}

// segment returns a key with its value, as far as both may be shown. text reaches to the next key, if there is one.
func (m *mark) segment(text string, last bool) string {
	key := m.name + ":"
	if quoted := strconv.Quote(m.name) + ":"; strings.HasPrefix(text, quoted) {
		key = quoted
	}
	value, ok := strings.CutPrefix(text, key)
	if !ok || !shownName.MatchString(m.name) {
		return hidden
	}
	plain := strings.TrimLeft(value, " ")
	key += value[:len(value)-len(plain)]
	switch {
	case m.open && harmless(plain) && last:
		return key + withoutComment(plain)
	case m.open && harmless(plain):
		return key + plain
	}
	frame := structure.FindString(plain)
	covered := withoutValue(plain[len(frame):])
	if covered != "" && !last {
		covered += ", "
	}
	return key + frame + covered
}

// harmless reports whether the value of a field that holds no secret has nothing in it that could be one: part of a URL, or of a text
// that goes on in the next line.
func harmless(value string) bool {
	return !strings.Contains(value, "://") && !strings.Contains(value, "@") &&
		strings.Count(value, `"`)%2 == 0 && strings.Count(value, "'")%2 == 0
}

// withoutComment cuts off a comment.
func withoutComment(value string) string {
	if at := strings.Index(value, " #"); at >= 0 {
		return strings.TrimRight(value[:at], " ")
	}
	return strings.TrimRight(value, " ")
}

// withoutValue returns what may be shown of a value whatever it is: nothing, or the scheme of a URL, or the name of a variable.
func withoutValue(value string) string {
	value = strings.TrimRight(value, " ")
	switch {
	case value == "" || strings.HasPrefix(value, "#"):
		return ""
	case value == `""` || value == "''" || value == "|" || value == ">" || placeholder.MatchString(value):
		return value
	}
	return scheme.FindString(value) + hidden
}

// window cuts a long line to what is around the caret and makes control characters visible.
func window(line string, caret int) (text string, at int) {
	runes := []rune(line)
	from := 0
	if len(runes) > maxShown {
		from = max(0, min(caret-maxShown/2, len(runes)-maxShown))
	}
	to := min(len(runes), from+maxShown)
	var b strings.Builder
	if from > 0 {
		b.WriteString(hidden)
	}
	for i, r := range runes[from:to] {
		if from+i == caret {
			at = len([]rune(b.String()))
		}
		b.WriteString(visible(r))
	}
	if to < len(runes) {
		b.WriteString(hidden)
	}
	if caret >= to {
		at = len([]rune(b.String()))
	}
	return strings.TrimRight(b.String(), " "), at
}

// visible returns a character as a terminal may be given it.
func visible(r rune) string {
	if unicode.IsPrint(r) {
		return string(r)
	}
	quoted := strconv.QuoteRune(r)
	return quoted[1 : len(quoted)-1]
}
