package redisstore

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/rueidis"
	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/storelua"
)

// openHandle returns a handle of a store over a server, and the context of its unit.
func openHandle(t *testing.T, server *redistest.Server) (*store.Handle, context.Context) {
	t.Helper()
	o, err := ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	reg := store.New(nil)
	if err := reg.Define("walk", store.Definition{Open: Opener(o)}); err != nil {
		t.Fatal(err)
	}
	ctx, unit := reg.Begin(testContext(t), "walk")
	t.Cleanup(func() {
		unit.End()
		reg.Close(context.Background())
	})
	h, err := unit.Get(ctx, "walk")
	if err != nil {
		t.Fatal(err)
	}
	return h, ctx
}

// walks are the ways to walk over the keys under a prefix.
var walks = map[string]func(t *testing.T, ctx context.Context, h *store.Handle, prefix string) []string{
	"Keys": func(t *testing.T, ctx context.Context, h *store.Handle, prefix string) (keys []string) {
		return collect(t, h.Keys(ctx, prefix))
	},
	"Items": func(t *testing.T, ctx context.Context, h *store.Handle, prefix string) (keys []string) {
		return collect(t, func(yield func(string, error) bool) {
			for item, err := range h.Items(ctx, prefix) {
				if !yield(item.Key, err) {
					return
				}
			}
		})
	},
	"each": func(t *testing.T, ctx context.Context, _ *store.Handle, prefix string) []string {
		return eachInLua(t, ctx, fmt.Sprintf("{prefix=%q, values=false}", prefix))
	},
	"each with values": func(t *testing.T, ctx context.Context, _ *store.Handle, prefix string) []string {
		return eachInLua(t, ctx, fmt.Sprintf("%q", prefix))
	},
}

func collect(t *testing.T, all iter.Seq2[string, error]) (keys []string) {
	t.Helper()
	for key, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

// eachInLua returns the keys that s:each(arguments) shows to a script.
func eachInLua(t *testing.T, ctx context.Context, arguments string) []string {
	t.Helper()
	return inLua(t, ctx, `local keys = {} for key in s:each(`+arguments+`) do keys[#keys + 1] = key end return keys`)
}

// inLua runs a script that has the store "walk" as s, and returns the array of strings that it returns.
func inLua(t *testing.T, ctx context.Context, source string) (all []string) {
	t.Helper()
	L := lua.NewState()
	defer L.Close()
	storelua.Preload(L)
	L.SetContext(ctx)
	if err := L.DoString(`local s = assert(require("store").get("walk")) ` + source); err != nil {
		t.Fatal(err)
	}
	L.CheckTable(-1).ForEach(func(_, v lua.LValue) { all = append(all, lua.LVAsString(v)) })
	return all
}

// numbered returns the keys that fill makes, in byte order.
func numbered(prefix string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = prefix + strconv.Itoa(i)
	}
	slices.Sort(keys)
	return keys
}

// distinct returns keys in order, each once.
func distinct(keys []string) []string {
	slices.Sort(keys)
	return slices.Compact(keys)
}

func TestWalk_SmallPrefixAmongManyKeys_IsFoundWholly(t *testing.T) {
	server := redistest.Shared(t)
	h, ctx := openHandle(t, server)
	raw := server.Client(t)
	fill(t, raw, "other:", 100_000)
	fill(t, raw, "some:", 50)
	fill(t, raw, "one:", 1)
	for name, walk := range walks {
		for prefix, n := range map[string]int{"some:": 50, "one:": 1, "none:": 0} {
			if got := distinct(walk(t, ctx, h, prefix)); !slices.Equal(got, numbered(prefix, n)) {
				t.Errorf("%s shows %d keys under %q, want %d", name, len(got), prefix, n)
			}
		}
	}
	if got := distinct(walks["Keys"](t, ctx, h, "")); len(got) != 100_051 {
		t.Errorf("%d keys under the empty prefix", len(got))
	}
}

func TestWalk_EmptyPages_AreNotTheEnd(t *testing.T) {
	server := redistest.Shared(t)
	h, ctx := openHandle(t, server)
	raw := server.Client(t)
	fill(t, raw, "other:", 100_000)
	fill(t, raw, "one:", 1)
	if page, err := h.ListItems(ctx, "none:", "", 100); err != nil || len(page.Items) > 0 || page.Next == "" {
		t.Fatalf("the first page of nothing among many: %d items, cursor %q, %v; want none and a cursor", len(page.Items), page.Next, err)
	}
	got := inLua(t, ctx, `local found, pages, cursor = {}, 0, nil
		repeat
			local page = assert(s:list{prefix="one:", cursor=cursor})
			for _, key in ipairs(page.items) do found[#found + 1] = key end
			pages, cursor = pages + 1, page.cursor
		until not cursor
		assert(pages > 1, "one page only")
		return found`)
	if !slices.Equal(distinct(got), []string{"one:0"}) {
		t.Errorf("a script that follows the cursors finds %q", got)
	}
}

