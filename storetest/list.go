package storetest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store"
)

// listRules are about List.
var listRules = slices.Concat([]rule{
	{name: "OfNothingIsEmptyAndEnds", test: func(s *space) {
		s.wantKeys("", 10)
		s.wantKeys("t:", 10)
	}},
	// A prefix is bytes: it need not end where a part of a key does.
	{name: "HoldsWhatBeginsWithThePrefix", test: func(s *space) {
		s.setAll("a:1", "a:2", "b:1", "ab:1")
		s.wantKeys("a:", 10, "a:1", "a:2")
		s.wantKeys("a", 10, "a:1", "a:2", "ab:1")
		s.wantKeys("a:1", 10, "a:1")
		s.wantKeys("a:1x", 10)
		s.wantKeys("c", 10)
	}},
	{name: "OfTheEmptyPrefixHoldsEverything", test: func(s *space) {
		s.setAll(oddKeys...)
		s.wantKeys("", 7, oddKeys...)
	}},
	{name: "HidesDeletedAndExpired", timed: true, test: func(s *space) {
		s.setAll("t:a", "t:b", "t:c", "t:d", "t:e")
		s.delete("t:a")
		s.swap("t:e", one, nil, 0)
		s.expired("t:c", one)
		s.wantKeys("t:", 10, "t:b", "t:d")
		s.wantKeys("t:", 1, "t:b", "t:d")
	}},
	// More of them than a page holds.
	{name: "HidesWhatExpiredUntilItIsSweptAndAfter", timed: true, test: func(s *space) {
		s.set("t:live", one, 0)
		for i := range 200 {
			s.set(fmt.Sprintf("t:%d", i), one, s.brief())
		}
		s.pass(s.brief())
		s.wantKeys("t:", 10, "t:live")
		s.idle(s.brief())
		s.wantKeys("t:", 10, "t:live")
	}},
	// A listing that looks first at keys and then at entries must not take what is swept in between for live.
	{name: "HidesWhatExpiredWhileItIsSwept", test: hidesWhatExpiredWhileItIsSwept},
	{name: "ShowsWhatWasTouchedAndSwapped", test: func(s *space) {
		s.set("t:a", one, long)
		s.touch("t:a", 0)
		s.swap("t:b", nil, one, long)
		s.wantKeys("t:", 10, "t:a", "t:b")
	}},
	// The limits are on both sides of what there is: a last page that is full, one that is short by one, none at all.
	{name: "HoldsEachKeyWhateverTheLimit", test: func(s *space) {
		keys := s.setMany300()
		for _, limit := range []int{1, 2, 7, 99, 100, 299, 300, 301, 1000} {
			s.wantKeys("t:", limit, keys...)
		}
	}},
	// Only a backend that decides by itself may exceed it, and those are not ordered.
	{name: "PagesAreNoLongerThanTheLimit", needs: isOrdered, test: func(s *space) {
		s.setMany300()
		for _, limit := range []int{1, 7, 100, 299, 300} {
			s.pages("t:", limit, func(page store.Page) {
				if len(page.Keys) > limit {
					s.Fatalf("a page of %d keys with limit %d", len(page.Keys), limit)
				}
			})
		}
	}},
	{name: "IsInByteOrderExactlyOnce", needs: isOrdered, test: func(s *space) {
		shuffled := slices.Clone(oddKeys)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		s.setAll(shuffled...)
		for _, limit := range []int{1, 3, 1000} {
			s.want("keys", s.list("", limit), slices.Sorted(slices.Values(oddKeys)))
		}
	}},
	// The usual way to clear a prefix. Cursors that count positions skip keys.
	{name: "GoesOnWhenTheKeysItGaveAreDeleted", test: func(s *space) {
		keys := s.setMany300()
		var got []string
		s.pages("t:", 10, func(page store.Page) {
			got = append(got, page.Keys...)
			for _, key := range page.Keys {
				s.delete(key)
			}
		})
		slices.Sort(got)
		s.want("keys", slices.Compact(got), keys)
	}},
	{name: "HoldsEveryKeyThatLivesThroughout", test: holdsEveryKeyThatLivesThroughout},
	// Cursors come back from scripts, and so perhaps from their users.
	{name: "OfACursorThatNobodyGaveIsInvalidOrUnderThePrefix", test: func(s *space) {
		s.setAll(neighbours...)
		for _, cursor := range forged(s.cursors("a:", "b:", "")) {
			s.tryCursor("a:", cursor)
		}
	}},
	{name: "OfACursorOfAnotherPrefixIsInvalidOrUnderThePrefix", test: func(s *space) {
		s.setAll(neighbours...)
		cursors := s.cursors("a:", "b:", "", "a", "c:")
		for _, prefix := range []string{"a:", "b:", "c:", "a:1", "zz:"} {
			for _, cursor := range cursors {
				s.tryCursor(prefix, cursor)
			}
		}
	}},
	{name: "OfACursorThatWasCutShortIsInvalidOrUnderThePrefix", test: func(s *space) {
		s.setAll(neighbours...)
		for _, cursor := range s.cursors("a:", "b:", "c:") {
			for cut := range len(cursor) {
				s.tryCursor("a:", cursor[:cut])
				s.tryCursor("b:", cursor[cut:])
			}
		}
	}},
	{name: "OfTheSameCursorAgainGoesOnFromThere", needs: isOrdered, test: func(s *space) {
		s.setAll(neighbours...)
		first, err := s.driver.List(s.ctx, "a:", "", 2)
		s.must("List", err)
		for range 2 {
			second, err := s.driver.List(s.ctx, "a:", first.Next, 2)
			s.must("List", err)
			s.want("second page", second.Keys, []string{"a:3", "a:4"})
		}
	}},
}, prefixRules())

