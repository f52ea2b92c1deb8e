package mysql

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
)

func TestRows_ThatOthersWrote_AreEntries(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	d := openURL(t, server.URL())
	server.Exec(t, "INSERT INTO luastore (`key`, `value`, expires) VALUES "+
		"('t:a', 'lower', NULL), ('t:A', 'upper', NULL), ('t:a ', 'space', NULL), ('t:ä', 'umlaut', NULL), ('t:past', 'x', 1), ('t:zero', '', 0), "+
		"('t:hour', 'y', (UNIX_TIMESTAMP() + 3600) * 1000000), ('t:ages', 'z', 9223372036854775807)")
	for key, want := range map[string]string{"t:a": "lower", "t:A": "upper", "t:a ": "space", "t:ä": "umlaut", "t:hour": "y", "t:ages": "z"} {
		if v, err := d.Get(ctx, key); string(v) != want || err != nil {
			t.Errorf("%s: %q, %v", key, v, err)
		}
	}
	for _, key := range []string{"t:past", "t:zero", "t:", "t:a\x00", "t:a  "} {
		if has := must(d.Has(ctx, key))(t); has {
			t.Errorf("%q exists", key)
		}
	}
	page := must(d.List(ctx, "t:", "", 100))(t)
	if want := []string{"t:A", "t:a", "t:a ", "t:ages", "t:hour", "t:ä"}; !slices.Equal(page.Keys, want) {
		t.Errorf("listed %q, want %q", page.Keys, want)
	}
	if ttl := must(d.TTL(ctx, "t:hour"))(t); ttl < 59*time.Minute || ttl > time.Hour {
		t.Errorf("an hour is %v", ttl)
	}
	if ttl := must(d.TTL(ctx, "t:ages"))(t); ttl < store.MaxTTL {
		t.Errorf("ages are %v", ttl)
	}
}

func TestRows_OfADriver_AreReadableBySQL(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	d := openURL(t, server.URL())
	must(0, d.Set(ctx, "t:k", []byte("plain"), time.Hour))(t)
	if v := server.Query(t, "SELECT `value` FROM luastore WHERE `key` = 't:k' AND expires BETWEEN (UNIX_TIMESTAMP() + 3500) * 1000000 AND (UNIX_TIMESTAMP() + 3601) * 1000000"); v != "plain" {
		t.Errorf("got %q", v)
	}
}

// Info says how long a value may be; longer ones, which only others can have written, stay on the server.
func TestRows_WithAValueTooLong_AreCorruptAndNotFetched(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	b := startBreaker(t, server.Addr())
	d := openURL(t, strings.Replace(server.URL(), server.Addr(), b.addr, 1)+"?max_value_bytes=1000")
	server.Exec(t, "INSERT INTO luastore (`key`, `value`) VALUES ('t:long', REPEAT('x', 5000000)), ('t:most', REPEAT('x', 1000)), ('t:more', REPEAT('x', 1001))")
	before := b.replied.Load()
	for _, key := range []string{"t:long", "t:more"} {
		_, err := d.Get(ctx, key)
		_, _, err2 := d.Entry(ctx, key)
		_, err3 := d.Incr(ctx, key, 1, 0, 0)
		for _, err := range []error{err, err2, err3} {
			if store.Kind(err) != "corrupt" || !strings.Contains(err.Error(), "max_value_bytes") {
				t.Errorf("%s: %v, want corrupt", key, err)
			}
		}
	}
	values, err := d.GetMany(ctx, []string{"t:long", "t:most", "t:none", "t:more"})
	var batch *store.BatchError
	if !errors.As(err, &batch) || !slices.Equal(batch.Keys(), []string{"t:long", "t:more"}) || store.Kind(err) != "corrupt" || len(values[1]) != 1000 {
		t.Errorf("GetMany: %v", err)
	}
	if n := b.replied.Load() - before; n > 10_000 {
		t.Errorf("%d bytes came", n)
	}
	if swapped, err := d.CompareAndSwap(ctx, "t:more", bytes.Repeat([]byte("x"), 1001), nil, 0); swapped || err != nil {
		t.Errorf("a swap of what nobody can have read: %v, %v", swapped, err)
	}
	if err := d.Set(ctx, "t:new", make([]byte, 1001), 0); store.Kind(err) != "too_large" {
		t.Errorf("writing one: %v", err)
	}
	must(0, d.Set(ctx, "t:long", []byte("short"), 0))(t)
	if !must(d.Delete(ctx, "t:more"))(t) {
		t.Error("it could not be deleted")
	}
}

