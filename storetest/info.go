package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/luastore/store"
)

func isBounded(s *space) bool { return s.info.MaxEntries > 0 && s.info.MaxEntries <= 100_000 }

func isBoundedInBytes(s *space) bool { return s.info.MaxBytes >= 10_000 && s.info.MaxBytes <= 64<<20 }

// hasShortValues narrows a rule to drivers whose longest value is no burden.
func hasShortValues(s *space) bool { return s.info.MaxValueBytes > 0 && s.info.MaxValueBytes <= 64<<20 }

// hasShortKeys narrows a rule to drivers that take shorter keys than stores do.
func hasShortKeys(s *space) bool {
	return s.info.MaxKeyBytes > 0 && s.info.MaxKeyBytes < store.DefaultKeyBytes
}

func isPersistentAlone(s *space) bool { return isAlone(s) && isPersistent(s) }

// infoRules are about Info: that it is the truth. Ordered and TTLResolution show in the rules about lists and ttls, Network in
// those about handles; Durability, Consistency and Clock are for people.
var infoRules = []rule{
	{name: "SaysWhatAUserMustKnow", test: func(s *space) {
		for field, text := range map[string]string{
			"Driver": s.info.Driver, "Durability": s.info.Durability, "Consistency": s.info.Consistency, "Clock": s.info.Clock,
		} {
			if strings.TrimSpace(text) == "" {
				s.Errorf("Info.%s is empty", field)
			}
		}
	}},
	{name: "HasATTLResolution", test: func(s *space) {
		if r := s.info.TTLResolution; r <= 0 || r > time.Minute {
			s.Fatalf("Info.TTLResolution is %v", r)
		}
	}},
	{name: "HasLimitsThatFitTheStore", test: func(s *space) {
		i := s.info
		if i.MaxEntries < 0 || i.MaxBytes < 0 || i.MaxKeyBytes < 0 || i.MaxValueBytes < 0 {
			s.Fatalf("a limit below 0 in %+v", i)
		}
	}},
	{name: "IsInProcessOrSaysNetwork", test: func(s *space) {
		s.want("in-process and Info.Network", s.harness.InProcess && s.info.Network, false)
	}},
	// Handles read it once.
	{name: "DoesNotChange", test: func(s *space) {
		for _, o := range ops {
			if o.needs == nil || o.needs(s) {
				_ = o.call(s.ctx, s.driver)
			}
			s.want("Info", s.driver.Info(), s.info)
		}
	}},
	{name: "SharedMeansThatAnotherConnectionSeesTheEntries", needs: isShared, test: func(s *space) {
		other := s.another()
		defer other.driver.Close()
		s.set("t:k", one, long)
		other.wantValue("t:k", one)
		other.wantLeft("t:k", long)
		other.want("Delete by the other", other.delete("t:k"), true)
		s.wantAbsent("t:k")
		other.set("t:k", two, 0)
		s.wantValue("t:k", two)
	}},
	{name: "NotSharedMeansThatNoOtherConnectionSeesTheEntries", needs: isForgetful, test: func(s *space) {
		d, err := s.opener.Open(s.ctx)
		if err != nil {
			s.wantKind("a second Open", err, "unavailable")
			return
		}
		other := *s
		other.driver = d
		defer d.Close()
		s.set("t:k", one, 0)
		other.wantAbsent("t:k")
		other.wantKeys("", 10)
	}},
	// Two that write into one place would destroy it.
	{name: "NotSharedRefusesASecondOpeningOfWhatPersistsAtOnce", needs: isPersistentAlone, test: func(s *space) {
		s.seed()
		for range 3 {
			s.returns("a second Open", func() {
				d, err := s.opener.Open(s.ctx)
				if err == nil {
					d.Close()
				}
				if store.Kind(err) != "unavailable" {
					s.Errorf("a second Open: error %v of kind %q, want unavailable", err, store.Kind(err))
				}
			})
		}
		s.wantSeed()
		s.set("t:new", two, 0)
		s.must("Close", s.driver.Close())
		s.reopen()
		s.wantKeys("", 10, "t:k", "t:n", "t:new")
	}},
	{name: "MaxValueBytesIsTakenAndOneMoreIsTooLarge", needs: hasShortValues, test: func(s *space) {
		most := bytes.Repeat([]byte("x"), s.info.MaxValueBytes)
		beyond := append(most[:len(most):len(most)], 'x')
		s.set("t:k", most, 0)
		s.wantValue("t:k", most)
		s.seed()
		s.wantKind("Set", s.driver.Set(s.ctx, "t:k", beyond, 0), "too_large")
		_, err := s.driver.CompareAndSwap(s.ctx, "t:k", one, beyond, 0)
		s.wantKind("CompareAndSwap", err, "too_large")
		_, err = s.driver.CompareAndSwap(s.ctx, "t:new", nil, beyond, 0)
		s.wantKind("CompareAndSwap that creates", err, "too_large")
		if b, ok := s.driver.(store.Batcher); ok {
			s.wantKind("SetMany", b.SetMany(s.ctx, []store.Item{{Key: "t:k", Value: beyond}}, 0), "too_large")
		}
		s.wantSeed()
	}},
	{name: "MaxKeyBytesIsTakenAndOneMoreIsRefused", needs: hasShortKeys, test: func(s *space) {
		s.seed()
		most := "t:" + strings.Repeat("x", s.info.MaxKeyBytes-len("t:"))
		s.wantKind("Set", s.driver.Set(s.ctx, most+"x", one, 0), "too_large", "invalid")
		s.wantSeed()
		s.set(most, two, 0)
		s.wantValue(most, two)
	}},
	// By refusing or by evicting.
	{name: "MaxEntriesIsNeverExceeded", needs: isBounded, test: func(s *space) {
		beyond := int(s.info.MaxEntries) + 10
		refused := 0
		for i := range beyond {
			err := s.driver.Set(s.ctx, fmt.Sprintf("t:%d", i), one, 0)
			if err != nil {
				s.wantKind("Set", err, "full")
				refused++
			}
		}
		if n := len(s.list("", 1000)); n > int(s.info.MaxEntries) || n+refused > beyond {
			s.Fatalf("%d entries, at most %d, %d of %d refused", n, s.info.MaxEntries, refused, beyond)
		}
	}},
	{name: "MaxBytesIsNeverExceeded", needs: isBoundedInBytes, test: func(s *space) {
		const keyBytes = len("t:0000")
		v := make([]byte, s.info.MaxBytes/100)
		for i := range 200 {
			if err := s.driver.Set(s.ctx, fmt.Sprintf("t:%04d", i), v, 0); err != nil {
				s.wantKind("Set", err, "full")
			}
		}
		if n := len(s.list("", 1000)) * (keyBytes + len(v)); n > int(s.info.MaxBytes) {
			s.Fatalf("%d bytes of keys and values, at most %d", n, s.info.MaxBytes)
		}
	}},
	{name: "FullRefusesNewEntriesAndNoOthers", needs: isBounded, test: func(s *space) {
		for i := range int(s.info.MaxEntries) {
			s.set(fmt.Sprintf("t:%d", i), one, 0)
		}
		if s.driver.Set(s.ctx, "t:new", one, 0) == nil {
			return // it evicts
		}
		s.set("t:0", two, 0)
		s.wantValue("t:0", two)
		s.want("Delete", s.delete("t:1"), true)
		s.set("t:new", one, 0)
		s.wantValue("t:new", one)
		_, err := s.driver.CompareAndSwap(s.ctx, "t:newer", nil, one, 0)
		s.wantKind("CompareAndSwap that creates", err, "full")
		s.wantAbsent("t:newer")
	}},
}