func isOrdered(s *space) bool { return s.info.Ordered }

// prefixRules state for each kind of byte that backends give a meaning to that in a prefix it stands for itself.
func prefixRules() []rule {
	kinds := []struct{ name, prefixes string }{
		{"Star", "t:a* t:* t:a** *"},
		{"QuestionMark", "t:a? t:? t:?? ?"},
		{"Brackets", "t:[ t:[a t:[ab] t:[^a] t:[a-c] t:] t:["},
		{"Backslash", `t:\ t:\* t:\\ t:a\ t:\[ t:\?`},
		{"PercentOrUnderscore", "t:% t:_ t:a% t:a_ t:%%"},
		{"DotOrGreater", "t:. t:> t:a. t:a.> t:.."},
		{"Slash", "t:/ t:a/ t:../"},
		{"Quote", "t:' t:\" t:` t:';"},
		{"Braces", "t:{ t:{a} t:}"},
		{"TheLastASCIIByte", "t:~ t:a~ ~"},
		{"MultiByteRunes", "t:é t:ÿ t:日 t:日本 t:😀 t:\U0010ffff t:\uffff"},
		{"AnotherCase", "t:A t:a t:É T:"},
	}
	var rules []rule
	for _, k := range kinds {
		rules = append(rules, rule{name: "PrefixWith" + k.name + "HoldsNothingElse", test: func(s *space) {
			s.wantPrefixes(strings.Fields(k.prefixes))
		}})
	}
	return rules
}

// wantPrefixes lists each prefix among keys that a pattern, a range with a wrong end, or a collation would let in.
func (s *space) wantPrefixes(prefixes []string) {
	s.Helper()
	near := []string{"t:axb", "t:ab", "t:b", "t:aa", "u:a", "t:a", "t:\u0100", "t:\U00010000"}
	for _, p := range prefixes {
		near = append(near, p+":x", p+":", p+"x:y", p+"~:", p+"\U0010ffff:1")
		runes := []rune(p)
		runes[len(runes)-1]++ // the first key after all that begin with p, where it is one
		near = append(near, string(runes)+":x")
	}
	keys := slices.Concat(oddKeys, near)
	slices.Sort(keys)
	keys = slices.DeleteFunc(slices.Compact(keys), func(key string) bool { return store.CheckKey(key) != nil })
	s.setAll(keys...)
	for _, p := range prefixes {
		under := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !strings.HasPrefix(key, p) })
		s.wantKeys(p, 4, under...)
	}
}

// setAll writes an entry under each of keys.
func (s *space) setAll(keys ...string) {
	s.Helper()
	for _, key := range keys {
		s.set(key, one, 0)
	}
}

// setMany300 writes 300 entries under t: and as many beside them, and returns the keys under t: in byte order.
func (s *space) setMany300() []string {
	s.Helper()
	var keys []string
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("t:%03d", i))
		s.setAll(keys[i], fmt.Sprintf("u:%03d", i))
	}
	return keys
}

// neighbours are keys under the prefixes that rules about cursors use.
var neighbours = []string{
	"a:1", "a:2", "a:3", "a:4", "a:5", "b:1", "b:2", "b:3", "b:4", "b:5", "c:1", "secret:1", "zz:1", "A:1", "a1:1", "0:0",
}

