package value

import (
	"bytes"
	"encoding"
	"reflect"
	"slices"
)

// Marshal returns the stored form of a Go value:
//
//   - booleans, strings, floats; integers within ±2^53; []byte and [N]byte as strings
//   - slices and arrays as arrays; maps whose keys are strings, numbers or booleans as tables, an array where the keys are 1 to n
//   - structs as tables under the names of their exported fields, or the name in a `store:"name"` tag; "-" leaves a field out,
//     ",omitempty" leaves it out when it is zero. Fields of embedded structs without a name in a tag are taken up; of fields
//     with one name that in the outermost struct is stored, and of those the first
//   - what implements [encoding.TextMarshaler], itself or through its pointer, as that text: [time.Time] for one
//   - pointers and interfaces as what they hold; those that hold nil, at whatever remove, are left out of structs and maps
//     and are otherwise an error
//   - nil slices and maps as empty tables
//
// Anything else, and nil, is an [ErrInvalid]; beyond limits, which a cycle always is, it is an [ErrTooLarge]. Both name the
// place. Equal values give equal bytes: the keys of a table are sorted by their stored form, whatever Go type it has.
//
// Integer keys that leave many positions below them empty, as in {5000000: "x"}, are stored, but gopher-lua cannot read such a
// table at a bearable cost: give maps of ids string keys if Lua is to read them.
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
		if u := asTextMarshaler(v); u != nil {
			text, err := u.MarshalText()
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

// asTextMarshaler returns v as what writes itself as text, or nil. A method of the pointer to v counts too, so that a value is
// stored the same whether it can be addressed or not.
func asTextMarshaler(v reflect.Value) encoding.TextMarshaler {
	switch t := v.Type(); {
	case v.Kind() == reflect.Interface:
		return nil // what it holds is looked at next
	case t.Implements(textMarshaler):
		return v.Interface().(encoding.TextMarshaler)
	case v.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(textMarshaler):
		p := reflect.New(t)
		p.Elem().Set(v)
		return p.Interface().(encoding.TextMarshaler)
	}
	return nil
}

// isNil reports whether v is a pointer or interface that, at whatever remove, holds nothing. Nil slices and maps are empty ones.
func isNil(v reflect.Value) bool {
	for range maxPointers {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			return false
		}
		if v.IsNil() {
			return true
		}
		v = v.Elem()
	}
	return false
}

// byteSlice returns the bytes of a slice or array of them, which may not be addressable.
func byteSlice(v reflect.Value) []byte {
	if v.Kind() == reflect.Slice {
		return v.Bytes()
	}
	b := make([]byte, v.Len())
	for i := range b {
		b[i] = byte(v.Index(i).Uint()) // reflect.Copy refuses named types of byte
	}
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
	if isNil(k) {
		return pair{}, Unstorable("nil as key")
	}
	for k.Kind() == reflect.Interface {
		k = k.Elem()
	}
	if u := asTextMarshaler(k); u != nil {
		text, err := u.MarshalText()
		if err != nil {
			return pair{}, invalid("cannot store a %v as key: %w", k.Type(), err)
		}
		k = reflect.ValueOf(string(text))
	}
	b, err := appendScalar(nil, k)
	if err != nil && (k.CanInt() || k.CanUint()) {
		return pair{}, err
	}
	if err != nil {
		return pair{}, Unstorable("a " + k.Type().String() + " as key")
	}
	return placedPair(b, k)
}

// placedPair returns the pair of a key whose stored form is b, with what tells its place.
func placedPair(b []byte, k reflect.Value) (pair, error) {
	switch f, isNumber := ParseNumber(b); {
	case isNumber && f != f:
		return pair{}, Unstorable("NaN as key")
	case isNumber:
		f += 0 // -0 and 0 are one key
		return pair{key: AppendNumber(nil, f), at: func(err error) error { return AtIndex(err, f) }}, nil
	case k.Kind() == reflect.Bool:
		return pair{key: b, at: func(err error) error { return AtBool(err, k.Bool()) }}, nil
	}
	return pair{key: b, at: func(err error) error { return AtKey(err, k.String()) }}, nil
}

func (m *marshaler) appendStruct(b []byte, v reflect.Value) ([]byte, error) {
	s := structOf(v.Type())
	if s.opaque {
		return nil, Unstorable("a " + v.Type().String() + ", which has no exported fields")
	}
	present := make([]pair, 0, len(s.fields))
	for _, f := range s.fields {
		fv, err := v.FieldByIndexErr(f.index)
		if err != nil || isNil(fv) || f.omitEmpty && fv.IsZero() {
			continue
		}
		present = append(present, pair{key: f.key, elem: fv, at: func(err error) error { return AtKey(err, f.name) }})
	}
	return m.appendPairs(b, present)
}
