package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/luastore/store"
)

// valueRules are about what a driver keeps: bytes, exactly.
var valueRules = []rule{
	{name: "KeepsEveryByte", test: func(s *space) {
		s.set("t:k", everyByte(), 0)
		s.wantValue("t:k", everyByte())
	}},
	{name: "KeepsBytesThatAreNoLuaValue", raw: true, test: func(s *space) {
		for b := range 256 {
			v := []byte{byte(b)}
			s.set("t:k", v, 0)
			s.want("Get", s.get("t:k"), v)
		}
	}},
	// It is one byte when stored, and not nothing.
	{name: "KeepsTheEmptyString", test: func(s *space) {
		s.set("t:k", str(""), 0)
		s.wantValue("t:k", str(""))
	}},
	// No script stores such a value, but other clients of a shared backend do: it is a corrupt entry, not an absent one.
	{name: "WithoutBytesIsAnEntryAllTheSame", raw: true, test: func(s *space) {
		s.set("t:k", []byte{}, 0)
		s.wantValue("t:k", []byte{})
		// Nil, handed on to CompareAndSwap, would mean that there is no entry.
		for _, read := range readers {
			s.want("value of no bytes is nil", read(s, "t:k") == nil, false)
		}
		s.want("CompareAndSwap that wants it absent", s.swap("t:k", nil, one, 0), false)
		s.want("CompareAndSwap that wants it empty", s.swap("t:k", []byte{}, one, 0), true)
	}},
	// The sizes are on both sides of those at which backends change their way of storing.
	{name: "KeepsOneMebibyte", test: func(s *space) {
		for _, size := range []int{1<<10 - 1, 1 << 14, 1<<16 + 1, 1 << 20} {
			v := big(s.largest(size), "x")
			s.set("t:k", v, 0)
			s.wantValue("t:k", v)
		}
	}},
	// A reader decodes what it got after it let go of every lock: a driver that writes into it in place tears the value.
	{name: "StaysWhatItWasAfterItIsOverwritten", test: func(s *space) {
		for _, read := range readers {
			s.set("t:k", str("before"), 0)
			got := read(s, "t:k")
			s.set("t:k", str("after!"), 0)
			s.swap("t:k", str("after!"), str("later!"), 0)
			s.delete("t:k")
			s.want("value read before", got, str("before"))
		}
	}},
	{name: "IsNotChangedByWhatIsWrittenToOtherKeys", test: func(s *space) {
		s.set("t:k", one, 0)
		got := s.get("t:k")
		for i := range 100 {
			s.set(fmt.Sprintf("t:%d", i), two, 0)
			s.get(fmt.Sprintf("t:%d", i))
		}
		s.want("value read before", got, one)
	}},
}

// readers are the methods that answer a value.
var readers = []func(s *space, key string) []byte{
	func(s *space, key string) []byte { return s.get(key) },
	func(s *space, key string) []byte {
		v, _ := s.entry(key)
		return v
	},
	func(s *space, key string) []byte {
		if !isBatcher(s) {
			return s.get(key)
		}
		return s.getMany(key)[0]
	},
}

// keyRules are about which keys are equal: those with the same bytes.
var keyRules = []rule{
	{name: "UpToTheLongestHasItsOwnEntry", test: func(s *space) {
		longest := s.longestKey()
		key := "t:" + strings.Repeat("k", longest-2)
		other := key[:longest-1] + "l"
		s.set(key, one, 0)
		s.wantAbsent(other)
		s.set(other, two, 0)
		s.wantValue(key, one)
		s.wantValue(other, two)
		s.wantKeys(key[:longest-1], 10, key, other)
	}},
	{name: "OfMultiByteRunesUpToTheLongestHasItsOwnEntry", test: func(s *space) {
		key := "t:" + strings.Repeat("語", (s.longestKey()-2)/3)
		s.set(key, one, 0)
		s.wantValue(key, one)
		s.wantKeys("t:語", 10, key)
	}},
	// All at once, because what takes two keys for one shows only when both are there.
	{name: "DiffersByEveryByte", test: func(s *space) {
		for i, key := range oddKeys {
			s.set(key, num(float64(i)), 0)
		}
		for i, key := range oddKeys {
			s.want(fmt.Sprintf("value of %q", key), s.get(key), num(float64(i)))
		}
		s.wantKeys("", 10, oddKeys...)
		for _, key := range oddKeys {
			s.want(fmt.Sprintf("Delete %q", key), s.delete(key), true)
			s.wantAbsent(key)
		}
	}},
	{name: "IsCaseSensitive", test: func(s *space) {
		s.set("t:Key", one, 0)
		s.wantAbsent("t:key")
		s.wantAbsent("T:Key")
		s.want("Delete of the other case", s.delete("t:KEY"), false)
		s.wantKeys("t:k", 10)
	}},
}

