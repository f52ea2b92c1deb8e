package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/luastore/store"
)

// batchSize is the largest batch that a handle sends.
const batchSize = 1000

// getManyRules are about Batcher.GetMany.
var getManyRules = needing(isBatcher, []rule{
	{name: "AnswersInTheOrderAsked", test: func(s *space) {
		s.set("t:b", num(2), 0)
		s.set("t:a", num(1), long)
		s.set("t:c", num(3), 0)
		s.want("values", s.getMany("t:c", "t:absent", "t:a", "t:b"), [][]byte{num(3), nil, num(1), num(2)})
		s.want("values", s.getMany("t:b", "t:a"), [][]byte{num(2), num(1)})
	}},
	{name: "OfAbsentIsNil", test: func(s *space) {
		s.want("values", s.getMany("t:a", "t:b"), [][]byte{nil, nil})
	}},
	{name: "OfExpiredIsNil", timed: true, test: func(s *space) {
		s.set("t:live", two, 0)
		s.expired("t:k", one)
		s.want("values", s.getMany("t:k", "t:live"), [][]byte{nil, two})
	}},
	{name: "OfAnEntryWithoutBytesIsNotNil", raw: true, test: func(s *space) {
		s.set("t:k", []byte{}, 0)
		s.want("value is nil", s.getMany("t:k")[0] == nil, false)
	}},
	// Commands with an empty list are syntax errors in most backends.
	{name: "OfNoKeysIsEmpty", test: func(s *space) {
		s.getMany()
	}},
	{name: "TakesAFullBatch", test: func(s *space) {
		keys := make([]string, batchSize)
		for i := range keys {
			keys[i] = fmt.Sprintf("t:%d", i)
			if i%2 == 0 {
				s.set(keys[i], num(float64(i)), 0)
			}
		}
		for i, v := range s.getMany(keys...) {
			if i%2 == 0 && !bytes.Equal(v, num(float64(i))) || i%2 == 1 && v != nil {
				s.Fatalf("value %d is %q", i, v)
			}
		}
	}},
	// Together they are more than buffers and packets hold by default.
	{name: "TakesLargeValues", test: func(s *space) {
		a, b := big(s.largest(1<<20), "a"), big(s.largest(1<<20), "b")
		s.set("t:a", a, 0)
		s.set("t:b", b, 0)
		s.want("values", s.getMany("t:b", "t:a"), [][]byte{b, a})
	}},
})

// setManyRules are about Batcher.SetMany.
var setManyRules = needing(isBatcher, []rule{
	{name: "WritesEachEntry", test: func(s *space) {
		s.set("t:b", one, 0)
		s.setMany([]store.Item{{Key: "t:c", Value: num(3)}, {Key: "t:a", Value: num(1)}, {Key: "t:b", Value: num(2)}}, 0)
		s.wantValue("t:a", num(1))
		s.wantValue("t:b", num(2))
		s.wantValue("t:c", num(3))
		s.wantKeys("", 10, "t:a", "t:b", "t:c")
	}},
	{name: "SetsTTLOfEachEntry", timed: true, test: func(s *space) {
		s.set("t:b", one, 0)
		s.setMany([]store.Item{{Key: "t:a", Value: one}, {Key: "t:b", Value: two}}, long)
		s.wantLeft("t:a", long)
		s.wantLeft("t:b", long)
	}},
	{name: "WithoutTTLClearsTheOldOnes", test: func(s *space) {
		s.set("t:a", one, long)
		s.setMany([]store.Item{{Key: "t:a", Value: two}, {Key: "t:b", Value: two}}, 0)
		s.wantLeft("t:a", 0)
		s.wantLeft("t:b", 0)
	}},
	{name: "OverExpiredStartsAfresh", timed: true, test: func(s *space) {
		s.expired("t:a", one)
		s.setMany([]store.Item{{Key: "t:a", Value: two}}, 0)
		s.wantValue("t:a", two)
		s.wantLeft("t:a", 0)
	}},
	{name: "OfNothingChangesNothing", test: func(s *space) {
		s.setMany(nil, 0)
		s.wantKeys("", 10)
	}},
	{name: "TakesAFullBatch", test: func(s *space) {
		items := make([]store.Item, batchSize)
		for i := range items {
			items[i] = store.Item{Key: fmt.Sprintf("t:%d", i), Value: num(float64(i))}
		}
		s.setMany(items, long)
		for _, item := range items {
			s.want("value of "+item.Key, s.get(item.Key), item.Value)
		}
	}},
	{name: "BesideGetManyShowsNoHalfWrittenEntry", test: func(s *space) {
		a, b := big(s.largest(1<<12), "a"), big(s.largest(1<<12), "b")
		s.setMany(pair(a), 0)
		driver := s.driver.(store.Batcher)
		write := func(v []byte) func() error {
			return func() error { return driver.SetMany(s.ctx, pair(v), 0) }
		}
		s.beside(s.harness.times(100), func() error {
			got, err := driver.GetMany(s.ctx, []string{"t:a", "t:b"})
			for _, v := range got {
				if !bytes.Equal(v, a) && !bytes.Equal(v, b) {
					return errors.New("GetMany answers a value that nobody wrote")
				}
			}
			return err
		}, write(a), write(b))
	}},
})

// pair returns a batch of two keys with the same value.
func pair(v []byte) []store.Item { return []store.Item{{Key: "t:a", Value: v}, {Key: "t:b", Value: v}} }

// deleteManyRules are about Batcher.DeleteMany.
var deleteManyRules = needing(isBatcher, []rule{
	{name: "CountsOnlyWhatExisted", test: func(s *space) {
		s.set("t:a", one, 0)
		s.set("t:b", one, long)
		s.set("t:other", one, 0)
		s.want("deleted", s.deleteMany("t:absent", "t:a", "t:b", "t:c"), 2)
		s.want("deleted again", s.deleteMany("t:a", "t:b"), 0)
		s.wantAbsent("t:a")
		s.wantAbsent("t:b")
		s.wantKeys("", 10, "t:other")
	}},
	{name: "DoesNotCountExpired", timed: true, test: func(s *space) {
		s.set("t:live", one, 0)
		s.expired("t:k", one)
		s.want("deleted", s.deleteMany("t:k", "t:live"), 1)
	}},
	{name: "OfNoKeysIsZero", test: func(s *space) {
		s.set("t:k", one, 0)
		s.want("deleted", s.deleteMany(), 0)
		s.wantValue("t:k", one)
	}},
	{name: "TakesAFullBatch", test: func(s *space) {
		keys := make([]string, batchSize)
		items := make([]store.Item, batchSize)
		for i := range keys {
			keys[i] = fmt.Sprintf("t:%d", i)
			items[i] = store.Item{Key: keys[i], Value: one}
		}
		s.setMany(items[:batchSize-1], 0)
		s.want("deleted", s.deleteMany(keys...), batchSize-1)
		s.wantKeys("", 10)
	}},
	// The batch as a whole is not atomic; each of its keys is.
	{name: "ManyConcurrentCountEachKeyOnce", test: func(s *space) {
		items := pair(one)
		for range s.harness.times(50) {
			s.setMany(items, 0)
			var deleted atomic.Int64
			s.together(8, func(int) error {
				n, err := s.driver.(store.Batcher).DeleteMany(s.ctx, []string{"t:a", "t:b"})
				deleted.Add(int64(n))
				return err
			})
			s.want("keys deleted in all", deleted.Load(), int64(len(items)))
		}
	}},
})
