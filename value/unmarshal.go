package value

import (
	"encoding"
	"math"
	"reflect"
	"strings"
)

// Unmarshal reads the stored value b into what ptr points to, which must not be nil. What [Marshal] wrote reads back. Besides:
//
//   - an empty table reads into a slice, a map and a struct; an array also into a map with number keys
//   - a number reads into an integer only if it is one and fits; elements of a table without a place, such as fields that the struct does not
//     have, are left out; names match exactly
//   - into an any go bool, float64, string, []any for an array, map[string]any where all keys are strings, else map[any]any
//
// A value that does not fit is an [ErrInvalid] that names the place, bytes that are no value within limits an [ErrCorrupt]; what ptr points to may then be
// half-filled. Strings are copied: nothing of b stays referenced.
func Unmarshal(b []byte, ptr any, limits Limits) error {
	v := reflect.ValueOf(ptr)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return invalid("cannot read into a %T: want a pointer", ptr)
	}
	// What is valid as a whole cannot fail halfway for its form, so that lengths may be believed.
	if err := Validate(b, limits); err != nil {
		return err
	}
	r, err := NewReader(b, limits)
	if err != nil {
		return err
	}
	return read(&r, v.Elem())
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// read reads one value into v.
func read(r *Reader, v reflect.Value) error {
	k, err := r.Next()
	if err != nil {
		return err
	}
	return readKind(r, k, v)
}

// readKind reads a value whose head was just read.
func readKind(r *Reader, k Kind, v reflect.Value) error {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		if v.Type().Implements(textUnmarshaler) {
			break
		}
		v = v.Elem()
	}
	if u, ok := asText(v); ok && k == String {
		if err := u.UnmarshalText([]byte(r.Str)); err != nil {
			return invalid("cannot read a string into a %v: %w", v.Type(), err)
		}
		return nil
	}
	if v.Kind() == reflect.Interface && v.NumMethod() == 0 {
		x, err := readAny(r, k)
		if err == nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	}
	switch k {
	case Array:
		return readArray(r, r.Len, v)
	case Map:
		return readMap(r, r.Len, v)
	}
	return setScalar(r, k, v)
}

// asText returns v as what reads itself from text.
func asText(v reflect.Value) (encoding.TextUnmarshaler, bool) {
	if v.Type().Implements(textUnmarshaler) {
		u, ok := v.Interface().(encoding.TextUnmarshaler)
		return u, ok
	}
	if v.CanAddr() && reflect.PointerTo(v.Type()).Implements(textUnmarshaler) {
		u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
		return u, ok
	}
	return nil, false
}

var kindNames = [...]string{Bool: "a boolean", Number: "a number", String: "a string", Array: "an array", Map: "a table"}

func mismatch(k Kind, v reflect.Value) error {
	return invalid("cannot read %s into a %v", kindNames[k], v.Type())
}

// setScalar puts a boolean, number or string into v.
func setScalar(r *Reader, k Kind, v reflect.Value) error {
	switch {
	case k == Bool && v.Kind() == reflect.Bool:
		v.SetBool(r.Bool)
	case k == String && v.Kind() == reflect.String:
		v.SetString(strings.Clone(r.Str))
	case k == String && v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes([]byte(r.Str))
	case k == String && v.Kind() == reflect.Array && v.Type().Elem().Kind() == reflect.Uint8 && v.Len() == len(r.Str):
		reflect.Copy(v, reflect.ValueOf([]byte(r.Str)))
	case k == Number && v.CanFloat():
		v.SetFloat(r.Num)
	case k == Number && (v.CanInt() || v.CanUint()):
		return setInteger(r.Num, v)
	default:
		return mismatch(k, v)
	}
	return nil
}

// setInteger puts a number into an integer type if it is the same there.
func setInteger(f float64, v reflect.Value) error {
	whole := f == math.Trunc(f) && math.Abs(f) <= MaxInteger
	switch {
	case whole && v.CanInt() && !v.OverflowInt(int64(f)):
		v.SetInt(int64(f))
	case whole && v.CanUint() && f >= 0 && !v.OverflowUint(uint64(f)):
		v.SetUint(uint64(f))
	default:
		return invalid("cannot read the number %v into a %v", f, v.Type())
	}
	return nil
}

