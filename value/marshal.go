package value

import (
	"bytes"
	"encoding"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Marshal returns the stored form of a Go value:
//
//   - booleans, strings, floats; integers within ±2^53; []byte and [N]byte as strings
//   - slices and arrays as arrays; maps whose keys are strings, numbers or booleans as tables, an array where the keys are 1 to n
//   - structs as tables under the names of their exported fields, or the name in a `store:"name"` tag; "-" leaves a field out, ",omitempty"
//     leaves it out when it is zero; fields of embedded structs are taken up
//   - what implements [encoding.TextMarshaler], [time.Time] for one, as that text
//   - pointers and interfaces as what they hold; nil ones are left out of structs and maps and are otherwise an error
//
// Anything else, and nil, is an [ErrInvalid]; beyond limits it is an [ErrTooLarge]. Both name the place. Equal values give equal bytes.
func Marshal(v any, limits Limits) ([]byte, error) {
	m := marshaler{limits: limits.WithDefaults()}
	m.nodes, m.depth = m.limits.Nodes, m.limits.Depth
	b, err := m.append(make([]byte, 0, 64), reflect.ValueOf(v))
	if err != nil {
		return nil, err
	}
	return b, nil
}

// A marshaler counts down what one value may still have.
type marshaler struct {
	limits Limits
	nodes  int
	depth  int
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// append appends one value and everything in it.
func (m *marshaler) append(b []byte, v reflect.Value) ([]byte, error) {
	if m.nodes--; m.nodes < 0 {
		return nil, TooMany(m.limits.Nodes)
	}
	b, err := m.appendAny(b, v)
	if err == nil && len(b) > m.limits.Bytes {
		err = TooLong(m.limits.Bytes)
	}
	return b, err
}

// maxPointers is how many pointers in a row are followed: only one that points to itself has more.
const maxPointers = 100

func (m *marshaler) appendAny(b []byte, v reflect.Value) ([]byte, error) {
	for range maxPointers {
		if !v.IsValid() || isNil(v) {
			return nil, Unstorable("nil")
		}
		if v.Type().Implements(textMarshaler) {
			text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
			if err != nil {
				return nil, invalid("cannot store a %v: %w", v.Type(), err)
			}
			return AppendString(b, string(text)), nil
		}
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			return m.appendPlain(b, v)
		}
		v = v.Elem()
	}
	return nil, Unstorable("a pointer to itself")
}

// appendPlain appends a value that is no pointer.
func (m *marshaler) appendPlain(b []byte, v reflect.Value) ([]byte, error) {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return AppendString(b, string(byteSlice(v))), nil
		}
		return m.inside(func() ([]byte, error) { return m.appendArray(b, v) })
	case reflect.Map:
		return m.inside(func() ([]byte, error) { return m.appendMap(b, v) })
	case reflect.Struct:
		return m.inside(func() ([]byte, error) { return m.appendStruct(b, v) })
	}
	return appendScalar(b, v)
}

