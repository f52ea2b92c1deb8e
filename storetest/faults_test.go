package storetest_test

import (
	"context"
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// A fault is a driver that is wrong in one way, and the rule that must catch it.
type fault struct {
	name   string
	caught string // by this subtest, and perhaps by others
	driver func(p *plain) store.Driver
}

// faults has at least one for each family of rules. Those that are about atomicity yield where they let go of the mutex, as a slow
// backend would.
var faults = []fault{
	{"TTL kept on overwrite", "TTL/SetWithoutTTLClearsTheOldOne", func(p *plain) store.Driver { return ttlKeptOnOverwrite{p} }},
	{"TTL rounded down", "TTL/OfSetIsNeverEarlyAndAtMostOneResolutionLate", func(p *plain) store.Driver { return ttlRoundedDown{p} }},
	{"TTL rounded up too far", "TTL/OfSetIsNeverEarlyAndAtMostOneResolutionLate", func(p *plain) store.Driver { return ttlRoundedUpTooFar{p} }},
	{"TTL 0 of an entry about to expire", "TTL/EntryThatExpiresAnswersAtLeast1ms", func(p *plain) store.Driver { return ttlZeroAtTheEnd{p} }},
	{"TTL extended by reads", "TTL/IsNotExtendedByReads", func(p *plain) store.Driver { return ttlExtendedByReads{p} }},
	{"KeepTTL forgets the TTL on Set", "TTL/SetWithKeepTTLKeepsTheOldOne", func(p *plain) store.Driver { return keepTTLForgottenOnSet{p} }},
	{"KeepTTL revives an expired TTL", "TTL/SetWithKeepTTLOfExpiredIsNever", func(p *plain) store.Driver { return keepTTLOfExpired{p} }},
	{"sweeps by an expiry that was replaced", "TTL/ThatWasClearedDoesNotEndTheEntryLater", func(p *plain) store.Driver { return sweptByOldExpiry{p} }},
	{"Delete of expired is true", "Delete/OfExpiredIsFalse", func(p *plain) store.Driver { return deleteOfExpired{p} }},
	{"Delete has several winners", "Delete/OneWinnerOfManyConcurrent", func(p *plain) store.Driver { return deleteNotAtomic{p} }},
	{"expired is visible in Has", "Has/OfExpiredIsFalse", func(p *plain) store.Driver { return expiredInHas{p} }},
	{"expired is visible in List", "List/HidesDeletedAndExpired", func(p *plain) store.Driver { return expiredInList{p} }},
	{"List shows what is swept meanwhile", "List/HidesWhatExpiredWhileItIsSwept", func(p *plain) store.Driver { return listBesideSweep{p} }},
	{"Entry is torn", "Entry/IsOneConsistentRead", func(p *plain) store.Driver { return tornEntry{p} }},
	{"Set tears value and TTL", "Entry/IsOneConsistentRead", func(p *plain) store.Driver { return tornSet{p} }},
	{"miss without an error", "Get/OfAbsentIsNotFound", func(p *plain) store.Driver { return missWithoutError{p} }},
	{"reads an old value", "Get/SeesEveryCompletedWrite", func(p *plain) store.Driver { return &staleReads{plain: p} }},
	{"value buffers are reused", "Value/StaysWhatItWasAfterItIsOverwritten", func(p *plain) store.Driver { return reusedBuffers{p} }},
	{"values end at a zero byte", "Value/KeepsEveryByte", func(p *plain) store.Driver { return zeroTerminated{p} }},
	{"a value without bytes is absent", "Value/WithoutBytesIsAnEntryAllTheSame", func(p *plain) store.Driver { return emptyIsAbsent{p} }},
	{"Entry of no bytes is nil", "Value/WithoutBytesIsAnEntryAllTheSame", func(p *plain) store.Driver { return nilForNothing{p} }},
	{"Touch shortens a long TTL", "TTL/IsWhatWasSet", func(p *plain) store.Driver { return touchShortens{p} }},
	{"keys ignore case", "Key/IsCaseSensitive", func(p *plain) store.Driver { return keysMapped{p, strings.ToLower} }},
	{"keys lose trailing spaces", "Key/DiffersByEveryByte", func(p *plain) store.Driver { return keysMapped{p, trimRight} }},
	{"keys are cut short", "Key/UpToTheLongestHasItsOwnEntry", func(p *plain) store.Driver { return keysMapped{p, cutAt255} }},
	{"Touch of absent is true", "Touch/OfAbsentIsFalseAndCreatesNothing", func(p *plain) store.Driver { return touchOfAbsent{p} }},
	{"Touch revives expired", "Touch/OfExpiredIsFalseAndRevivesNothing", func(p *plain) store.Driver { return touchRevives{p} }},
	{"Touch reverts a value", "Touch/BesideSetLosesNoValue", func(p *plain) store.Driver { return touchNotAtomic{p} }},
	{"CompareAndSwap is not atomic", "CompareAndSwap/OneWinnerOfManyConcurrent", func(p *plain) store.Driver { return swapNotAtomic{p} }},
	{"CompareAndSwap loses KeepTTL", "CompareAndSwap/KeepTTLKeepsExpiry", func(p *plain) store.Driver { return swapLosesKeepTTL{p} }},
	{"CompareAndSwap with nil old overwrites", "CompareAndSwap/NilOldOnlyIfAbsent", func(p *plain) store.Driver { return swapOverwrites{p} }},
	{"CompareAndSwap of both nil is false", "CompareAndSwap/BothNilReportsAbsence", func(p *plain) store.Driver { return swapBothNil{p} }},
	{"CompareAndSwap swaps what expired", "CompareAndSwap/OnExpiredCountsAsAbsent", func(p *plain) store.Driver { return swapOfExpired{p} }},
	{"CompareAndSwap compares lengths", "CompareAndSwap/ComparesEveryByte", func(p *plain) store.Driver { return swapByLength{p} }},
	{"Incr is not atomic", "Incr/ManyConcurrentLoseNothing", func(p *plain) store.Driver { return incrNotAtomic{p} }},
	{"Incr loses initial", "Incr/OfAbsentCountsFromInitial", func(p *plain) store.Driver { return incrLosesInitial{p} }},
	{"Incr resets the TTL", "Incr/KeepsTheTTLOfALiveEntry", func(p *plain) store.Driver { return incrResetsTTL{p} }},
	{"Incr stores another form", "Incr/StoresTheCanonicalForm", func(p *plain) store.Driver { return incrNotCanonical{p} }},
	{"Incr overwrites what is no number", "Incr/OfNoNumberIsNotANumberAndUntouched", func(p *plain) store.Driver { return incrOverwrites{p} }},
	{"Incr goes beyond exact integers", "Incr/BeyondExactIntegersIsOutOfRangeAndUntouched", func(p *plain) store.Driver { return incrBeyond{p} }},
	{"Incr stays at 2^53", "Incr/PastTheLastExactIntegerIsOutOfRangeThoughFloatsRoundItDown", func(p *plain) store.Driver { return incrStays{p} }},
	{"GetMany answers in key order", "GetMany/AnswersInTheOrderAsked", func(p *plain) store.Driver { return getManySorted{p} }},
	{"GetMany gives absent keys a value", "GetMany/OfAbsentIsNil", func(p *plain) store.Driver { return getManyNotNil{p} }},
	{"SetMany forgets the TTL", "SetMany/SetsTTLOfEachEntry", func(p *plain) store.Driver { return setManyForgetsTTL{p} }},
	{"SetMany leaves the last one out", "SetMany/WritesEachEntry", func(p *plain) store.Driver { return setManyLeavesOut{p} }},
	{"DeleteMany counts absent keys", "DeleteMany/CountsOnlyWhatExisted", func(p *plain) store.Driver { return deleteManyCounts{p} }},
	{"prefix is a glob", "List/PrefixWithStarHoldsNothingElse", func(p *plain) store.Driver { return prefixIsGlob{p} }},
	{"prefix is a LIKE pattern", "List/PrefixWithPercentOrUnderscoreHoldsNothingElse", func(p *plain) store.Driver { return prefixIsLike{p} }},
	{"prefix range has a wrong end", "List/PrefixWithMultiByteRunesHoldsNothingElse", func(p *plain) store.Driver { return prefixRangeEnd{p} }},
	{"List repeats a key", "List/HoldsEachKeyWhateverTheLimit", func(p *plain) store.Driver { return listRepeats{p} }},
	{"List skips a key", "List/HoldsEachKeyWhateverTheLimit", func(p *plain) store.Driver { return listSkips{p} }},
	{"List counts positions", "List/GoesOnWhenTheKeysItGaveAreDeleted", func(p *plain) store.Driver { return listByPosition{p} }},
	{"List has no order", "List/IsInByteOrderExactlyOnce", func(p *plain) store.Driver { return listUnordered{p} }},
	{"List ignores its limit", "List/PagesAreNoLongerThanTheLimit", func(p *plain) store.Driver { return listWithoutLimit{p} }},
	{"List trusts its cursor", "List/OfACursorOfAnotherPrefixIsInvalidOrUnderThePrefix", func(p *plain) store.Driver { return listTrustsCursor{p} }},
	{"context is ignored", "Context/SetAfterCancelAnswersCanceledAndChangesNothing", func(p *plain) store.Driver { return contextIgnored{p} }},
	{"context is looked at too late", "Context/DeleteAfterDeadlineAnswersTimeoutAndChangesNothing", func(p *plain) store.Driver { return contextTooLate{p} }},
	{"works after Close", "Close/GetAfterCloseAnswersUnavailable", func(p *plain) store.Driver { return worksAfterClose{p} }},
	{"Close fails the second time", "Close/IsIdempotent", func(p *plain) store.Driver { return &closeOnce{plain: p} }},
	{"Close leaves a goroutine", "Close/LeavesNoGoroutineBehind", func(p *plain) store.Driver { return closeLeaves{p, make(chan struct{})} }},
	{"Info changes", "Info/DoesNotChange", func(p *plain) store.Driver { return &infoChanges{plain: p} }},
	{"Info says nothing", "Info/SaysWhatAUserMustKnow", func(p *plain) store.Driver { return infoSaysNothing{p} }},
	{"Info says Shared of a space of its own", "Info/SharedMeansThatAnotherConnectionSeesTheEntries", func(p *plain) store.Driver { return infoSaysShared{p} }},
	{"values end at a zero byte, in Lua", "Lua/EveryStringComesBackByteForByte", func(p *plain) store.Driver { return zeroTerminated{p} }},
	{"TTL kept on overwrite, in Lua", "Lua/TTLOfNilZeroOrHugeIsNever", func(p *plain) store.Driver { return ttlKeptOnOverwrite{p} }},
	{"Delete of expired is true, in Lua", "Lua/WhatHasExpiredIsNotThere", func(p *plain) store.Driver { return deleteOfExpired{p} }},
	{"Touch of absent is true, in Lua", "Lua/WhatHasExpiredIsNotThere", func(p *plain) store.Driver { return touchOfAbsent{p} }},
	{"CompareAndSwap loses KeepTTL, in Lua", "Lua/UpdateKeepsTheTTLUnlessOneIsGiven", func(p *plain) store.Driver { return swapLosesKeepTTL{p} }},
	{"CompareAndSwap with nil old overwrites, in Lua", "Lua/SetIfAbsentWritesOnce", func(p *plain) store.Driver { return swapOverwrites{p} }},
	{"Incr loses initial, in Lua", "Lua/IncrOfAbsentCountsFromInitial", func(p *plain) store.Driver { return incrLosesInitial{p} }},
	{"Incr stores another form, in Lua", "Lua/IncrAddsAndStoresTheCanonicalForm", func(p *plain) store.Driver { return incrNotCanonical{p} }},
	{"GetMany answers in key order, in Lua", "Lua/ManyKeysAreWrittenReadAndDeleted", func(p *plain) store.Driver { return getManySorted{p} }},
	{"List repeats a key, in Lua", "Lua/EachMeetsEveryEntryOverManyPages", func(p *plain) store.Driver { return listRepeats{p} }},
	{"List counts positions, in Lua", "Lua/EachGoesOnWhenKeysAreDeleted", func(p *plain) store.Driver { return listByPosition{p} }},
	{"expired is visible in Has, by a handle", "Handle/Has/OfExpiredIsFalse", func(p *plain) store.Driver { return expiredInHas{p} }},
	{"keys lose trailing spaces, by a handle", "Handle/Key/DiffersByEveryByte", func(p *plain) store.Driver { return keysMapped{p, trimRight} }},
	{"CompareAndSwap is not atomic, under Incr", "Fallback/Incr/BesideCompareAndSwapLosesNeither", func(p *plain) store.Driver { return swapNotAtomic{p} }},
	{"Incr is not atomic, in a history", "Handle/Linearizable/HistoriesOfManyUnitsAreLegal", func(p *plain) store.Driver { return incrNotAtomic{p} }},
	{"CompareAndSwap is not atomic, in a history", "Handle/Linearizable/HistoriesOfManyUnitsAreLegal", func(p *plain) store.Driver { return swapNotAtomic{p} }},
	{"CompareAndSwap is not atomic, in a history of a fallback", "Fallback/Linearizable/HistoriesOfManyUnitsAreLegal", func(p *plain) store.Driver { return swapNotAtomic{p} }},
	{"Delete has several winners, in a history", "Handle/Linearizable/HistoriesOfManyUnitsAreLegal", func(p *plain) store.Driver { return deleteNotAtomic{p} }},
	{"reads the value before, in a history", "Handle/Linearizable/HistoriesOfManyUnitsAreLegal", func(p *plain) store.Driver { return &laggingReads{plain: p, before: map[string][]byte{}} }},
	{"Incr is not atomic, in a count", "Handle/Count/IncrOfManyUnitsIsExact", func(p *plain) store.Driver { return incrNotAtomic{p} }},
	{"CompareAndSwap is not atomic, in a count", "Handle/Count/UpdateOfManyUnitsIsExact", func(p *plain) store.Driver { return swapNotAtomic{p} }},
	{"Info says a bound that does not hold", "Info/MaxEntriesIsNeverExceeded", func(p *plain) store.Driver { return infoSaysBounded{p} }},
}

type (
	ttlKeptOnOverwrite    struct{ *plain }
	ttlRoundedDown        struct{ *plain }
	ttlRoundedUpTooFar    struct{ *plain }
	ttlZeroAtTheEnd       struct{ *plain }
	ttlExtendedByReads    struct{ *plain }
	keepTTLForgottenOnSet struct{ *plain }
	keepTTLOfExpired      struct{ *plain }
	sweptByOldExpiry      struct{ *plain }
)

func (d ttlKeptOnOverwrite) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl == 0 {
		ttl = store.KeepTTL
	}
	return d.plain.Set(ctx, key, v, ttl)
}

