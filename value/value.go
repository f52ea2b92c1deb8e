// Package value is the stored form of a Lua value: MessagePack, canonical and bounded.
//
// # Form
//
// What is written is canonical: every number, string and array has one form, so that what was read and is written again has
// the bytes that it had (compare-and-swap and versions compare bytes):
//
//   - numbers that are integers within ±2^53 in the smallest integer form, unsigned when ≥ 0; every other number, -0 included,
//     as float64. NaN is 7ff8000000000001. Float32 is read, never written.
//   - strings as str where they are valid UTF-8, else as bin; both in the smallest form. Both are read as strings.
//   - booleans as true and false. Nil and extension types are no values.
//   - a table whose keys are 1 to n as an array, an empty one as the empty array 0x90, every other as a map, whose keys are
//     strings, numbers (never NaN, and 0 for -0) or booleans. Their order is the writer's: [Marshal] sorts them, a Lua table
//     keeps the order in which they were first set. Readers take any order; of two equal keys the last counts.
//
// MessagePack written by others is read wherever it means such a value, in whatever form; integers beyond ±2^53 are refused
// because a Lua number would change them.
//
// # Bounds
//
// Reading never trusts a length: [Validate] and the readers behind it take time and memory in proportion to the bytes at hand
// and allocate nothing. See [Limits].
package value

import (
	"errors"
	"fmt"
	"math"
)

// MaxInteger is the largest magnitude up to which every integer is exact in a Lua number: 2^53.
const MaxInteger = 1 << 53

// The limits that a zero [Limits] stands for.
const (
	DefaultDepth = 64      // tables inside tables, the outermost counted
	DefaultNodes = 100_000 // values, keys not counted
	DefaultBytes = 1 << 20 // encoded bytes
)

// Limits bound one value, when it is written and when it is read. A zero field stands for its default.
type Limits struct {
	Depth int // tables inside tables; default [DefaultDepth]
	Nodes int // values, each table and each element one; default [DefaultNodes]
	Bytes int // length of the stored form; default [DefaultBytes]
}

// WithDefaults returns l with its zero fields filled in.
func (l Limits) WithDefaults() Limits {
	if l.Depth == 0 {
		l.Depth = DefaultDepth
	}
	if l.Nodes == 0 {
		l.Nodes = DefaultNodes
	}
	if l.Bytes == 0 {
		l.Bytes = DefaultBytes
	}
	return l
}

// The causes that errors of this package wrap. Package store has the same under its own names.
var (
	ErrInvalid  = errors.New("invalid")         // not a value that can be stored
	ErrTooLarge = errors.New("value too large") // beyond a limit, when writing
	ErrCorrupt  = errors.New("corrupt value")   // stored bytes that are no value, or one beyond a limit
)

// A Fault is an error with a text of its own that [errors.Is] matches with the cause it stands for.
type Fault struct {
	Cause error // one of the sentinels
	Err   error // the text, and what it wraps
}

// Errorf returns a [*Fault] for cause with the text of [fmt.Errorf].
func Errorf(cause error, format string, args ...any) error {
	return &Fault{Cause: cause, Err: fmt.Errorf(format, args...)}
}

// Error returns the text of Err.
func (f *Fault) Error() string { return f.Err.Error() }

// Is reports whether target is the cause, or what that stands for.
func (f *Fault) Is(target error) bool { return errors.Is(f.Cause, target) }

// Unwrap returns Err.
func (f *Fault) Unwrap() error { return f.Err }

// Add returns the sum of two numbers, as counters keep it: never -0, and exact at the edge. It is not ok beyond ±[MaxInteger],
// nor where the sum was rounded to that, as 2^53+1 is: a counter that stays there would lose every increment after.
func Add(a, b float64) (sum float64, ok bool) {
	sum = a + b + 0
	switch beyond := math.Abs(sum) - MaxInteger; {
	case beyond < 0:
		return sum, true
	case beyond == 0:
		return sum, sum-a == b && sum-b == a
	}
	return 0, false // or NaN
}
