package script_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/script"
)

func ExampleRunner_Run() {
	ctx := context.Background()
	reg := store.New(nil)
	defer reg.Close(ctx)
	if err := reg.Define("visits", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		fmt.Println(err)
		return
	}
	program, err := script.Compile("visit.lua", `
		local visits = assert(require("store").get("visits"))
		local key = "user:" .. ...
		local n = visits:get(key, 0) + 1
		assert(visits:set(key, n))
		print("hello " .. ...)
		return n`)
	if err != nil {
		fmt.Println(err)
		return
	}
	runner := script.New(reg, &script.Options{Timeout: time.Second, Stdout: os.Stdout})
	for range 2 {
		results, err := runner.Run(ctx, program, "ada")
		if err != nil {
			fmt.Println(err)
			return
		}
		var n int
		if err := results.Decode(&n); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(n)
	}
	// Output:
	// hello ada
	// 1
	// hello ada
	// 2
}