func (d ttlRoundedDown) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl > time.Millisecond {
		ttl = ttl.Truncate(time.Millisecond)
	}
	return d.plain.Set(ctx, key, v, ttl)
}

func (d ttlRoundedUpTooFar) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl > 0 {
		ttl = (ttl + time.Millisecond - 1).Truncate(time.Millisecond) // of a driver that says a nanosecond
	}
	return d.plain.Set(ctx, key, v, ttl)
}

func (d ttlZeroAtTheEnd) TTL(ctx context.Context, key string) (time.Duration, error) {
	_, err := d.plain.TTL(ctx, key)
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.byKey[key]; err == nil && !e.expires.IsZero() {
		return time.Until(e.expires).Truncate(time.Millisecond), nil
	}
	return 0, err
}

func (d ttlExtendedByReads) Get(ctx context.Context, key string) ([]byte, error) {
	v, ttl, err := d.plain.Entry(ctx, key)
	if err == nil && ttl > 0 {
		_, err = d.plain.Touch(ctx, key, ttl+2*time.Millisecond)
	}
	return v, err
}

func (d keepTTLForgottenOnSet) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	return d.plain.Set(ctx, key, v, max(ttl, 0))
}

func (d keepTTLOfExpired) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.mu.Unlock()
	old := d.byKey[key]
	d.put(key, v, ttl)
	if ttl == store.KeepTTL {
		d.byKey[key] = plainEntry{v, old.expires}
	}
	return nil
}