// A tide fills a database until its table is rehashed, and drains it until it is rehashed again.
type tide struct {
	stop   chan struct{}
	wg     sync.WaitGroup
	cycles atomic.Int64
}

func startTide(t *testing.T, client rueidis.Client) *tide {
	x := &tide{stop: make(chan struct{})}
	x.wg.Go(func() {
		for {
			for _, drain := range []bool{false, true} {
				for from := 0; from < 20_000; from += 100 {
					select {
					case <-x.stop:
						return
					default:
					}
					x.move(t, client, from, drain)
				}
			}
			x.cycles.Add(1)
		}
	})
	return x
}

func (x *tide) move(t *testing.T, client rueidis.Client, from int, drain bool) {
	var commands []rueidis.Completed
	for i := from; i < from+100; i++ {
		for _, key := range []string{fmt.Sprint("comes:", i), fmt.Sprint("stays:comes:", i)} {
			if drain {
				commands = append(commands, client.B().Del().Key(key).Build())
			} else {
				commands = append(commands, client.B().Set().Key(key).Value("v").Build())
			}
		}
	}
	for _, reply := range client.DoMulti(context.Background(), commands...) {
		if err := reply.Error(); err != nil {
			t.Error(err)
		}
	}
}

func (x *tide) end() {
	close(x.stop)
	x.wg.Wait()
}

func TestWalk_KeysThatStay_AreShownWhileOthersComeAndGo(t *testing.T) {
	server := redistest.Shared(t)
	h, ctx := openHandle(t, server)
	raw := server.Client(t)
	fill(t, raw, "stays:", 500)
	want := numbered("stays:", 500)
	x := startTide(t, raw)
	defer x.end()
	for name, walk := range walks {
		for begun := x.cycles.Load(); x.cycles.Load() < begun+2; {
			got := slices.DeleteFunc(distinct(walk(t, ctx, h, "stays:")), func(key string) bool {
				return strings.HasPrefix(key, "stays:comes:")
			})
			if !slices.Equal(got, want) {
				t.Errorf("%s shows %d keys, want %d", name, len(got), len(want))
			}
		}
	}
}

func TestHandle_ForgedCursors_AreInvalid(t *testing.T) {
	server := redistest.Shared(t)
	h, ctx := openHandle(t, server)
	raw := server.Client(t)
	fill(t, raw, "k:", 3000)
	fill(t, raw, "j:", 3000)
	first := func(prefix string) string {
		page, err := h.List(ctx, prefix, "", 10)
		if err != nil || page.Next == "" {
			t.Fatalf("no cursor: %v", err)
		}
		return page.Next
	}
	good := first("k:")
	forged := []string{"0", "1", "3w", "zz", "\x00", "é", "AAAAAAAAAAAAAAAA", good + "=", good + "A", " " + good, first("j:"), first(""), strings.Repeat("A", 1<<16)}
	for i := range len(good) {
		changed := []byte(good)
		if changed[i]++; i%2 == 0 {
			changed[i] = '-'
		}
		if string(changed) != good {
			forged = append(forged, string(changed))
		}
		if i > 0 {
			forged = append(forged, good[:i])
		}
	}
	for _, cursor := range forged {
		if _, err := h.List(ctx, "k:", cursor, 10); store.Kind(err) != "invalid" {
			t.Errorf("List, cursor %.40q: %v, want invalid", cursor, err)
		}
		if _, err := h.ListItems(ctx, "k:", cursor, 10); store.Kind(err) != "invalid" {
			t.Errorf("ListItems, cursor %.40q: %v, want invalid", cursor, err)
		}
	}
	if kind := inLua(t, ctx, `local _, _, kind = s:list{prefix="k:", cursor="3w"} return {kind}`); !slices.Equal(kind, []string{"invalid"}) {
		t.Errorf("list answers kind %q, want invalid", kind)
	}
	if _, err := h.List(ctx, "k:", good, 10); err != nil {
		t.Errorf("the true cursor: %v", err)
	}
}
