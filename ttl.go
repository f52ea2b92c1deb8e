package store

import (
	"math"
	"time"
)

// Seconds returns the ttl of a number of seconds, as scripts give it: 0 and math.huge mean never (+Inf in Lua, the largest
// float in gopher-lua), fractions are rounded up to a nanosecond. Negative numbers, NaN and more than [MaxTTL] are an
// [ErrInvalid].
func Seconds(s float64) (time.Duration, error) {
	switch {
	case s == 0 || s >= math.MaxFloat64:
		return 0, nil
	case s != s || s < 0:
		return 0, Errorf(ErrInvalid, "invalid ttl %v: want seconds, 0 or more", s)
	case s > MaxTTL.Seconds():
		return 0, Errorf(ErrInvalid, "invalid ttl %v: at most 100 years (%.0f seconds), or 0 for never", s, MaxTTL.Seconds())
	}
	// The float 0.067 stands for 67 ms and is a little more: that little must not become another millisecond when a driver
	// rounds up.
	if micros := math.Round(s * 1e6); micros/1e6 == s {
		return time.Duration(micros) * time.Microsecond, nil
	}
	return time.Duration(math.Ceil(s * 1e9)), nil
}

// resolveTTL returns the ttl that an operation hands to the driver: the default filled in, the maximum enforced, at least MinTTL.
func (d *Definition) resolveTTL(ttl time.Duration) (time.Duration, error) {
	if ttl == DefaultTTL {
		return d.DefaultTTL, nil
	}
	switch {
	case ttl == KeepTTL:
		return KeepTTL, nil
	case ttl < 0:
		return 0, Errorf(ErrInvalid, "invalid ttl %v: want 0 or more", ttl)
	case ttl > MaxTTL:
		return 0, Errorf(ErrInvalid, "invalid ttl %v: at most 100 years, or 0 for never", ttl)
	case d.MaxTTL > 0 && ttl == 0:
		return 0, Errorf(ErrInvalid, "invalid ttl never: this store keeps entries for at most %v seconds", d.MaxTTL.Seconds())
	case d.MaxTTL > 0 && ttl > d.MaxTTL:
		return 0, Errorf(ErrInvalid, "invalid ttl %v: this store keeps entries for at most %v seconds", ttl.Seconds(), d.MaxTTL.Seconds())
	case ttl > 0 && ttl < MinTTL:
		return MinTTL, nil
	}
	return ttl, nil
}