// Set removes the entry when its first expiry comes, whatever was written since.
func (d sweptByOldExpiry) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl > 0 && ttl < time.Minute {
		time.AfterFunc(ttl, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.byKey, key)
		})
	}
	return d.plain.Set(ctx, key, v, ttl)
}

type (
	deleteOfExpired  struct{ *plain }
	deleteNotAtomic  struct{ *plain }
	expiredInHas     struct{ *plain }
	expiredInList    struct{ *plain }
	tornEntry        struct{ *plain }
	tornSet          struct{ *plain }
	missWithoutError struct{ *plain }
	reusedBuffers    struct{ *plain }
	zeroTerminated   struct{ *plain }
	emptyIsAbsent    struct{ *plain }
	nilForNothing    struct{ *plain }
	touchShortens    struct{ *plain }
)

// yield lets other goroutines come between.
func yield() {
	for range 50 {
		runtime.Gosched()
	}
}

func (d deleteOfExpired) Delete(ctx context.Context, key string) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	defer d.mu.Unlock()
	_, ok := d.byKey[key]
	delete(d.byKey, key)
	return ok, nil
}

func (d deleteNotAtomic) Delete(ctx context.Context, key string) (bool, error) {
	existed, err := d.plain.Has(ctx, key)
	if err != nil || !existed {
		return false, err
	}
	yield()
	_, err = d.plain.Delete(ctx, key)
	return existed, err
}

