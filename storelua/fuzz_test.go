package storelua_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

func FuzzDecode(f *testing.F) {
	L := newState(f)
	for _, c := range hostile {
		if len(c.bytes) < 1000 {
			f.Add(c.bytes)
		}
	}
	for _, code := range []string{
		"{1, 2, {3}, 'x', true}", "{1, nil, 3, a = {b = {}}, [0] = 0, [-1] = false, [1.5] = 1/0, [true] = '\\255'}", "2^53", "-0.5",
	} {
		f.Add(encode(f, eval(f, L, code)))
	}
	f.Add(tableOf(3, 1, 2))
	f.Add([]byte{0x82, 0xa1, 'a', 0x01, 0xa1, 'a', 0x02})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := storelua.Decode(L, b, value.Limits{})
		if err != nil {
			if !errors.Is(err, value.ErrCorrupt) || v != nil {
				t.Fatalf("got %v, %v", v, err)
			}
			return
		}
		if err := value.Validate(b, value.Limits{}); err != nil {
			t.Fatalf("was decoded, but Validate says %v", err)
		}
		canonical := encode(t, v)
		again := decode(t, L, canonical)
		wantSame(t, again, v)
		if twice := encode(t, again); !bytes.Equal(twice, canonical) {
			t.Fatalf("written as %x, then as %x", canonical, twice)
		}
	})
}
