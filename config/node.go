package config

import (
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// A kind says what a node is.
type kind int

const (
	text     kind = iota // a string, plain or in quotes
	number               // a plain number
	boolean              // a plain true or false
	empty                // nothing, ~ or null
	sequence             // a list
	mapping              // fields
)

// kinds names what a person wrote.
var kinds = map[kind]string{
	text: "text", number: "a number", boolean: "true or false", empty: "nothing", sequence: "a list", mapping: "a mapping",
}

// A node is one value of a file, or a key.
type node struct {
	kind   kind
	line   int
	column int
	text   string // of text, number and boolean
	quoted bool
	items  []*node // of a sequence
	fields []field // of a mapping, in their order
}

// A field is one key with its value.
type field struct {
	key   *node
	mark  *mark // in the source
	value *node
}

// what names what a person wrote, for errors.
func (n *node) what() string {
	if n.kind == mapping && len(n.fields) == 0 {
		return kinds[empty]
	}
	return kinds[n.kind]
}

// node returns the tree below a node of the parser, whose positions it makes those of the file.
func (f *file) node(n ast.Node) *node {
	t := n.GetToken()
	line, column := f.place(t)
	made := &node{line: line, column: column, text: t.Value}
	switch n := n.(type) {
	case *ast.MappingNode:
		made.kind = mapping
		for _, v := range n.Values {
			made.fields = append(made.fields, f.field(v))
		}
		made.begin()
	case *ast.MappingValueNode:
		made.kind = mapping
		made.fields = []field{f.field(n)}
		made.begin()
	case *ast.SequenceNode:
		made.kind = sequence
		for _, v := range n.Values {
			made.items = append(made.items, f.node(v))
		}
	case *ast.LiteralNode:
		made.quoted = true
		made.text = n.Value.Value
	case *ast.StringNode:
		made.quoted = t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		made.kind = number
	case *ast.BoolNode:
		made.kind = boolean
	case *ast.NullNode:
		made.kind = empty
	default:
		f.add(line, column, "this part of YAML is not supported")
	}
	return made
}

// begin makes the place of a mapping that of its first key, for one without brackets.
func (n *node) begin() {
	if n.text != "{" && len(n.fields) > 0 {
		n.line, n.column = n.fields[0].key.line, n.fields[0].key.column
	}
}

// field returns one field of a mapping.
func (f *file) field(v *ast.MappingValueNode) field {
	key := f.node(v.Key)
	value := f.node(v.Value)
	if value.kind == empty && value.text == "null" && !f.stands(value) {
		value.line, value.column = key.line, key.column // nothing is nowhere: show where it was forgotten
	}
	return field{key: key, mark: f.source.add(key.line, key.column, key.text), value: value}
}

// stands reports whether the text of a node is in the file where its place says.
func (f *file) stands(n *node) bool {
	line := []rune(f.source.lines[n.line-1])
	at := min(n.column-1, len(line))
	return strings.HasPrefix(string(line[at:]), n.text)
}

// shown reports whether a text may be repeated in a message: it is short, of one line, nothing was put into it, and it is no part of
// a URL.
func (n *node) shown() bool {
	return n.text != "" && utf8.RuneCountInString(n.text) <= 64 && !strings.ContainsAny(n.text, "$@\n") && !strings.Contains(n.text, "://")
}
