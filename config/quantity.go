package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var (
	errDuration = errors.New("want a duration such as 30s, 1h30m or 7d")
	errPositive = errors.New("want a duration above 0; leave the field out for the default")
	errSize     = errors.New("want a size such as 256MB, 1GB or 64KiB, or a number of bytes, above 0")
)

const day = 24 * time.Hour

// parseDuration reads a duration as Go writes it, with days besides ("7d", "1d12h"), above zero.
func parseDuration(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 31)
	if err != nil {
		return 0, errDuration
	}
	var d time.Duration
	if rest != "" {
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, errDuration
		}
	}
	if n > uint64(math.MaxInt64-max(d, 0))/uint64(day) {
		return 0, errDuration
	}
	if d += time.Duration(n) * day; d <= 0 {
		return 0, errPositive
	}
	return d, nil
}

// units of size, in the order in which they are looked for. As in all of this program 1 MB is 1024 KB.
var units = []struct {
	name  string
	bytes int64
}{
	{"GIB", 1 << 30}, {"MIB", 1 << 20}, {"KIB", 1 << 10}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1},
}

// parseSize reads a number of bytes above zero, in any case and with or without a space before the unit.
func parseSize(text string) (int64, error) {
	digits, unit := strings.ToUpper(strings.TrimSpace(text)), int64(1)
	for _, u := range units {
		if before, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = strings.TrimSpace(before), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n == 0 || int64(n) > math.MaxInt64/unit {
		return 0, errSize
	}
	return int64(n) * unit, nil
}