func (d expiredInHas) Has(ctx context.Context, key string) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	defer d.mu.Unlock()
	_, ok := d.byKey[key]
	return ok, nil
}

func (d expiredInList) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.byKey {
		if _, ok := d.live(key); !ok && strings.HasPrefix(key, prefix) {
			page.Keys = append(page.Keys, key)
		}
	}
	return page, err
}

func (d tornEntry) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	v, _, err := d.plain.Entry(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	yield()
	ttl, err := d.plain.TTL(ctx, key)
	return v, ttl, err
}

func (d tornSet) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.plain.Set(ctx, key, v, 0); err != nil || ttl == 0 {
		return err
	}
	yield()
	_, err := d.plain.Touch(ctx, key, ttl)
	return err
}

func (d missWithoutError) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := d.plain.Get(ctx, key)
	if store.Kind(err) == "not_found" {
		return nil, nil
	}
	return v, err
}

// staleReads answers now and then what a replica that lags behind would.
type staleReads struct {
	*plain
	reads int
	old   []byte
}

func (d *staleReads) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := d.plain.Get(ctx, key)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reads++; d.reads%8 == 0 && d.old != nil && err == nil {
		return d.old, nil
	}
	if d.reads%8 == 1 {
		d.old = v
	}
	return v, err
}

