// Package encoded says of bytes that this module wrote them itself as the stored form of a value, so that none of its packages has to
// look at them again.
package encoded

// A Value is the stored form of a value, within the limits of the store that it is for.
type Value struct{ Bytes []byte }
