package natsstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
)

func listAll(t testing.TB, d *Driver, prefix string, limit int) (keys []string, pages int) {
	t.Helper()
	for cursor := ""; ; {
		page, err := d.List(testContext(t), prefix, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, page.Keys...)
		pages++
		if cursor = page.Next; cursor == "" {
			return keys, pages
		}
	}
}

func TestList_LeavesOutWhatIsNoEntryOfThisDriver(t *testing.T) {
	server := natstest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	conn := server.Conn(t)
	for _, subject := range []string{"a.b", "_bad", "a.=41", "a.=zz", "x"} {
		if _, err := conn.Request(d.subjects+subject, []byte("v"), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	d.Set(ctx, "a:gone", nil, 0)
	d.Delete(ctx, "a:gone")
	d.Set(ctx, "a:expired", nil, time.Millisecond)
	d.Set(ctx, "a::odd:", nil, 0)
	eventually(t, "an entry expires", func() bool { has, err := d.Has(ctx, "a:expired"); return !has && err == nil })
	if keys, _ := listAll(t, d, "", 10); !slices.Equal(keys, []string{"a::odd:", "a:b", "x"}) {
		t.Errorf("List = %q", keys)
	}
}

// subjectsOf is the answer to STREAM.INFO with some of the subjects.
func subjectsOf(t testing.TB, subjects map[string]uint64, offset, limit int) string {
	names := make([]string, 0, len(subjects))
	for name := range subjects {
		names = append(names, name)
	}
	slices.Sort(names)
	part := map[string]uint64{}
	for _, name := range names[min(offset, len(names)):min(offset+limit, len(names))] {
		part[name] = 1
	}
	config := newDriver((&Options{Bucket: "b"}).target()).newBucket()
	text, err := json.Marshal(map[string]any{"config": config, "state": map[string]any{"subjects": part}, "total": len(names), "ts": time.Now()})
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// A server tells so many subjects at a time; those before may be deleted between two answers, and all behind them move up.
func TestList_OfMoreThanTheServerTellsAtATime_MissesNothing(t *testing.T) {
	for name, deleted := range map[string]int{"nothing is deleted": 0, "few are deleted": overlap / 2, "many are deleted": 3 * overlap} {
		t.Run(name, func(t *testing.T) {
			const limit = 4 * overlap
			subjects := map[string]uint64{}
			for i := range 10 * overlap {
				subjects[fmt.Sprintf("$KV.b.t.%06d", i)] = 1
			}
			var asked int
			p := startPuppet(t, func(came post) string {
				if !came.is("STREAM.INFO") || came.data == "" {
					return ""
				}
				var request struct {
					Offset int `json:"offset"`
				}
				json.Unmarshal([]byte(came.data), &request)
				if asked++; asked == 2 {
					for i := range deleted {
						delete(subjects, fmt.Sprintf("$KV.b.t.%06d", i))
					}
				}
				return subjectsOf(t, subjects, request.Offset, limit)
			})
			d := openURL(t, "nats://"+p.addr+"/b")
			keys, err := d.keys(testContext(t), "t:", "")
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(keys)
			for i := deleted; i < 10*overlap; i++ {
				if _, found := slices.BinarySearch(keys, fmt.Sprintf("t:%06d", i)); !found {
					t.Fatalf("key %d is missing", i)
				}
			}
		})
	}
}

func TestList_AsksForThePrefixAsFarAsItsTokensGo(t *testing.T) {
	var filter atomic.Pointer[string]
	p := startPuppet(t, func(came post) string {
		if came.is("STREAM.INFO") && came.data != "" {
			filter.Store(&came.data)
		}
		return ""
	})
	d := openURL(t, "nats://"+p.addr+"/b")
	for prefix, want := range map[string]string{"": "$KV.b.>", "a": "$KV.b.>", "a:": "$KV.b.a.>", "a:b": "$KV.b.a.>", "a:b:": "$KV.b.a.b.>", "a b:": "$KV.b.a=20b.>"} {
		if _, err := d.List(testContext(t), prefix, "", 10); err != nil {
			t.Fatal(err)
		}
		var request struct {
			Filter string `json:"subjects_filter"`
		}
		json.Unmarshal([]byte(*filter.Load()), &request)
		if request.Filter != want {
			t.Errorf("%q asks for %q, want %q", prefix, request.Filter, want)
		}
	}
}

func TestList_OfManyThatAreGone_EndsItsPageInTime(t *testing.T) {
	d, ctx := openURL(t, natstest.Shared(t).URL()), testContext(t)
	var entries []store.Item
	var keys []string
	for i := range 3_000 {
		entries = append(entries, store.Item{Key: fmt.Sprintf("t:%05d", i)})
		keys = append(keys, entries[i].Key)
	}
	if err := d.SetMany(ctx, entries, 0); err != nil {
		t.Fatal(err)
	}
	if n, err := d.DeleteMany(ctx, keys); n != len(keys) || err != nil {
		t.Fatal(n, err)
	}
	d.Set(ctx, "t:last", nil, 0)
	if got, pages := listAll(t, d, "t:", 10); !slices.Equal(got, []string{"t:last"}) || pages > 3 {
		t.Errorf("%q on %d pages", got, pages)
	}
}

func TestList_OfMany_AsksForThemOnceAndSeesWhatIsWrittenMeanwhile(t *testing.T) {
	server := natstest.Shared(t)
	d, other, ctx := openURL(t, server.URL()), openURL(t, server.URL()), testContext(t)
	var entries []store.Item
	for i := range 2*smallWalk + 500 {
		entries = append(entries, store.Item{Key: fmt.Sprintf("t:%05d", i), Value: []byte("v")})
	}
	if err := d.SetMany(ctx, entries, 0); err != nil {
		t.Fatal(err)
	}
	page := must(d.List(ctx, "t:", "", 100))(t)
	before := d.sent()
	second := must(d.List(ctx, "t:", page.Next, 100))(t)
	if n := d.sent() - before; n != 100 || second.Keys[0] != "t:00100" || len(second.Keys) != 100 {
		t.Errorf("the second page begins with %q and took %d messages, want those of its keys alone", second.Keys[0], n)
	}
	again := must(d.List(ctx, "t:", page.Next, 100))(t)
	if !slices.Equal(again.Keys, second.Keys) {
		t.Errorf("the same cursor gives another page: %q", again.Keys)
	}
	d.Set(ctx, "t:00200+", []byte("v"), 0)
	d.SetMany(ctx, []store.Item{{Key: "t:00201+"}, {Key: "t:00000+"}}, 0)
	d.Incr(ctx, "t:00202+", 1, 0, 0)
	other.Delete(ctx, "t:00203")
	d.Delete(ctx, "t:00204")
	third := must(d.List(ctx, "t:", second.Next, 8))(t)
	want := []string{"t:00200", "t:00200+", "t:00201", "t:00201+", "t:00202", "t:00202+"}
	if !slices.Equal(third.Keys, want) && !slices.Equal(third.Keys, append(want, "t:00205", "t:00206")) {
		t.Errorf("the third page is %q", third.Keys)
	}
	rest, _ := listAll(t, d, "t:", 1000)
	if len(rest) != len(entries)+4-2 {
		t.Errorf("%d keys in all", len(rest))
	}
	if n := d.walks.going.Load(); n > 2 {
		t.Errorf("%d walks go on", n)
	}
	d.Close()
	if d.walks.going.Load() != 0 || d.walks.bytes != 0 {
		t.Error("walks outlive the driver")
	}
}

func TestList_FromTheLeaderOnly(t *testing.T) {
	p := startPuppet(t, func(came post) string {
		if came.is("STREAM.INFO") && came.data != "" {
			return strings.Replace(subjectsOf(t, map[string]uint64{"$KV.b.t.k": 1}, 0, 10), `"ts"`, `"cluster":{"leader":""},"ts"`, 1)
		}
		return ""
	})
	d := openURL(t, "nats://"+p.addr+"/b")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if page, err := d.List(ctx, "t:", "", 10); store.Kind(err) != "unavailable" {
		t.Errorf("List = %v, %v, want unavailable", page, err)
	}
}
