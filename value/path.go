package value

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A placed error remembers where in a value it came about; the outermost step is the last.
type placed struct {
	cause   error
	text    string
	wrapped error // what the text tells of, if it is an error of somebody else's
	steps   []string
}

// invalid returns an [ErrInvalid]. [AtKey] and its like add, on the way out, where it came about.
func invalid(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &placed{cause: ErrInvalid, text: err.Error(), wrapped: errors.Unwrap(err)}
}

// Unstorable returns the [ErrInvalid] for something that is no value: what names it, with its article.
func Unstorable(what string) error { return invalid("cannot store %s", what) }

// TooDeep returns the [ErrTooLarge] for tables nested beyond a limit.
func TooDeep(limit int) error {
	return &placed{cause: ErrTooLarge, text: fmt.Sprintf("value too large: tables nested deeper than %d (a cycle?)", limit)}
}

// TooMany returns the [ErrTooLarge] for a value with more tables and elements than a limit.
func TooMany(limit int) error {
	return &placed{cause: ErrTooLarge, text: fmt.Sprintf("value too large: more than %d tables and elements", limit)}
}

// TooLong returns the [ErrTooLarge] for a stored form longer than a limit.
func TooLong(limit int) error {
	return &placed{cause: ErrTooLarge, text: fmt.Sprintf("value too large: more than %d bytes", limit)}
}

// Error returns the text with the place, as in "cannot store a function at .data.permissions[2]".
func (p *placed) Error() string {
	if len(p.steps) == 0 {
		return p.text
	}
	var b strings.Builder
	b.WriteString(p.text)
	b.WriteString(" at ")
	if len(p.steps) > maxSteps {
		b.WriteString("…")
	}
	for i := min(len(p.steps), maxSteps) - 1; i >= 0; i-- {
		b.WriteString(p.steps[i])
	}
	return b.String()
}

// maxSteps keeps the place in a cycle, which has as many steps as the limit on depth, from filling a screen.
const maxSteps = 8

// Is reports whether target is the cause.
func (p *placed) Is(target error) bool { return target == p.cause }

// Unwrap returns the error of somebody else's that the text tells of, if any.
func (p *placed) Unwrap() error { return p.wrapped }

// AtKey returns err, if it is about a part of a value, one step further out: under the string key.
func AtKey(err error, key string) error {
	if isName(key) {
		return at(err, "."+key)
	}
	if len(key) > maxName {
		return at(err, "["+strconv.Quote(key[:maxName])+"…]")
	}
	return at(err, "["+strconv.Quote(key)+"]")
}

// maxName keeps a long key from filling a screen.
const maxName = 64

// AtIndex is [AtKey] for a number. Integers are written as such: not [1e+06].
func AtIndex(err error, key float64) error {
	format := byte('g')
	if key == math.Trunc(key) && math.Abs(key) <= MaxInteger {
		format = 'f'
	}
	return at(err, "["+strconv.FormatFloat(key, format, -1, 64)+"]")
}

// AtBool is [AtKey] for a boolean.
func AtBool(err error, key bool) error { return at(err, "["+strconv.FormatBool(key)+"]") }

func at(err error, step string) error {
	var p *placed
	if errors.As(err, &p) {
		p.steps = append(p.steps, step)
	}
	return err
}

// isName reports whether s can stand behind a dot in Lua.
func isName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