// laggingReads answers now and then, as a replica that lags behind would, what an entry was before its last write.
type laggingReads struct {
	*plain
	reads  int
	before map[string][]byte // by key
}

func (d *laggingReads) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.mu.Unlock()
	if e, ok := d.live(key); ok {
		d.before[key] = e.value
	}
	d.put(key, v, ttl)
	return nil
}

func (d *laggingReads) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := d.plain.Get(ctx, key)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	if old, ok := d.before[key]; ok && err == nil && d.reads%64 == 0 {
		return old, nil
	}
	return v, err
}

// Set writes into the bytes of the value that was there, which a caller may hold.
func (d reusedBuffers) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.mu.Unlock()
	e, _ := d.live(key)
	d.put(key, append(e.value[:0], v...), ttl)
	return nil
}

func (d zeroTerminated) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	cut, _, _ := strings.Cut(string(v), "\x00")
	return d.plain.Set(ctx, key, []byte(cut), ttl)
}

func (d emptyIsAbsent) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := d.plain.Get(ctx, key)
	if err == nil && len(v) == 0 {
		return nil, store.ErrNotFound
	}
	return v, err
}

func (d nilForNothing) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	v, ttl, err := d.plain.Entry(ctx, key)
	if len(v) == 0 {
		v = nil
	}
	return v, ttl, err
}

func (d touchShortens) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	return d.plain.Touch(ctx, key, min(ttl, 1000*time.Hour))
}

// keysMapped keeps entries under another key than the caller's.
type keysMapped struct {
	*plain
	stored func(key string) string
}

func trimRight(key string) string { return strings.TrimRight(key, " ") }
func cutAt255(key string) string  { return key[:min(255, len(key))] }

