package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// incrRules are about Counter.
var incrRules = needing(isCounter, []rule{
	// Counters stay ordinary values: get reads what incr wrote and the other way round.
	{name: "AddsToWhatSetStored", test: func(s *space) {
		s.set("t:k", num(5), 0)
		s.want("sum", s.incr("t:k", 2, 100, 0), 7.0)
		s.want("sum", s.incr("t:k", -10, 100, 0), -3.0)
		s.want("sum", s.incr("t:k", 0, 100, 0), -3.0)
		s.wantValue("t:k", num(-3))
	}},
	{name: "OfAbsentCountsFromInitial", test: func(s *space) {
		s.want("sum", s.incr("t:k", 1, 10, 0), 11.0)
		s.wantValue("t:k", num(11))
		s.want("sum of the next", s.incr("t:k", 1, 10, 0), 12.0)
		s.want("sum from 0", s.incr("t:zero", 1, 0, 0), 1.0)
		s.want("sum from a fraction", s.incr("t:half", 1, -0.5, 0), 0.5)
	}},
	{name: "OfAbsentIsCreatedWithTTL", timed: true, test: func(s *space) {
		s.incr("t:k", 1, 0, long)
		s.wantLeft("t:k", long)
		s.incr("t:never", 1, 0, 0)
		s.wantLeft("t:never", 0)
		s.incr("t:kept", 1, 0, store.KeepTTL)
		s.wantLeft("t:kept", 0)
	}},
	// A window that a counter counts in must not move with each count.
	{name: "KeepsTheTTLOfALiveEntry", timed: true, test: func(s *space) {
		s.set("t:k", num(1), long)
		s.incr("t:k", 1, 0, 0)
		s.wantLeft("t:k", long)
		s.incr("t:k", 1, 0, 3*long)
		s.wantLeft("t:k", long)
		s.set("t:never", num(1), 0)
		s.incr("t:never", 1, 0, long)
		s.wantLeft("t:never", 0)
	}},
	{name: "OnExpiredCountsFromInitialWithANewTTL", timed: true, test: func(s *space) {
		s.expired("t:k", num(5))
		s.want("sum", s.incr("t:k", 1, 100, 0), 101.0)
		s.wantLeft("t:k", 0)
		s.expired("t:other", str("no number"))
		s.want("sum", s.incr("t:other", 1, 0, long), 1.0)
		s.wantLeft("t:other", long)
	}},
	// Compare-and-swap compares bytes: a number has one form, whoever wrote it.
	{name: "StoresTheCanonicalForm", test: func(s *space) {
		for _, f := range sums {
			s.delete("t:k")
			s.want("sum of an absent one", s.incr("t:k", f, 0, 0), f)
			s.want(fmt.Sprintf("stored form of %v", f), s.get("t:k"), num(f))
			s.set("t:k", num(0), 0)
			s.want("sum", s.incr("t:k", f, 0, 0), f)
			s.want(fmt.Sprintf("stored form of 0 + %v", f), s.get("t:k"), num(f))
		}
	}},
	{name: "AddsAsGoDoes", test: func(s *space) {
		for _, a := range sums {
			for _, b := range []float64{0.1, -0.1, 1e-300, 1e10 + 0.5, 1.0 / 3} {
				if math.Abs(a+b) >= value.MaxInteger {
					continue
				}
				s.set("t:k", num(a), 0)
				s.want(fmt.Sprintf("%v + %v", a, b), s.incr("t:k", b, 0, 0), a+b)
				s.want("stored form", s.get("t:k"), num(a+b))
			}
		}
	}},
	// Scripts could tell them apart, by dividing by them.
	{name: "NegativeZeroIsStoredAsZero", test: func(s *space) {
		minusZero := math.Copysign(0, -1)
		s.set("t:k", num(minusZero), 0)
		s.want("-0 + -0 is -0", math.Signbit(s.incr("t:k", minusZero, 0, 0)), false)
		s.want("stored form", s.get("t:k"), num(0))
		s.incr("t:new", minusZero, minusZero, 0)
		s.want("stored form of a new one", s.get("t:new"), num(0))
	}},
	// Other programs write to shared backends, in the forms that their libraries choose.
	{name: "ReadsEveryFormOfANumber", test: func(s *space) {
		for name, form := range numberForms {
			f, ok := value.ParseNumber([]byte(form))
			s.want("a number: "+name, ok, true)
			s.plant("t:k", []byte(form), 0)
			s.want("sum with "+name, s.incr("t:k", 1, 0, 0), f+1)
			s.want("stored form after "+name, s.get("t:k"), num(f+1))
		}
	}},
	// None of these may be read as a number by what the server has for a decoder.
	{name: "OfNoNumberIsNotANumberAndUntouched", timed: true, test: func(s *space) {
		for name, v := range noNumbers {
			s.plant("t:k", v, long)
			_, err := s.driver.(store.Counter).Incr(s.ctx, "t:k", 1, 0, 0)
			if !errors.Is(err, store.ErrNotNumber) {
				s.Fatalf("Incr of %s: error %v, want ErrNotNumber", name, err)
			}
			s.wantValue("t:k", v)
			s.wantLeft("t:k", long)
		}
	}},
	{name: "OfAnIntegerBeyondExactOnesIsInvalidAndUntouched", test: func(s *space) {
		for _, v := range []string{"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "\xcf\x00\x20\x00\x00\x00\x00\x00\x01", "\xd3\x80\x00\x00\x00\x00\x00\x00\x00"} {
			s.plant("t:k", []byte(v), 0)
			_, err := s.driver.(store.Counter).Incr(s.ctx, "t:k", 1, 0, 0)
			s.wantKind("Incr", err, "invalid")
			s.wantValue("t:k", []byte(v))
		}
	}},
	{name: "BeyondExactIntegersIsOutOfRangeAndUntouched", timed: true, test: func(s *space) {
		for _, c := range []struct{ stored, delta float64 }{
			{value.MaxInteger, 2}, {-value.MaxInteger, -2}, {2, value.MaxInteger}, {math.MaxFloat64, math.MaxFloat64}, {1e300, 0}, {0.5, 1e300},
			{math.Inf(1), 1}, {math.Inf(-1), 1}, {math.NaN(), 1}, {value.MaxInteger - 1, 3},
		} {
			s.wantOutOfRange(c.stored, c.delta)
		}
		_, err := s.driver.(store.Counter).Incr(s.ctx, "t:new", value.MaxInteger, 2, 0)
		s.wantKind("Incr of an absent one", err, "invalid")
		s.wantAbsent("t:new")
	}},
	{name: "PastTheLastExactIntegerIsOutOfRangeThoughFloatsRoundItDown", timed: true, test: func(s *space) {
		// 2^53 + 1 is 2^53 again: a counter that stays there loses every increment without an error.
		s.wantOutOfRange(value.MaxInteger, 1)
		s.wantOutOfRange(-value.MaxInteger, -1)
		s.wantOutOfRange(1, value.MaxInteger)
		s.wantOutOfRange(value.MaxInteger-1, 2)
		s.wantOutOfRange(value.MaxInteger, 0.5)
		s.wantOutOfRange(0.5, value.MaxInteger)
	}},
	{name: "UpToExactIntegersIsExact", test: func(s *space) {
		s.set("t:k", num(value.MaxInteger-1), 0)
		s.want("sum", s.incr("t:k", 1, 0, 0), float64(value.MaxInteger))
		s.want("sum", s.incr("t:k", -1, 0, 0), float64(value.MaxInteger-1))
		s.want("sum", s.incr("t:low", -1, -value.MaxInteger+1, 0), float64(-value.MaxInteger))
	}},
	{name: "ManyConcurrentLoseNothing", test: func(s *space) {
		const callers = 64
		rounds := s.harness.times(100)
		s.together(callers, func(int) error {
			for range rounds {
				if _, err := s.driver.(store.Counter).Incr(s.ctx, "t:k", 1, 0, 0); err != nil {
					return err
				}
			}
			return nil
		})
		s.wantValue("t:k", num(float64(callers*rounds)))
	}},
	{name: "ManyConcurrentSeeEachSumOnce", test: func(s *space) {
		for range s.harness.times(20) {
			s.delete("t:k")
			sums := make([]float64, 32)
			s.together(len(sums), func(i int) (err error) {
				sums[i], err = s.driver.(store.Counter).Incr(s.ctx, "t:k", 1, 100, long)
				return err
			})
			slices.Sort(sums)
			for i, sum := range sums {
				s.want("sum", sum, float64(101+i))
			}
		}
	}},
	// An increment that writes back the expiry it read undoes the touch.
	{name: "BesideTouchLosesNeither", test: func(s *space) {
		for range s.harness.times(100) {
			s.set("t:k", num(1), 0)
			s.both(func() error {
				_, err := s.driver.(store.Counter).Incr(s.ctx, "t:k", 1, 0, 0)
				return err
			}, func() error {
				_, err := s.driver.Touch(s.ctx, "t:k", long)
				return err
			})
			s.wantValue("t:k", num(2))
			s.wantLeft("t:k", long)
		}
	}},
	{name: "BesideCompareAndSwapLosesNeither", test: func(s *space) {
		for range s.harness.times(100) {
			s.set("t:k", num(0), 0)
			s.both(func() error {
				_, err := s.driver.(store.Counter).Incr(s.ctx, "t:k", 1, 0, 0)
				return err
			}, func() error { return addBySwapping(s) })
			s.wantValue("t:k", num(2))
		}
	}},
})