// cursors returns the cursors that drivers give for prefixes. Where pages may be longer than the limit there can be fewer.
func (s *space) cursors(prefixes ...string) []string {
	s.Helper()
	var cursors []string
	for _, prefix := range prefixes {
		s.pages(prefix, 1, func(page store.Page) {
			if page.Next != "" {
				cursors = append(cursors, page.Next)
			}
		})
	}
	return cursors
}

// forged returns cursors that no driver gave: garbage, keys, numbers, and true cursors with a byte changed or added.
func forged(true []string) []string {
	cursors := []string{
		"garbage", " ", "\x00", "\xff\xff\xff\xff", "0", "-1", "1", "18446744073709551615", "18446744073709551616", "9999999999999999999999", "1e3",
		"a", "a:", "a:1", "a:3", "b:1", "secret:1", "zz", "\U0010ffff", "*", "%", "'; --", "../..", "{}", "[]", `{"key":"secret:1"}`, "null",
		strings.Repeat("x", 1<<14),
	}
	for _, c := range slices.Clone(cursors) {
		cursors = append(cursors, base64.StdEncoding.EncodeToString([]byte(c)), base64.RawURLEncoding.EncodeToString([]byte(c)), hex.EncodeToString([]byte(c)))
	}
	for _, c := range true {
		cursors = append(cursors, c+"x", "x"+c, c+c, strings.ToUpper(c))
		for i := range len(c) {
			for _, flip := range []byte{0x01, 0x20, 0x80} {
				b := []byte(c)
				b[i] ^= flip
				cursors = append(cursors, string(b))
			}
		}
	}
	return cursors
}

// tryCursor lists from a cursor that need not be one: ErrInvalid, or keys under prefix and no others.
func (s *space) tryCursor(prefix, cursor string) {
	s.Helper()
	for range 3 {
		page, err := s.driver.List(s.ctx, prefix, cursor, 2)
		if err != nil {
			s.wantKind(fmt.Sprintf("List %q after cursor %q", prefix, cursor), err, "invalid")
			return
		}
		for _, key := range page.Keys {
			if !strings.HasPrefix(key, prefix) || !slices.Contains(neighbours, key) {
				s.Fatalf("List %q after cursor %q answers %q", prefix, cursor, key)
			}
		}
		if cursor = page.Next; cursor == "" {
			return
		}
	}
}

// holdsEveryKeyThatLivesThroughout lists while other keys come and go.
func holdsEveryKeyThatLivesThroughout(s *space) {
	keys := s.setMany300()
	s.beside(s.harness.times(3), func() error { return walk(s, keys) }, comingAndGoing(s, "+"), comingAndGoing(s, "-"))
}

// hidesWhatExpiredWhileItIsSwept lists without a pause, in real time on every driver, while entries expire and are reclaimed.
func hidesWhatExpiredWhileItIsSwept(s *space) {
	ends := map[string]time.Time{}
	last := time.Now()
	for i := range 200 {
		key := fmt.Sprintf("t:%03d", i)
		ttl := time.Millisecond + time.Duration(i)*s.brief()/100
		s.set(key, one, ttl)
		last = time.Now().Add(ttl + 2*s.info.TTLResolution + 5*time.Millisecond) // a server's clock may tick in between
		ends[key] = last
	}
	for start := time.Now(); time.Since(last) < 8*s.brief(); start = time.Now() {
		for _, key := range s.list("t:", 1000) {
			if start.After(ends[key]) {
				s.Fatalf("List answers %q %v after it expired", key, start.Sub(ends[key]))
			}
		}
	}
}

// comingAndGoing returns a function that writes one key and deletes another, between and around those that stay.
func comingAndGoing(s *space, suffix string) func() error {
	i := 0
	return func() error {
		i++
		if err := s.driver.Set(s.ctx, fmt.Sprintf("t:%03d%s", i%400, suffix), two, 0); err != nil {
			return err
		}
		_, err := s.driver.Delete(s.ctx, fmt.Sprintf("t:%03d%s", (i+200)%400, suffix))
		return err
	}
}

// walk lists everything under t: and reports a key of keys that is missing, or repeated where the driver is ordered.
func walk(s *space, keys []string) error {
	seen := map[string]int{}
	for cursor := ""; ; {
		page, err := s.driver.List(s.ctx, "t:", cursor, 13)
		if err != nil {
			return err
		}
		for _, key := range page.Keys {
			seen[key]++
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for _, key := range keys {
		if n := seen[key]; n == 0 || n > 1 && s.info.Ordered {
			return fmt.Errorf("List answers %q, which is there all the time, %d times", key, n)
		}
	}
	return nil
}