func (d keysMapped) Get(ctx context.Context, key string) ([]byte, error) {
	return d.plain.Get(ctx, d.stored(key))
}

func (d keysMapped) Has(ctx context.Context, key string) (bool, error) {
	return d.plain.Has(ctx, d.stored(key))
}

func (d keysMapped) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	return d.plain.Set(ctx, d.stored(key), v, ttl)
}

type (
	touchOfAbsent    struct{ *plain }
	touchRevives     struct{ *plain }
	touchNotAtomic   struct{ *plain }
	swapNotAtomic    struct{ *plain }
	swapLosesKeepTTL struct{ *plain }
	swapOverwrites   struct{ *plain }
	swapBothNil      struct{ *plain }
	swapOfExpired    struct{ *plain }
	swapByLength     struct{ *plain }
)

func (d touchOfAbsent) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	_, err := d.plain.Touch(ctx, key, ttl)
	return err == nil, err
}

func (d touchRevives) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	defer d.mu.Unlock()
	e, ok := d.byKey[key]
	if ok {
		d.put(key, e.value, ttl)
	}
	return ok, nil
}

func (d touchNotAtomic) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	v, err := d.plain.Get(ctx, key)
	if err != nil {
		return d.plain.Touch(ctx, key, ttl)
	}
	yield()
	return true, d.plain.Set(ctx, key, v, ttl)
}

func (d swapNotAtomic) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	v, err := d.plain.Get(ctx, key)
	if err != nil || new == nil || string(v) != string(old) {
		return d.plain.CompareAndSwap(ctx, key, old, new, ttl)
	}
	yield()
	return true, d.plain.Set(ctx, key, new, ttl)
}

func (d swapLosesKeepTTL) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	return d.plain.CompareAndSwap(ctx, key, old, new, max(ttl, 0))
}

func (d swapOverwrites) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if old == nil && new != nil {
		return true, d.plain.Set(ctx, key, new, ttl)
	}
	return d.plain.CompareAndSwap(ctx, key, old, new, ttl)
}

func (d swapBothNil) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	swapped, err := d.plain.CompareAndSwap(ctx, key, old, new, ttl)
	return swapped && (old != nil || new != nil), err
}

func (d swapOfExpired) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	defer d.mu.Unlock()
	e, ok := d.byKey[key]
	if ok != (old != nil) || string(e.value) != string(old) {
		return false, nil
	}
	delete(d.byKey, key)
	if new != nil {
		d.put(key, new, ttl)
	}
	return true, nil
}

func (d swapByLength) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if v, err := d.plain.Get(ctx, key); err == nil && len(v) == len(old) {
		old = v
	}
	return d.plain.CompareAndSwap(ctx, key, old, new, ttl)
}

type (
	incrNotAtomic    struct{ *plain }
	incrLosesInitial struct{ *plain }
	incrResetsTTL    struct{ *plain }
	incrNotCanonical struct{ *plain }
	incrOverwrites   struct{ *plain }
	incrBeyond       struct{ *plain }
	incrStays        struct{ *plain }
)

func (d incrNotAtomic) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	v, err := d.plain.Get(ctx, key)
	f, ok := value.ParseNumber(v)
	if err != nil || !ok {
		return d.plain.Incr(ctx, key, delta, initial, ttl)
	}
	yield()
	return f + delta, d.plain.Set(ctx, key, value.AppendNumber(nil, f+delta), store.KeepTTL)
}

func (d incrLosesInitial) Incr(ctx context.Context, key string, delta, _ float64, ttl time.Duration) (float64, error) {
	return d.plain.Incr(ctx, key, delta, 0, ttl)
}

func (d incrResetsTTL) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	if err == nil {
		_, err = d.plain.Touch(ctx, key, ttl)
	}
	return sum, err
}

// Incr stores every sum as a float, as a script that packs a Lua number might.
func (d incrNotCanonical) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	if err == nil {
		form := binary.BigEndian.AppendUint64([]byte{0xcb}, math.Float64bits(sum))
		err = d.plain.Set(ctx, key, form, store.KeepTTL)
	}
	return sum, err
}