// The text of a statement may be twice as long as the bytes in it. What then exceeds a packet is sent in pieces.
func TestValues_OfAlmostAPacket_ArriveByteForByte(t *testing.T) {
	server := mariadbtest.Start(t, &mariadbtest.Options{Args: []string{"--max-allowed-packet=1M"}})
	d, ctx := openURL(t, server.URL()), testContext(t)
	most := d.Info().MaxValueBytes
	if most >= 1<<20 || most < 1<<20-8<<10 {
		t.Fatalf("values of up to %d bytes", most)
	}
	random := make([]byte, most)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	values := [][]byte{random, bytes.Repeat([]byte{'\''}, most), bytes.Repeat([]byte{'\\'}, most), bytes.Repeat([]byte{0}, most/2), random[:most/3]}
	var items []store.Item
	for i, v := range values {
		items = append(items, store.Item{Key: "t:" + string(rune('a'+i)), Value: v})
	}
	must(0, d.SetMany(ctx, items, 0))(t)
	got := must(d.GetMany(ctx, keysOf(items)))(t)
	for i, v := range values {
		if !bytes.Equal(got[i], v) {
			t.Errorf("value %d of a batch has changed", i)
		}
		next := values[(i+1)%len(values)]
		must(0, d.Set(ctx, "t:k", v, 0))(t)
		if !must(d.CompareAndSwap(ctx, "t:k", v, next, 0))(t) || !bytes.Equal(must(d.Get(ctx, "t:k"))(t), next) {
			t.Errorf("value %d was not swapped", i)
		}
	}
	if err := d.Set(ctx, "t:k", make([]byte, most+1), 0); store.Kind(err) != "too_large" {
		t.Errorf("one byte more: %v", err)
	}
	if err := d.Set(ctx, "t:"+strings.Repeat("x", maxKeyBytes), nil, 0); store.Kind(err) != "too_large" {
		t.Errorf("a key too long: %v", err)
	}
}

// The text of a statement is about twice as long as the bytes in it. What then exceeds a packet is sent otherwise.
func TestSetMany_OfAnyLengthUpToTheLongest_Fits(t *testing.T) {
	server := mariadbtest.Shared(t)
	server.Exec(t, "SET GLOBAL max_allowed_packet = 65536")
	t.Cleanup(func() { server.Exec(t, "SET GLOBAL max_allowed_packet = DEFAULT") })
	d, ctx := openURL(t, server.URL()), testContext(t)
	most := d.Info().MaxValueBytes
	for _, ttl := range []time.Duration{0, time.Hour} {
		for _, length := range []int{most, most - 1, most / 2, most/2 - 1, most/2 - 100, most/2 - 2000, most/2 - 4000, most / 4, most / 100, 0} {
			var items []store.Item
			for i := range 150 {
				items = append(items, store.Item{Key: fmt.Sprintf("%03d%s", i, strings.Repeat("'", maxKeyBytes-3)), Value: bytes.Repeat([]byte{'\\'}, length)})
			}
			must(0, d.SetMany(ctx, items, ttl))(t)
			for i, v := range must(d.GetMany(ctx, keysOf(items)))(t) {
				if !bytes.Equal(v, items[i].Value) {
					t.Fatalf("%d bytes became %d", length, len(v))
				}
			}
			if n := must(d.DeleteMany(ctx, keysOf(items)))(t); n != len(items) {
				t.Errorf("deleted %d", n)
			}
		}
	}
}

func TestServer_WithASmallerPacketThanBefore_SaysTooLarge(t *testing.T) {
	server := mariadbtest.Start(t, nil)
	d, ctx := openURL(t, server.URL()), testContext(t)
	server.Exec(t, "SET GLOBAL max_allowed_packet = 65536")
	server.Restart(t) // forgets it: the old limit holds for old connections only
	server.Exec(t, "SET GLOBAL max_allowed_packet = 65536")
	err := d.Set(ctx, "t:k", make([]byte, 1<<20), 0)
	if store.Kind(err) != "too_large" {
		t.Errorf("got %v", err)
	}
	must(0, d.Set(ctx, "t:k", make([]byte, 1000), 0))(t)
}
