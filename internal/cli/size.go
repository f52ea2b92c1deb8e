package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A size is a number of bytes on the command line, above zero once it is set. As in all of this program 1 MB is 1024 KB.
type size int64

// units of size, in the order in which they are looked for at the end of what a person writes, and tried for what is shown.
var units = []struct {
	name  string
	bytes size
}{
	{"GB", 1 << 30}, {"GiB", 1 << 30}, {"MB", 1 << 20}, {"MiB", 1 << 20}, {"KB", 1 << 10}, {"KiB", 1 << 10}, {"B", 1},
}

var errSize = errors.New("want a size such as 256MB, 1GB or 64MiB, or a number of bytes")

// Set takes what a person writes, in any case and with or without a space before the unit.
func (s *size) Set(text string) error {
	number, unit := strings.TrimSpace(text), size(1)
	for _, u := range units {
		if rest := len(number) - len(u.name); rest > 0 && strings.EqualFold(number[rest:], u.name) {
			number, unit = strings.TrimSpace(number[:rest]), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || size(n) > math.MaxInt64/unit {
		return errSize
	}
	*s = size(n) * unit
	return nil
}

// String returns the size in the largest unit that it is a whole number of. It is empty for none, which help then shows as no default.
func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	for _, u := range units {
		if *s%u.bytes == 0 && u.bytes > 1 {
			return fmt.Sprintf("%d %s", *s/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", *s)
}

// Type is how help names the value.
func (s *size) Type() string { return "size" }