func (d incrOverwrites) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	if err == store.ErrNotNumber {
		_ = d.plain.Set(ctx, key, value.AppendNumber(nil, delta), store.KeepTTL)
	}
	return sum, err
}

func (d incrBeyond) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	if err == store.ErrOutOfRange {
		return value.MaxInteger, d.plain.Set(ctx, key, value.AppendNumber(nil, value.MaxInteger), store.KeepTTL)
	}
	return sum, err
}

func (d incrStays) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	v, _ := d.plain.Get(ctx, key)
	if f, ok := value.ParseNumber(v); err == store.ErrOutOfRange && ok && math.Abs(f+delta) <= value.MaxInteger {
		return f, nil
	}
	return sum, err
}

type (
	getManySorted     struct{ *plain }
	getManyNotNil     struct{ *plain }
	setManyForgetsTTL struct{ *plain }
	setManyLeavesOut  struct{ *plain }
	deleteManyCounts  struct{ *plain }
)

func (d getManySorted) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	return d.plain.GetMany(ctx, slices.Sorted(slices.Values(keys)))
}

func (d getManyNotNil) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	values, err := d.plain.GetMany(ctx, keys)
	for i := range values {
		values[i] = append([]byte{}, values[i]...)
	}
	return values, err
}

func (d setManyForgetsTTL) SetMany(ctx context.Context, items []store.Item, _ time.Duration) error {
	return d.plain.SetMany(ctx, items, 0)
}

func (d setManyLeavesOut) SetMany(ctx context.Context, items []store.Item, ttl time.Duration) error {
	return d.plain.SetMany(ctx, items[:max(0, len(items)-1)], ttl)
}

func (d deleteManyCounts) DeleteMany(ctx context.Context, keys []string) (int, error) {
	_, err := d.plain.DeleteMany(ctx, keys)
	return len(keys), err
}

type (
	listBesideSweep  struct{ *plain }
	prefixIsGlob     struct{ *plain }
	prefixIsLike     struct{ *plain }
	prefixRangeEnd   struct{ *plain }
	listRepeats      struct{ *plain }
	listSkips        struct{ *plain }
	listByPosition   struct{ *plain }
	listUnordered    struct{ *plain }
	listWithoutLimit struct{ *plain }
	listTrustsCursor struct{ *plain }
)

// Set reclaims an entry some time after it has expired.
func (d listBesideSweep) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl > 0 && ttl < time.Minute {
		time.AfterFunc(ttl+50*time.Millisecond, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if _, ok := d.live(key); !ok {
				delete(d.byKey, key)
			}
		})
	}
	return d.plain.Set(ctx, key, v, ttl)
}

// List first notes the keys that there are and then leaves out those that it finds expired: not those that are reclaimed in
// between.
func (d listBesideSweep) List(ctx context.Context, prefix, _ string, _ int) (store.Page, error) {
	if err := d.enter(ctx); err != nil {
		return store.Page{}, err
	}
	keys := slices.Sorted(maps.Keys(d.byKey))
	d.mu.Unlock()
	yield()
	d.mu.Lock()
	defer d.mu.Unlock()
	keys = slices.DeleteFunc(keys, func(key string) bool {
		_, ok := d.live(key)
		_, there := d.byKey[key]
		return !strings.HasPrefix(key, prefix) || there && !ok
	})
	return store.Page{Keys: keys}, nil
}

// all returns all live keys, in order.
func (p *plain) all(ctx context.Context, match func(key string) bool) (store.Page, error) {
	page, err := p.List(ctx, "", "", math.MaxInt)
	page.Keys = slices.DeleteFunc(page.Keys, func(key string) bool { return !match(key) })
	return page, err
}

func (d prefixIsGlob) List(ctx context.Context, prefix, _ string, _ int) (store.Page, error) {
	return d.all(ctx, func(key string) bool {
		// Path patterns do not match across a slash.
		ok, _ := path.Match(strings.ReplaceAll(prefix, "/", "|")+"*", strings.ReplaceAll(key, "/", "|"))
		return ok
	})
}

