package memstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/luastore/store"
)

// listed returns all keys under prefix, page by page, and the number of pages.
func listed(t *testing.T, d *Driver, prefix string, limit int) (keys []string, pages int) {
	t.Helper()
	for cursor := ""; ; pages++ {
		page, err := d.List(ctx, prefix, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Keys) > limit {
			t.Errorf("%d keys in a page of %d", len(page.Keys), limit)
		}
		keys = append(keys, page.Keys...)
		if cursor = page.Next; cursor == "" {
			return keys, pages + 1
		}
	}
}

func TestList_IsOrderedAndComplete(t *testing.T) {
	for _, o := range []*Options{nil, {MaxBytes: 120_000}, {MaxEntries: 100_000}} {
		d := opened(t, o)
		var want []string
		for i := range 3000 {
			key := fmt.Sprintf("a:%d", i*i)
			set(t, d, key, "v", time.Duration(i%2)*time.Hour)
			set(t, d, "b:"+key, "v", 0)
			want = append(want, key)
		}
		for _, key := range []string{"a:", "a:\xff\xff", "a:\x00", "a:0\x00"} {
			set(t, d, key, "v", 0)
			want = append(want, key)
		}
		slices.Sort(want)
		for _, limit := range []int{1, 7, 100, 1000, 20_000} {
			got, pages := listed(t, d, "a:", limit)
			if !slices.Equal(got, want) {
				t.Fatalf("limit %d: %d keys, want %d in byte order", limit, len(got), len(want))
			}
			if full := (len(want) + limit - 1) / limit; pages > full+full/10+1 {
				t.Errorf("limit %d: %d pages for %d keys", limit, pages, len(want))
			}
		}
		if page, err := d.List(ctx, "none:", "", 10); len(page.Keys) != 0 || page.Next != "" || err != nil {
			t.Errorf("%+v, %v", page, err)
		}
		if all, _ := listed(t, d, "", 1000); len(all) != 6004 {
			t.Errorf("%d keys under the empty prefix", len(all))
		}
	}
}

func TestList_OddLimits(t *testing.T) {
	d := opened(t, nil)
	for i := range 100 {
		set(t, d, fmt.Sprintf("k:%03d", i), "v", 0)
	}
	for _, limit := range []int{-1, 0, 1} {
		if page, err := d.List(ctx, "k:", "", limit); err != nil || !slices.Equal(page.Keys, []string{"k:000"}) {
			t.Errorf("limit %d: %v %v", limit, page.Keys, err)
		}
	}
	if page, err := d.List(ctx, "k:", "", 1<<62); err != nil || len(page.Keys) != 100 || page.Next != "" {
		t.Errorf("%d keys, %v", len(page.Keys), err)
	}
}

func TestList_UnderChurn_ShowsSurvivorsOnce(t *testing.T) {
	d := opened(t, nil)
	var survivors []string
	for i := range 2000 {
		survivors = append(survivors, fmt.Sprintf("k:%05d", 10*i))
		set(t, d, survivors[i], "v", 0)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for seed := range uint64(2) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 0))
			for {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("k:%05d", 10*r.IntN(2000)+1+r.IntN(9))
				_ = d.Set(ctx, key, nil, time.Duration(1+r.IntN(3))*time.Millisecond)
				_, _ = d.Delete(ctx, fmt.Sprintf("k:%05d", 10*r.IntN(2000)+1+r.IntN(9)))
			}
		})
	}
	for round := range 20 {
		got, _ := listed(t, d, "k:", 1+round*20)
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Error("not in order, or a key twice")
		}
		got = slices.DeleteFunc(got, func(k string) bool { return !strings.HasSuffix(k, "0") })
		if !slices.Equal(got, survivors) {
			t.Errorf("%d survivors listed, want %d", len(got), len(survivors))
		}
	}
	close(stop)
	wg.Wait()
	verify(t, d)
}

// A page looks at a bounded number of keys, so that a run of expired ones ends it early, and still moves on.
func TestList_ExpiredRun_IsHiddenInBoundedSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := opened(t, nil)
		d.sweeper.close() // they stay
		for i := range 100_000 {
			set(t, d, fmt.Sprintf("k:%06d", i), "v", time.Hour)
		}
		set(t, d, "k:zz", "v", 0)
		time.Sleep(time.Hour)
		page, err := d.List(ctx, "k:", "", 10)
		if err != nil || len(page.Keys) != 0 || page.Next == "" {
			t.Fatalf("%+v, %v", page, err)
		}
		keys, pages := listed(t, d, "k:", 10)
		if !slices.Equal(keys, []string{"k:zz"}) || pages > 100_000/500 {
			t.Errorf("%v in %d pages", keys, pages)
		}
	})
}

func TestList_ForgedCursor(t *testing.T) {
	d := opened(t, nil)
	for _, key := range []string{"a:1", "b:1", "b:2", "c:1"} {
		set(t, d, key, "v", 0)
	}
	if _, err := d.List(ctx, "b:", "b:1", 10); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if page, err := d.List(ctx, "b:", ".1", 10); err != nil || !slices.Equal(page.Keys, []string{"b:2"}) {
		t.Errorf("%+v, %v", page, err)
	}
	page, err := d.List(ctx, "c:", "", 1)
	if err != nil || page.Next != "" {
		t.Errorf("the last page has a cursor: %+v, %v", page, err)
	}
}

func FuzzList_ForgedCursor(f *testing.F) {
	d, err := Open(nil)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 500 {
		for _, prefix := range []string{"a:", "b:", "b", "ä:", ""} {
			_ = d.Set(ctx, fmt.Sprintf("%s%d", prefix, i), []byte("v"), time.Duration(i%2)*time.Hour)
		}
	}
	f.Cleanup(func() { _ = d.Close() })
	f.Add("b:", "", 10)
	f.Add("b:", ".25", 10)
	f.Add("b", ".:25", 3)
	f.Add("a:", ".\xff", 10)
	f.Add("\xc3", ".\xa4:", 10)
	f.Fuzz(func(t *testing.T, prefix, cursor string, limit int) {
		page, err := d.List(ctx, prefix, cursor, limit)
		if err != nil {
			if !errors.Is(err, store.ErrInvalid) || cursor == "" || !utf8.ValidString(err.Error()) {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, key := range page.Keys {
			if !strings.HasPrefix(key, prefix) {
				t.Fatalf("cursor %q reaches %q outside of %q", cursor, key, prefix)
			}
		}
		if !slices.IsSorted(page.Keys) || page.Next != "" && page.Next == cursor {
			t.Fatalf("no order, or no progress: %q", page.Keys)
		}
	})
}
