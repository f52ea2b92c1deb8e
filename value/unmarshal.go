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
//   - a number reads into an integer only if it is one and fits; into a float32 it is rounded, if it fits
//   - elements of a table that a struct has no field for are left out; names match exactly. Fields that the table has no element
//     for stay as they are; slices and maps are replaced
//   - into an any go bool, float64, string, []any for an array, map[string]any where all keys are strings, else map[any]any
//
// A value that does not fit is an [ErrInvalid] that names the place, bytes that are no value within limits an [ErrCorrupt];
// what ptr points to may then be half-filled. Strings are copied: nothing of b stays referenced.
func Unmarshal(b []byte, ptr any, limits Limits) error {
	v := reflect.ValueOf(ptr)
	if v.Kind() != reflect.Pointer {
		return invalid("cannot read into a %T: want a pointer", ptr)
	}
	if v.IsNil() {
		return invalid("cannot read into a nil %T: want one that is not", ptr)
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
	v, err := target(v)
	if err != nil {
		return err
	}
	if u := asTextUnmarshaler(v); u != nil && k == String {
		return readText(r, u, v)
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

// target follows v to what is no pointer, making what pointers on the way lack.
func target(v reflect.Value) (reflect.Value, error) {
	for range maxPointers {
		if v.Kind() != reflect.Pointer {
			return v, nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	return v, invalid("cannot read into a %v: a pointer to itself", v.Type())
}

// asTextUnmarshaler returns v, which is no pointer, as what reads itself from text, or nil.
func asTextUnmarshaler(v reflect.Value) encoding.TextUnmarshaler {
	if v.CanAddr() && v.Kind() != reflect.Interface && reflect.PointerTo(v.Type()).Implements(textUnmarshaler) {
		return v.Addr().Interface().(encoding.TextUnmarshaler)
	}
	return nil
}

// readText reads the string that was just read into u, which is v.
func readText(r *Reader, u encoding.TextUnmarshaler, v reflect.Value) error {
	if err := u.UnmarshalText([]byte(r.Str)); err != nil {
		return invalid("cannot read a string into a %v: %w", v.Type(), err)
	}
	return nil
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
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(r.Str[i]))
		}
	case k == Number && v.CanFloat():
		if v.OverflowFloat(r.Num) {
			return invalid("cannot read the number %v into a %v", r.Num, v.Type())
		}
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
		if n == 0 && !structOf(v.Type()).opaque {
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
	for i := 1; i <= n; i++ {
		key := reflect.New(v.Type().Key()).Elem()
		err := setKey(&Reader{Num: float64(i)}, Number, key)
		if err == nil {
			err = readElem(r, v, key)
		}
		if err != nil {
			return AtIndex(err, float64(i))
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

// setKey puts a key into a variable of the type of a map's keys.
func setKey(r *Reader, k Kind, key reflect.Value) error {
	v, err := target(key)
	if err != nil {
		return err
	}
	if u := asTextUnmarshaler(v); u != nil && k == String {
		return readText(r, u, v)
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
		if err = setKey(r, k, key); err == nil {
			err = readElem(r, v, key)
		}
		if err != nil {
			return atKey(err, name)
		}
	}
	return nil
}

// readStruct reads n pairs into the fields of their names.
func readStruct(r *Reader, n int, v reflect.Value) error {
	s := structOf(v.Type())
	if s.opaque {
		return mismatch(Map, v)
	}
	for range n {
		k, err := r.Key()
		if err != nil {
			return err
		}
		i, ok := s.byName[r.Str]
		if k != String || !ok {
			if err := r.Skip(); err != nil {
				return err
			}
			continue
		}
		f, err := fieldAt(v, s.fields[i].index)
		if err == nil {
			err = read(r, f)
		}
		if err != nil {
			return AtKey(err, s.fields[i].name)
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