func (d prefixIsLike) List(ctx context.Context, prefix, _ string, _ int) (store.Page, error) {
	pattern := strings.NewReplacer("%", "*", "_", "?", "*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`, "/", "|").Replace(prefix) + "*"
	return d.all(ctx, func(key string) bool {
		ok, _ := path.Match(pattern, strings.ReplaceAll(key, "/", "|"))
		return ok
	})
}

// List ends the range at the prefix and a rune that is not the last one, as ranges to prefix+"\xff" do where text is UTF-16.
func (d prefixRangeEnd) List(ctx context.Context, prefix, _ string, _ int) (store.Page, error) {
	return d.all(ctx, func(key string) bool { return key >= prefix && key < prefix+"\uffff" })
}

func (d listRepeats) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	if cursor != "" && strings.HasPrefix(cursor, prefix) {
		page.Keys = slices.Insert(page.Keys, 0, cursor)[:min(limit, len(page.Keys)+1)]
	}
	return page, err
}

func (d listSkips) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	if page.Next != "" && limit > 1 {
		page.Keys = page.Keys[:limit-1]
	}
	return page, err
}

func (d listByPosition) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.all(ctx, func(key string) bool { return strings.HasPrefix(key, prefix) })
	start := min(len(cursor), len(page.Keys)) // the cursor is as long as there are keys before it
	end := min(start+limit, len(page.Keys))
	if end < len(page.Keys) {
		page.Next = strings.Repeat("x", end)
	}
	page.Keys = page.Keys[start:end]
	return page, err
}

func (d listUnordered) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	rand.Shuffle(len(page.Keys), func(i, j int) { page.Keys[i], page.Keys[j] = page.Keys[j], page.Keys[i] })
	return page, err
}

func (d listWithoutLimit) List(ctx context.Context, prefix, cursor string, _ int) (store.Page, error) {
	return d.plain.List(ctx, prefix, cursor, math.MaxInt)
}

// List lets the cursor say under which prefix it goes on.
func (d listTrustsCursor) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	if under, after, ok := strings.Cut(cursor, "|"); ok {
		prefix, cursor = under, after
	}
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	if page.Next != "" {
		page.Next = prefix + "|" + page.Next
	}
	return page, err
}

type (
	contextIgnored  struct{ *plain }
	contextTooLate  struct{ *plain }
	worksAfterClose struct{ *plain }
	infoSaysNothing struct{ *plain }
	infoSaysShared  struct{ *plain }
	infoSaysBounded struct{ *plain }
)

func (d contextIgnored) Set(_ context.Context, key string, v []byte, ttl time.Duration) error {
	return d.plain.Set(context.Background(), key, v, ttl)
}

func (d contextTooLate) Delete(ctx context.Context, key string) (bool, error) {
	existed, err := d.plain.Delete(context.Background(), key)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return existed, err
}

func (d worksAfterClose) Close() error { return nil }

// closeOnce cannot be closed twice.
type closeOnce struct {
	*plain
	closes int
}

func (d *closeOnce) Close() error {
	if d.closes++; d.closes > 1 {
		return store.ErrUnavailable
	}
	return d.plain.Close()
}

// closeLeaves starts a goroutine that outlives it, for a batch that no rule writes in a bubble: there it would end the whole
// test binary.
type closeLeaves struct {
	*plain
	never chan struct{}
}

func (d closeLeaves) SetMany(ctx context.Context, items []store.Item, ttl time.Duration) error {
	if len(items) > 0 && items[len(items)-1].Key == "t:new" {
		go func() { <-d.never }()
	}
	return d.plain.SetMany(ctx, items, ttl)
}

// infoChanges learns about its backend while it is in use.
type infoChanges struct {
	*plain
	used bool
}

func (d *infoChanges) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	d.mu.Lock()
	d.used = true
	d.mu.Unlock()
	return d.plain.Set(ctx, key, v, ttl)
}

func (d *infoChanges) Info() store.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	info := d.plain.Info()
	info.Ordered = !d.used
	return info
}

func (d infoSaysNothing) Info() store.Info {
	info := d.plain.Info()
	info.Durability = ""
	return info
}

func (d infoSaysShared) Info() store.Info {
	info := d.plain.Info()
	info.Shared = true
	return info
}

func (d infoSaysBounded) Info() store.Info {
	info := d.plain.Info()
	info.MaxEntries = 2000
	return info
}
