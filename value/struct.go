package value

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A structType is what is known of a struct type.
type structType struct {
	fields []field        // those that are stored, sorted by key
	byName map[string]int // their positions
	opaque bool           // it has fields, but none that is stored: it means something else than a table
}

// A field is one field of a struct that is stored.
type field struct {
	name      string
	key       []byte // stored form of name
	index     []int  // way through embedded structs
	omitEmpty bool
}

// structTypes remembers structOf, as reflection is slow and types are few.
var structTypes sync.Map // reflect.Type → *structType

// structOf returns what is known of a struct type.
func structOf(t reflect.Type) *structType {
	if s, ok := structTypes.Load(t); ok {
		return s.(*structType)
	}
	found := fieldWalk{fields: map[string]field{}, inside: map[reflect.Type]bool{}}
	found.visit(t, nil)
	s := &structType{byName: map[string]int{}, opaque: len(found.fields) == 0 && t.NumField() > 0}
	s.fields = slices.SortedFunc(maps.Values(found.fields), func(a, b field) int { return bytes.Compare(a.key, b.key) })
	for i, f := range s.fields {
		s.byName[f.name] = i
	}
	kept, _ := structTypes.LoadOrStore(t, s)
	return kept.(*structType)
}

// A fieldWalk collects the stored fields of a struct type and of those embedded in it.
type fieldWalk struct {
	fields map[string]field
	inside map[reflect.Type]bool // types on the way here: a struct may embed a pointer to itself
}

// visit collects the fields of t, which stands at index in the outermost struct.
func (w *fieldWalk) visit(t reflect.Type, index []int) {
	if w.inside[t] {
		return
	}
	w.inside[t] = true
	defer delete(w.inside, t)
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("store"), ",")
		at := append(slices.Clip(index), i)
		switch {
		case name == "-":
		case sf.Anonymous && name == "" && isTable(sf.Type):
			w.visit(pointedTo(sf.Type), at)
		case sf.IsExported():
			if name == "" {
				name = sf.Name
			}
			w.add(field{name: name, key: AppendString(nil, name), index: at, omitEmpty: options == "omitempty"})
		}
	}
}

// add keeps f unless its name is taken by a field that is as far out.
func (w *fieldWalk) add(f field) {
	if old, taken := w.fields[f.name]; !taken || len(f.index) < len(old.index) {
		w.fields[f.name] = f
	}
}

func pointedTo(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// isTable reports whether t is a struct or points to one, other than those that are stored as text.
func isTable(t reflect.Type) bool {
	t = pointedTo(t)
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(textMarshaler)
}