// oddKeys are valid keys, different ones, that a careless backend mangles or takes for each other: by pattern, quoting, path,
// subject, case, collation, normal form, padding or code page.
var oddKeys = []string{
	"t:*", "t:?", "t:[a-c]", "t:[^a]", "t:b", `t:\`, `t:\*`, `t:\\`, "t:%", "t:_", "t:%25", "t:%2F", "t:x%00",
	"t:'", `t:"`, "t:`", "t:';--", "t:$1", "t:?1", "t:@k", "t:#", "t:{a}b", "t:{a}c", "t:a{}", "t:}{",
	"t:/", "t:..", "t:../t:b", "t:.", "t:a.b", "t:a.>", "t:>", "t:.a", "t:a.", "t:a/b", "t://", "t:~", "t:!", "t:=", "t:-", "t:+",
	"t: ", "t:a", "t:a ", "t: a", "t:A", "t::", "t:::", "t:a:", "t:a:b", "t:0", "t:00", "t:0x0", "t:nil", "t:null", "t:-1",
	"t:é", "t:e\u0301", "t:É", "t:ß", "t:ss", "t:ﬀ", "t:ff", "t:İ", "t:i", "t:ı", "t:日本語", "t:日本", "t:😀", "t:\u00a0", "t:\u200b",
	"t:\u2028", "t:\ufeff", "t:\ufffd", "t:\uffff", "t:\U0010ffff", "t:ÿ", "T:a", "tt:a", "t:aa", "é:é",
}

// getRules are about Get.
var getRules = []rule{
	{name: "ReturnsWhatWasSetLast", test: func(s *space) {
		for i := range 20 {
			s.set("t:k", num(float64(i)), 0)
			s.wantValue("t:k", num(float64(i)))
		}
	}},
	// Callers compare with errors.Is, scripts with the kind.
	{name: "OfAbsentIsNotFound", test: func(s *space) {
		s.set("t:other", one, 0)
		_, err := s.driver.Get(s.ctx, "t:k")
		s.want("errors.Is(err, ErrNotFound)", errors.Is(err, store.ErrNotFound), true)
		s.wantKind("Get", err, "not_found")
	}},
	{name: "OfDeletedIsNotFound", test: func(s *space) {
		s.set("t:k", one, 0)
		s.delete("t:k")
		s.wantAbsent("t:k")
	}},
	{name: "OfExpiredIsNotFound", timed: true, test: func(s *space) {
		s.expired("t:k", one)
		_, err := s.driver.Get(s.ctx, "t:k")
		s.wantKind("Get", err, "not_found")
	}},
	// A read that began after a write had been answered sees that write or a later one, from whichever goroutine.
	{name: "SeesEveryCompletedWrite", test: func(s *space) {
		s.set("t:k", num(0), 0)
		var written atomic.Int64
		write := func() error {
			next := written.Load() + 1
			if err := s.driver.Set(s.ctx, "t:k", num(float64(next)), 0); err != nil {
				return err
			}
			written.Store(next)
			return nil
		}
		s.beside(s.harness.times(500), func() error {
			least := written.Load()
			v, err := s.driver.Get(s.ctx, "t:k")
			if got := number(v); err == nil && got < float64(least) {
				err = fmt.Errorf("read %v after %v had been written", got, least)
			}
			return err
		}, write)
	}},
	// Two values of which each byte tells to which it belongs.
	{name: "NeverSeesHalfAWrite", test: func(s *space) {
		a, b := big(s.largest(1<<14), "a"), big(s.largest(1<<14), "b")
		s.set("t:k", a, 0)
		write := func(v []byte) func() error {
			return func() error { return s.driver.Set(s.ctx, "t:k", v, 0) }
		}
		s.beside(s.harness.times(200), func() error {
			v, err := s.driver.Get(s.ctx, "t:k")
			if err == nil && !bytes.Equal(v, a) && !bytes.Equal(v, b) {
				err = errors.New("read a value that nobody wrote")
			}
			return err
		}, write(a), write(b))
	}},
}

// hasRules are about Has.
var hasRules = []rule{
	{name: "TellsWhetherThereIsAnEntry", test: func(s *space) {
		s.want("before", s.has("t:k"), false)
		s.set("t:k", one, 0)
		s.want("after Set", s.has("t:k"), true)
		s.delete("t:k")
		s.want("after Delete", s.has("t:k"), false)
	}},
	{name: "OfExpiredIsFalse", timed: true, test: func(s *space) {
		s.expired("t:k", one)
		s.want("Has", s.has("t:k"), false)
	}},
}

// setRules are about Set, but for what it does to expiry: see ttlRules.
var setRules = []rule{
	{name: "Overwrites", test: func(s *space) {
		s.set("t:k", one, 0)
		s.set("t:k", two, 0)
		s.wantValue("t:k", two)
		s.wantKeys("", 10, "t:k")
	}},
	{name: "OverwritesAValueOfAnotherLength", test: func(s *space) {
		for _, v := range [][]byte{big(s.largest(1<<16), "x"), one, num(1), everyByte(), str("")} {
			s.set("t:k", v, 0)
			s.wantValue("t:k", v)
		}
	}},
	// A driver that reads the expiry first and writes it with the value later gives a new entry the expiry of an old one.
	{name: "WithKeepTTLBesideDeleteKeepsNoExpiryOfTheDeleted", test: func(s *space) {
		for range s.harness.times(100) {
			s.set("t:k", one, long)
			s.both(func() error {
				_, err := s.driver.Delete(s.ctx, "t:k")
				return err
			}, func() error { return s.driver.Set(s.ctx, "t:k", two, store.KeepTTL) })
			if s.has("t:k") {
				s.wantLeft("t:k", 0)
			}
		}
	}},
}

// deleteRules are about Delete.
var deleteRules = []rule{
	{name: "OfLiveIsTrueOnce", test: func(s *space) {
		s.set("t:k", one, 0)
		s.set("t:other", one, 0)
		s.want("first", s.delete("t:k"), true)
		s.want("second", s.delete("t:k"), false)
		s.wantValue("t:other", one)
	}},
	{name: "OfAbsentIsFalse", test: func(s *space) {
		s.want("Delete", s.delete("t:k"), false)
		s.wantAbsent("t:k")
	}},
	{name: "OfExpiredIsFalse", timed: true, test: func(s *space) {
		s.expired("t:k", one)
		s.want("Delete", s.delete("t:k"), false)
	}},
	// An expiry that is kept beside the entries must go with its entry.
	{name: "LeavesNoExpiryBehind", test: func(s *space) {
		s.set("t:k", one, long)
		s.delete("t:k")
		s.set("t:k", two, store.KeepTTL)
		s.wantLeft("t:k", 0)
	}},
	// Whoever gets true may act on it: a job that is claimed by deleting its entry must not be claimed twice.
	{name: "OneWinnerOfManyConcurrent", test: func(s *space) {
		for range s.harness.times(100) {
			s.set("t:k", one, 0)
			var won atomic.Int64
			s.together(8, func(int) error {
				existed, err := s.driver.Delete(s.ctx, "t:k")
				if existed {
					won.Add(1)
				}
				return err
			})
			s.want("callers who deleted it", won.Load(), int64(1))
		}
	}},
}

// everyByte returns a stored string of all bytes.
func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return str(string(b))
}

// big returns a stored string of size bytes, or a few less.
func big(size int, fill string) []byte {
	header := len(str(strings.Repeat(fill, size))) - size
	return str(strings.Repeat(fill, size-header))
}

// longestKey returns how many bytes a key may have: those of a store, unless the driver says that it takes fewer.
func (s *space) longestKey() int {
	if s.info.MaxKeyBytes > 0 {
		return min(store.DefaultKeyBytes, s.info.MaxKeyBytes)
	}
	return store.DefaultKeyBytes
}

// largest returns size, or less where the driver says that it does not take that much.
func (s *space) largest(size int) int {
	if s.info.MaxValueBytes > 0 {
		return min(size, s.info.MaxValueBytes)
	}
	return size
}
