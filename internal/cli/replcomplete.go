package cli

import (
	"regexp"
	"slices"
	"strings"
)

// What stands before the cursor.
var (
	idBegun   = regexp.MustCompile(`\bstore\.get\s*(\(?)\s*(["'])([^"']*)$`)
	nameBegun = regexp.MustCompile(`(?:^|[^\w.:)\]"'])(?:([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)([.:]))?([A-Za-z_]\w*)?$`)
)

// keywords are the words of Lua that are worth completing.
var keywords = strings.Fields("break else elseif end false for function local nil not repeat return then true until while")

// complete returns what the word before the cursor, which stands behind pos characters, can be, between the head and the tail of the line
// that stay as they are.
func (r *repl) complete(line string, pos int) (head string, words []string, tail string) {
	chars := []rune(line)
	before, tail := string(chars[:pos]), string(chars[pos:])
	begun, candidates, closing := r.candidates(before)
	for _, c := range candidates {
		if strings.HasPrefix(c, begun) {
			words = append(words, c)
		}
	}
	slices.Sort(words)
	if len(words) == 1 && tail == "" {
		words[0] += closing
	}
	return strings.TrimSuffix(before, begun), words, tail
}

// candidates returns the word that ends at the cursor, all that may stand in its place, and what follows where only one may.
func (r *repl) candidates(before string) (begun string, all []string, closing string) {
	if text := strings.TrimLeft(before, " "); !r.continues() && strings.HasPrefix(text, ".") {
		if begun, ok := strings.CutPrefix(text, ".time "); ok {
			return begun, []string{"off", "on"}, ""
		}
		return text, replCommands, ""
	}
	if m := idBegun.FindStringSubmatch(before); m != nil {
		return m[3], union(r.opened.ids(), r.used.ids()), m[2] + strings.Repeat(")", len(m[1]))
	}
	m := nameBegun.FindStringSubmatch(before)
	if m == nil || m[1] == "" && m[3] == "" { // a list of all globals helps nobody
		return "", nil, ""
	}
	path, begun := m[1], m[3]
	switch m[2] {
	case "":
		return begun, slices.Concat(r.session.Names(""), keywords), ""
	case ":":
		path += ":"
	}
	return begun, r.session.Names(path), ""
}
