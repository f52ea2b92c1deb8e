package value_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/luastore/store/value"
)

func TestAdd_IsExactAtTheEdgeAndNeverNegativeZero(t *testing.T) {
	const edge = value.MaxInteger
	for _, c := range []struct {
		a, b, sum float64
		ok        bool
	}{
		{1, 2, 3, true},
		{0.5, 0.25, 0.75, true},
		{math.Copysign(0, -1), math.Copysign(0, -1), 0, true},
		{edge - 1, 1, edge, true},
		{1 - edge, -1, -edge, true},
		{edge, 0, edge, true},
		{edge, -1, edge - 1, true},
		{edge, 1, 0, false},
		{-edge, -1, 0, false},
		{edge, 1e-20, 0, false},
		{1e-20, edge, 0, false},
		{edge - 1, 0.6, 0, false},
		{edge, edge, 0, false},
		{math.MaxFloat64, -math.MaxFloat64, 0, true},
		{math.Inf(1), 1, 0, false},
		{math.Inf(1), math.Inf(-1), 0, false},
		{math.NaN(), 1, 0, false},
	} {
		sum, ok := value.Add(c.a, c.b)
		if ok != c.ok || ok && (sum != c.sum || sum == 0 && math.Signbit(sum)) {
			t.Errorf("%v + %v: got %v, %v, want %v, %v", c.a, c.b, sum, ok, c.sum, c.ok)
		}
	}
}

func TestAdd_OfIntegers_IsTheirSumOrNotOK(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		within := rapid.Int64Range(-value.MaxInteger, value.MaxInteger)
		a, b := within.Draw(t, "a"), within.Draw(t, "b")
		sum, ok := value.Add(float64(a), float64(b))
		if fits := a+b >= -value.MaxInteger && a+b <= value.MaxInteger; ok != fits || ok && sum != float64(a+b) {
			t.Fatalf("%d + %d: got %v, %v", a, b, sum, ok)
		}
	})
}

func TestErrorf_IsItsCauseAndWhatItWraps(t *testing.T) {
	inner := errors.New("inner")
	err := value.Errorf(value.ErrCorrupt, "entry %d: %w", 5, inner)
	if err.Error() != "entry 5: inner" {
		t.Errorf("reads %q", err)
	}
	outer := fmt.Errorf("outer: %w", value.Errorf(err, "once more"))
	for _, target := range []error{value.ErrCorrupt, err} {
		if !errors.Is(outer, target) {
			t.Errorf("%v is not %v", outer, target)
		}
	}
	if !errors.Is(err, inner) || errors.Is(err, value.ErrInvalid) {
		t.Errorf("inner: %v, ErrInvalid: %v", errors.Is(err, inner), errors.Is(err, value.ErrInvalid))
	}
}

func TestAppendMapHeader_OfNoPairs_IsAnEmptyArray(t *testing.T) {
	if got := value.AppendMapHeader([]byte{1}, 0); !bytes.Equal(got, []byte{1, 0x90}) {
		t.Errorf("got %x", got)
	}
}

func TestAt_LeavesOtherErrorsAlone(t *testing.T) {
	err := errors.New("of somebody else")
	if got := value.AtKey(value.AtIndex(value.AtBool(err, true), 1), "k"); !errors.Is(got, err) || got.Error() != err.Error() {
		t.Errorf("got %v", got)
	}
}
