package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

func Example() {
	ctx := context.Background()
	reg := store.New(nil)
	defer reg.Close(ctx)
	if err := reg.Define("cache", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		fmt.Println(err)
		return
	}

	type preferences struct {
		Theme    string `store:"theme"`
		FontSize int    `store:"fontSize"`
	}
	err := reg.Do(ctx, func(ctx context.Context) error { // one unit of work: what it opens is released when it ends
		cache, err := store.Get(ctx, "cache")
		if err != nil {
			return err
		}
		if err := store.Save(ctx, cache, "user:42", preferences{"dark", 14}, 30*time.Minute); err != nil {
			return err
		}
		p, err := store.Load[preferences](ctx, cache, "user:42")
		fmt.Println(p.Theme, p.FontSize)
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: dark 14
}

// A host and its scripts change the same entries, and neither loses what the other wrote.
func ExampleUpdate() {
	reg := store.New(nil)
	defer reg.Close(context.Background())
	if err := reg.Define("shop", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		log.Fatal(err)
	}
	errSoldOut := errors.New("sold out")
	take := func(n int, found bool) (int, error) {
		switch {
		case !found:
			return 1, nil // as many as come with the first
		case n == 0:
			return 0, errSoldOut // returned as it is, and nothing is written
		}
		return n - 1, nil // may run again where another writer was faster
	}
	err := reg.Do(context.Background(), func(ctx context.Context) error {
		shop, err := store.Get(ctx, "shop")
		if err != nil {
			return err
		}
		for {
			left, err := store.Update(ctx, shop, "stock:lamp", store.KeepTTL, take)
			if err != nil {
				return err
			}
			fmt.Println("left:", left)
		}
	})
	fmt.Println(err)
	// Output:
	// left: 1
	// left: 0
	// sold out
}

func ExampleFetch() {
	reg := store.New(nil)
	defer reg.Close(context.Background())
	if err := reg.Define("cache", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		log.Fatal(err)
	}
	err := reg.Do(context.Background(), func(ctx context.Context) error {
		cache, err := store.Get(ctx, "cache")
		if err != nil {
			return err
		}
		for range 2 {
			page, hit, err := store.Fetch(ctx, cache, "page:home", time.Minute, func(context.Context) (string, error) {
				return "<h1>Hello</h1>", nil // once for all concurrent callers of this process
			})
			if err != nil {
				return err
			}
			fmt.Println(page, hit)
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// <h1>Hello</h1> false
	// <h1>Hello</h1> true
}

func ExampleHandle_Items() {
	reg := store.New(nil)
	defer reg.Close(context.Background())
	if err := reg.Define("users", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		log.Fatal(err)
	}
	err := reg.Do(context.Background(), func(ctx context.Context) error {
		users, err := store.Get(ctx, "users")
		if err != nil {
			return err
		}
		if err := store.SaveMany(ctx, users, map[string]int{"age:ada": 36, "age:grace": 45, "size:ada": 170}, 0); err != nil {
			return err
		}
		for item, err := range users.Items(ctx, "age:") {
			if err != nil {
				return err
			}
			var age int
			if err := value.Unmarshal(item.Value, &age, value.Limits{}); err != nil {
				return err
			}
			fmt.Println(item.Key, age)
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// age:ada 36
	// age:grace 45
}

// This function stands in README.md, which a test compares with it.
func Example_embedding() {
	reg := store.New(nil)
	defer reg.Close(context.Background())
	if err := reg.Define("cache_store", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		log.Fatal(err)
	}

	L := lua.NewState()
	defer L.Close()
	storelua.Preload(L) // require("store") works in this state from now on

	err := reg.Do(context.Background(), func(ctx context.Context) error { // one unit of work
		L.SetContext(ctx) // ties the state to the unit: what the script opens is released at the end
		return L.DoString(`
			local s = assert(require("store").get("cache_store"))
			s:set("greeting:en", "hello")
			print(s:get("greeting:en"))
		`)
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: hello	nil
}

// A Lua script and its Go host use the same store.
func Example_lua() {
	ctx := context.Background()
	reg := store.New(nil)
	defer reg.Close(ctx)
	if err := reg.Define("cache", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		fmt.Println(err)
		return
	}

	L := lua.NewState()
	defer L.Close()
	storelua.Preload(L)
	err := reg.Do(ctx, func(ctx context.Context) error {
		L.SetContext(ctx)
		return L.DoString(`
			local cache = assert(require("store").get("cache"))
			assert(cache:set("user:42", {theme = "dark", fontSize = 14}, 1800))
			print(cache:get("user:42").theme)
			print(cache:get("user:43"))
			print(cache:get("user"))
		`)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// dark
	// nil	key not found	not_found
	// nil	invalid key "user": want "namespace:name"	invalid
}

// Each request of a server is a unit with a name, which the policy sees.
func ExampleOptions_policy() {
	ctx := context.Background()
	reg := store.New(&store.Options{Policy: func(_ context.Context, a store.Access) error {
		if a.Unit == "guest" && a.Op != store.OpGet {
			return fmt.Errorf("guests may not %s %s", a.Op, a.Key)
		}
		return nil
	}})
	defer reg.Close(ctx)
	if err := reg.Define("cache", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		fmt.Println(err)
		return
	}
	err := reg.DoNamed(ctx, "guest", func(ctx context.Context) error {
		cache, err := store.Get(ctx, "cache")
		if err != nil {
			return err
		}
		return store.Save(ctx, cache, "user:42", "gone", store.DefaultTTL)
	})
	fmt.Println(store.Kind(err), "-", store.Message(err))
	// Output: denied - permission denied: store "cache": guests may not set user:42
}