// wantOutOfRange states that delta cannot be added to stored.
func (s *space) wantOutOfRange(stored, delta float64) {
	s.Helper()
	s.set("t:k", num(stored), long)
	_, err := s.driver.(store.Counter).Incr(s.ctx, "t:k", delta, 0, 0)
	if !errors.Is(err, store.ErrOutOfRange) {
		s.Fatalf("Incr of %v by %v: error %v, want ErrOutOfRange", stored, delta, err)
	}
	s.wantValue("t:k", num(stored))
	s.wantLeft("t:k", long)
}

// sums are results on both sides of every change of form.
var sums = []float64{
	0, 1, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, value.MaxInteger - 1, value.MaxInteger,
	-1, -32, -33, -128, -129, -32768, -32769, -1 << 31, -1<<31 - 1, -value.MaxInteger,
	0.5, -0.5, 0.1, 1.0 / 3, 1e-300, 5e-324, -2.5e15 - 0.5, 1e15 + 0.3,
}

// numberForms are stored numbers in forms that others write.
var numberForms = map[string]string{
	"uint8 5":         "\xcc\x05",
	"uint16 5":        "\xcd\x00\x05",
	"uint32 5":        "\xce\x00\x00\x00\x05",
	"uint64 5":        "\xcf\x00\x00\x00\x00\x00\x00\x00\x05",
	"uint64 2^53 - 1": "\xcf\x00\x1f\xff\xff\xff\xff\xff\xff",
	"int8 -5":         "\xd0\xfb",
	"int8 5":          "\xd0\x05",
	"int16 -5":        "\xd1\xff\xfb",
	"int32 -5":        "\xd2\xff\xff\xff\xfb",
	"int64 -5":        "\xd3\xff\xff\xff\xff\xff\xff\xff\xfb",
	"int64 -2^53":     "\xd3\xff\xe0\x00\x00\x00\x00\x00\x00",
	"float32 1.5":     "\xca\x3f\xc0\x00\x00",
	"float64 5":       "\xcb\x40\x14\x00\x00\x00\x00\x00\x00",
	"float64 -0":      "\xcb\x80\x00\x00\x00\x00\x00\x00\x00",
}

// noNumbers are stored values, and bytes that are none, to which nothing can be added.
var noNumbers = map[string][]byte{
	"a string":                  str("5"),
	"a long string":             str(strings.Repeat("7", 1000)),
	"bytes":                     str("\xff"),
	"a boolean":                 value.AppendBool(nil, true),
	"an empty table":            {0x90},
	"an array of a number":      {0x91, 0x05},
	"a map":                     {0x81, 0x01, 0x01},
	"nothing":                   {},
	"nil":                       {0xc0},
	"an unused byte":            {0xc1},
	"two numbers":               {0x05, 0x05},
	"a number and a tail":       append(num(1e10), 0),
	"half a number":             {0xcb, 0x40},
	"the head of a number":      {0xcd},
	"an extension":              {0xd4, 0x01, 0x05},
	"digits, as Redis has them": []byte("55"),
}

// number returns the number that the stored value v is, or NaN.
func number(v []byte) float64 {
	f, ok := value.ParseNumber(v)
	if !ok {
		return math.NaN()
	}
	return f
}
