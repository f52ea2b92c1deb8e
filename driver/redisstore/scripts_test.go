package redisstore

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/value"
)

// incrModel is what Incr must do to stored bytes; nil if the key is absent.
func incrModel(stored []byte, delta, initial float64) ([]byte, error) {
	n := initial
	if stored != nil {
		var ok bool
		if n, ok = value.ParseNumber(stored); !ok {
			return stored, store.ErrNotNumber
		}
	}
	sum, ok := value.Add(n, delta)
	if !ok {
		return stored, store.ErrOutOfRange
	}
	return value.AppendNumber(nil, sum), nil
}

var edges = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.5, -0.5, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<53 - 1, 1 << 53, -(1 << 53), 1<<53 + 2,
	-32, -33, -128, -129, -32768, -32769, -1 << 31, -1<<31 - 1, 1e300, -1e300, math.SmallestNonzeroFloat64, 0.1, 1.0 / 3, math.MaxFloat64,
}

func randomNumber(r *rand.Rand) float64 {
	switch r.IntN(4) {
	case 0:
		return edges[r.IntN(len(edges))]
	case 1:
		return float64(r.Int64N(1<<uint(1+r.IntN(54))) * int64(1-2*r.IntN(2)))
	case 2:
		return r.NormFloat64() * math.Pow(10, float64(r.IntN(40)-20))
	}
	return edges[r.IntN(len(edges))] + float64(r.IntN(5)-2)
}

// randomStored returns nil, canonical numbers, every other form of a number, and what only looks like one.
func randomStored(r *rand.Rand) []byte {
	wide := func(first byte, size int, n uint64) []byte {
		b := binary.BigEndian.AppendUint64(nil, n)
		return append([]byte{first}, b[8-size:]...)
	}
	var b []byte
	switch r.IntN(8) {
	case 0:
		return nil
	case 1, 2:
		return value.AppendNumber(nil, randomNumber(r))
	case 3:
		special := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 1, 1 << 53, 1e17}
		return wide(0xcb, 8, math.Float64bits(special[r.IntN(len(special))]))
	case 4:
		b = wide(0xca, 4, uint64(math.Float32bits(float32(randomNumber(r)))))
	case 5:
		first := 0xcc + byte(r.IntN(8))
		n := r.Uint64() >> r.IntN(64)
		if r.IntN(3) == 0 {
			n = uint64(int64(randomNumber(r)))
		}
		b = wide(first, 1<<((first-0xcc)%4), n)
	case 6:
		b = []byte{byte(r.IntN(256))}
	default:
		b = make([]byte, r.IntN(12))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
	}
	if r.IntN(6) == 0 {
		b = append(b, make([]byte, r.IntN(3))...)
	}
	if r.IntN(6) == 0 && len(b) > 0 {
		b = b[:len(b)-1]
	}
	return b
}

