// Package encoded says of bytes that this module wrote them itself as the stored form of a value, so that none of its packages has to
// look at them again.
package encoded

// A Value is the stored form of a value, within the limits of the store that it is for. It has no exported field, or else every module
// could make one, as a struct literal without a name.
type Value struct{ bytes []byte }

// Of returns the Value of what was just encoded.
func Of(bytes []byte) Value { return Value{bytes} }

// Bytes returns the bytes, nil for the zero Value, which says nothing of them.
func (v Value) Bytes() []byte { return v.bytes }