// readArray reads n elements.
func readArray(r *Reader, n int, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
	case reflect.Array:
		if n != v.Len() {
			return invalid("cannot read an array of %d into a %v", n, v.Type())
		}
	case reflect.Map:
		return readArrayAsMap(r, n, v)
	case reflect.Struct:
		if n == 0 {
			return nil
		}
		return mismatch(Array, v)
	default:
		return mismatch(Array, v)
	}
	for i := range n {
		if err := read(r, v.Index(i)); err != nil {
			return AtIndex(err, float64(i+1))
		}
	}
	return nil
}

// readArrayAsMap reads n elements under the keys 1 to n.
func readArrayAsMap(r *Reader, n int, v reflect.Value) error {
	v.Set(reflect.MakeMapWithSize(v.Type(), n))
	for i := range n {
		k := reflect.New(v.Type().Key()).Elem()
		if err := setScalarKey(&Reader{Num: float64(i + 1)}, Number, k); err != nil {
			return err
		}
		if err := readElem(r, v, k); err != nil {
			return AtIndex(err, float64(i+1))
		}
	}
	return nil
}

// readElem reads one element of a map under k.
func readElem(r *Reader, m, k reflect.Value) error {
	e := reflect.New(m.Type().Elem()).Elem()
	if err := read(r, e); err != nil {
		return err
	}
	m.SetMapIndex(k, e)
	return nil
}

// setScalarKey puts a key into a variable of the type of a map's keys.
func setScalarKey(r *Reader, k Kind, v reflect.Value) error {
	if u, ok := asText(v); ok && k == String {
		return u.UnmarshalText([]byte(r.Str))
	}
	if v.Kind() == reflect.Interface && v.NumMethod() == 0 {
		v.Set(reflect.ValueOf(scalar(r, k)))
		return nil
	}
	return setScalar(r, k, v)
}

// scalar returns a boolean, number or string that was just read.
func scalar(r *Reader, k Kind) any {
	switch k {
	case Bool:
		return r.Bool
	case Number:
		return r.Num
	}
	return strings.Clone(r.Str)
}

// atKey places err at a key.
func atKey(err error, key any) error {
	switch key := key.(type) {
	case bool:
		return AtBool(err, key)
	case float64:
		return AtIndex(err, key)
	}
	return AtKey(err, key.(string))
}

// readMap reads n pairs.
func readMap(r *Reader, n int, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Map:
		v.Set(reflect.MakeMapWithSize(v.Type(), n))
	case reflect.Struct:
		return readStruct(r, n, v)
	default:
		return mismatch(Map, v)
	}
	for range n {
		k, err := r.Key()
		if err != nil {
			return err
		}
		name := scalar(r, k)
		key := reflect.New(v.Type().Key()).Elem()
		if err := setScalarKey(r, k, key); err != nil {
			return err
		}
		if err := readElem(r, v, key); err != nil {
			return atKey(err, name)
		}
	}
	return nil
}

// readStruct reads n pairs into the fields of their names.
func readStruct(r *Reader, n int, v reflect.Value) error {
	byName := map[string][]int{}
	for _, f := range fieldsOf(v.Type()) {
		byName[f.name] = f.index
	}
	for range n {
		k, err := r.Key()
		if err != nil {
			return err
		}
		index, ok := byName[r.Str]
		if k != String || !ok {
			if err := r.Skip(); err != nil {
				return err
			}
			continue
		}
		name := strings.Clone(r.Str)
		f, err := fieldAt(v, index)
		if err == nil {
			err = read(r, f)
		}
		if err != nil {
			return AtKey(err, name)
		}
	}
	return nil
}

// fieldAt returns a field, making the embedded structs on the way to it.
func fieldAt(v reflect.Value, index []int) (reflect.Value, error) {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() && !v.CanSet() {
				return v, invalid("cannot read into a nil %v, which is not exported", v.Type())
			}
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, nil
}

// readAny reads a value as the Go value that is most like it.
func readAny(r *Reader, k Kind) (any, error) {
	switch k {
	case Array:
		s := make([]any, r.Len)
		for i := range s {
			if err := read(r, reflect.ValueOf(&s[i]).Elem()); err != nil {
				return nil, err
			}
		}
		return s, nil
	case Map:
		m := make(map[any]any, r.Len)
		if err := readMap(r, r.Len, reflect.ValueOf(&m).Elem()); err != nil {
			return nil, err
		}
		return stringKeyed(m), nil
	}
	return scalar(r, k), nil
}

// stringKeyed returns m as a map[string]any if all its keys are strings.
func stringKeyed(m map[any]any) any {
	s := make(map[string]any, len(m))
	for k, v := range m {
		name, ok := k.(string)
		if !ok {
			return m
		}
		s[name] = v
	}
	return s
}