func TestIncr_DoesWhatPackageValueDoes(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx, raw := openURL(t, server.URL()), testContext(t), server.Client(t)
	rounds := 20_000
	if testing.Short() || boundtest.Race {
		rounds = 3_000
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range rounds {
		stored, delta, initial := randomStored(r), randomNumber(r), randomNumber(r)
		want, wantErr := incrModel(stored, delta, initial)
		put := raw.B().Del().Key("k:n").Build()
		if stored != nil {
			put = raw.B().Set().Key("k:n").Value(string(stored)).PxMilliseconds(100_000).Build()
		}
		if err := raw.Do(ctx, put).Error(); err != nil {
			t.Fatal(err)
		}
		got, err := d.Incr(ctx, "k:n", delta, initial, 50*time.Second)
		if !errors.Is(err, wantErr) {
			t.Fatalf("seed %d: Incr(%x, %v, %v) = %v, want error %v", seed, stored, delta, initial, err, wantErr)
		}
		after, getErr := raw.Do(ctx, raw.B().Get().Key("k:n").Build()).ToString()
		if rueidis.IsRedisNil(getErr) != (want == nil) || after != string(want) {
			t.Fatalf("seed %d: Incr(%x, %v, %v) stored %x, want %x", seed, stored, delta, initial, after, want)
		}
		if sum, _ := value.ParseNumber(want); err == nil && (got != sum || math.Signbit(got) != math.Signbit(sum)) {
			t.Fatalf("seed %d: Incr(%x, %v, %v) = %v, want %v", seed, stored, delta, initial, got, sum)
		}
		if left, _ := raw.Do(ctx, raw.B().Pttl().Key("k:n").Build()).ToInt64(); want != nil && (left <= 50_000) != (stored == nil) {
			t.Fatalf("seed %d: Incr(%x, %v, %v) left %d ms", seed, stored, delta, initial, left)
		}
	}
}

func TestIncr_EveryShortForm_IsReadAsPackageValueReadsIt(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx, raw := openURL(t, server.URL()), testContext(t), server.Client(t)
	for first := range 256 {
		for length := 1; length <= 10; length++ {
			stored := append([]byte{byte(first)}, make([]byte, length-1)...)
			raw.Do(ctx, raw.B().Set().Key("k:n").Value(string(stored)).Build())
			_, ok := value.ParseNumber(stored)
			if _, err := d.Incr(ctx, "k:n", 1, 0, 0); (err == nil) != ok {
				t.Errorf("%x: %v, number %v", stored, err, ok)
			}
		}
	}
}

func TestIncr_TTL(t *testing.T) {
	d, ctx := openURL(t, redistest.Shared(t).URL()), testContext(t)
	for _, ttl := range []time.Duration{0, store.KeepTTL} {
		d.Delete(ctx, "k:n")
		d.Incr(ctx, "k:n", 1, 0, ttl)
		if left, err := d.TTL(ctx, "k:n"); left != 0 || err != nil {
			t.Errorf("created with ttl %v: %v, %v", ttl, left, err)
		}
		d.Incr(ctx, "k:n", 1, 0, time.Hour)
		if left, err := d.TTL(ctx, "k:n"); left != 0 || err != nil {
			t.Errorf("an existing entry got an expiry: %v, %v", left, err)
		}
	}
}

func TestCompareAndSwap(t *testing.T) {
	server := redistest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	for name, c := range map[string]struct {
		present, old, next []byte
		ttl                time.Duration
		swapped            bool
		after              string
		pttl               bool // the entry expires afterwards; before it expires in an hour
	}{
		"absent, create":           {nil, nil, []byte("b"), time.Minute, true, "b", true},
		"absent, create, never":    {nil, nil, []byte("b"), 0, true, "b", false},
		"absent, create, keep":     {nil, nil, []byte("b"), store.KeepTTL, true, "b", false},
		"absent, create empty":     {nil, nil, []byte{}, 0, true, "", false},
		"absent, replace":          {nil, []byte("a"), []byte("b"), 0, false, "", false},
		"absent, replace empty":    {nil, []byte{}, []byte("b"), 0, false, "", false},
		"absent, delete":           {nil, []byte("a"), nil, 0, false, "", false},
		"absent, expect absent":    {nil, nil, nil, 0, true, "", false},
		"present, create":          {[]byte("a"), nil, []byte("b"), 0, false, "a", true},
		"present, expect absent":   {[]byte("a"), nil, nil, 0, false, "a", true},
		"present, replace":         {[]byte("a\x00\xff"), []byte("a\x00\xff"), []byte("b"), time.Minute, true, "b", true},
		"present, replace, never":  {[]byte("a"), []byte("a"), []byte("b"), 0, true, "b", false},
		"present, replace, keep":   {[]byte("a"), []byte("a"), []byte("b"), store.KeepTTL, true, "b", true},
		"present, delete":          {[]byte("a"), []byte("a"), nil, 0, true, "", false},
		"present, other":           {[]byte("a"), []byte("b"), []byte("c"), 0, false, "a", true},
		"present, longer":          {[]byte("a"), []byte("ab"), []byte("c"), 0, false, "a", true},
		"present empty, replace":   {[]byte{}, []byte{}, []byte("c"), 0, true, "c", false},
		"present, other, deleting": {[]byte("a"), []byte("b"), nil, 0, false, "a", true},
		"looks like a number":      {[]byte("1"), []byte("1.0"), []byte("2"), 0, false, "1", true},
	} {
		t.Run(name, func(t *testing.T) {
			d.Delete(ctx, "k:x")
			if c.present != nil {
				d.Set(ctx, "k:x", c.present, time.Hour)
			}
			swapped, err := d.CompareAndSwap(ctx, "k:x", c.old, c.next, c.ttl)
			if swapped != c.swapped || err != nil {
				t.Errorf("swapped %v, %v, want %v", swapped, err, c.swapped)
			}
			if after := server.Do(t, "GET", "k:x"); after != c.after {
				t.Errorf("left %q, want %q", after, c.after)
			}
			if ttl, _ := d.TTL(ctx, "k:x"); (ttl > 0) != c.pttl {
				t.Errorf("left a ttl of %v", ttl)
			}
		})
	}
}