// isNil reports whether v is a pointer or interface that holds nothing. Nil slices and maps are empty ones.
func isNil(v reflect.Value) bool {
	return (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil()
}

// byteSlice returns the bytes of a slice or array of them, which may not be addressable.
func byteSlice(v reflect.Value) []byte {
	if v.Kind() == reflect.Slice {
		return v.Bytes()
	}
	b := make([]byte, v.Len())
	reflect.Copy(reflect.ValueOf(b), v)
	return b
}

// inside counts one level of depth, which is what ends a cycle.
func (m *marshaler) inside(do func() ([]byte, error)) ([]byte, error) {
	if m.depth == 0 {
		return nil, TooDeep(m.limits.Depth)
	}
	m.depth--
	b, err := do()
	m.depth++
	return b, err
}

func appendScalar(b []byte, v reflect.Value) ([]byte, error) {
	switch {
	case v.Kind() == reflect.Bool:
		return AppendBool(b, v.Bool()), nil
	case v.Kind() == reflect.String:
		return AppendString(b, v.String()), nil
	case v.CanFloat():
		return AppendNumber(b, v.Float()), nil
	case v.CanInt():
		if i := v.Int(); i > MaxInteger || i < -MaxInteger {
			return nil, invalid("cannot store the integer %d: beyond ±2^53", i)
		}
		return AppendNumber(b, float64(v.Int())), nil
	case v.CanUint():
		if v.Uint() > MaxInteger {
			return nil, invalid("cannot store the integer %d: beyond ±2^53", v.Uint())
		}
		return AppendNumber(b, float64(v.Uint())), nil
	}
	return nil, Unstorable("a " + v.Type().String())
}

func (m *marshaler) appendArray(b []byte, v reflect.Value) ([]byte, error) {
	n := v.Len()
	if n > m.nodes {
		return nil, TooMany(m.limits.Nodes)
	}
	b = AppendArrayHeader(b, n)
	var err error
	for i := range n {
		if b, err = m.append(b, v.Index(i)); err != nil {
			return nil, AtIndex(err, float64(i+1))
		}
	}
	return b, nil
}

// A pair is one key of a map in its stored form, and its element.
type pair struct {
	key  []byte
	elem reflect.Value
	at   func(error) error
}

func (m *marshaler) appendMap(b []byte, v reflect.Value) ([]byte, error) {
	if v.Len() > m.nodes {
		return nil, TooMany(m.limits.Nodes)
	}
	pairs := make([]pair, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		if isNil(it.Value()) {
			continue
		}
		p, err := keyPair(it.Key())
		if err != nil {
			return nil, err
		}
		p.elem = it.Value()
		pairs = append(pairs, p)
	}
	// Go's maps have no order: sorting gives equal maps equal bytes.
	slices.SortFunc(pairs, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	for i := 1; i < len(pairs); i++ {
		if bytes.Equal(pairs[i].key, pairs[i-1].key) {
			return nil, pairs[i].at(invalid("cannot store a map with two keys that are equal in Lua"))
		}
	}
	return m.appendPairs(b, pairs)
}

// appendPairs writes pairs that are sorted by key, as an array where the keys are 1 to n.
func (m *marshaler) appendPairs(b []byte, pairs []pair) ([]byte, error) {
	array := isSequence(pairs)
	if array {
		b = AppendArrayHeader(b, len(pairs))
	} else {
		b = AppendMapHeader(b, len(pairs))
	}
	var err error
	for _, p := range pairs {
		if !array {
			b = append(b, p.key...)
		}
		if b, err = m.append(b, p.elem); err != nil {
			return nil, p.at(err)
		}
	}
	return b, nil
}

// isSequence reports whether the keys are 1 to n: the stored forms of positive integers sort by value.
func isSequence(pairs []pair) bool {
	for i, p := range pairs {
		if f, ok := ParseNumber(p.key); !ok || f != float64(i+1) {
			return false
		}
	}
	return true
}

// keyPair returns the key of a map as it is stored.
func keyPair(k reflect.Value) (pair, error) {
	for k.Kind() == reflect.Interface && !k.IsNil() {
		k = k.Elem()
	}
	if k.Type().Implements(textMarshaler) {
		text, err := k.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return pair{}, invalid("cannot store a %v as key: %v", k.Type(), err)
		}
		k = reflect.ValueOf(string(text))
	}
	b, err := appendScalar(nil, k)
	if err != nil {
		return pair{}, Unstorable("a " + k.Type().String() + " as key")
	}
	p := pair{key: b}
	switch f, isNumber := ParseNumber(b); {
	case isNumber && math.IsNaN(f):
		return pair{}, Unstorable("NaN as key")
	case isNumber:
		p.key = AppendNumber(nil, f+0) // -0 and 0 are one key
		p.at = func(err error) error { return AtIndex(err, f) }
	case k.Kind() == reflect.Bool:
		p.at = func(err error) error { return AtBool(err, k.Bool()) }
	default:
		p.at = func(err error) error { return AtKey(err, k.String()) }
	}
	return p, nil
}

func (m *marshaler) appendStruct(b []byte, v reflect.Value) ([]byte, error) {
	fields := fieldsOf(v.Type())
	if len(fields) == 0 && v.NumField() > 0 {
		return nil, Unstorable("a " + v.Type().String() + ", which has no exported fields")
	}
	present := make([]pair, 0, len(fields))
	for _, f := range fields {
		fv, err := v.FieldByIndexErr(f.index)
		if err != nil || isNil(fv) || f.omitEmpty && fv.IsZero() {
			continue
		}
		present = append(present, pair{
			key: AppendString(nil, f.name), elem: fv,
			at: func(err error) error { return AtKey(err, f.name) },
		})
	}
	return m.appendPairs(b, present)
}

// A field is one field of a struct that is stored.
type field struct {
	name      string
	index     []int
	omitEmpty bool
}

// fieldCache remembers fieldsOf, as reflection is slow and types are few.
var fieldCache sync.Map // reflect.Type → []field

// fieldsOf returns the stored fields of a struct type, in their order.
func fieldsOf(t reflect.Type) []field {
	if fields, ok := fieldCache.Load(t); ok {
		return fields.([]field)
	}
	fields, _ := fieldCache.LoadOrStore(t, findFields(t))
	return fields.([]field)
}

// findFields finds the stored fields of a struct type. Of two with one name the first wins.
func findFields(t reflect.Type) []field {
	var fields []field
	seen := map[string]bool{}
	for _, sf := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(sf.Tag.Get("store"), ",")
		if !sf.IsExported() || name == "-" || sf.Anonymous && name == "" && isStruct(sf.Type) {
			continue
		}
		if name == "" {
			name = sf.Name
		}
		if !seen[name] {
			seen[name] = true
			fields = append(fields, field{name: name, index: sf.Index, omitEmpty: options == "omitempty"})
		}
	}
	return fields
}

// isStruct reports whether t is a struct or points to one, other than those that are stored as text.
func isStruct(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(textMarshaler)
}
