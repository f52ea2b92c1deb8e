package config_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
	"github.com/luastore/store/driver/all"
	"github.com/luastore/store/script"
)

// A host reads the file that the command reads, and keeps scripts to it.
func Example() {
	ctx := context.Background()
	host, err := config.Open("testdata/example.yaml", all.Opener, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = host.Registry().Close(ctx) }()

	options := host.Config().Runner.Script()
	options.Stdout = os.Stdout
	runner := script.New(host.Registry(), options)
	program, err := script.Compile("cart.lua", `
		local s = require("store").get("session_store")
		assert(s:set("session:1", "Ada"))
		print((s:get("session:1")))
		print(s:delete("session:1"))`)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := runner.Exec(ctx, program); err != nil {
		fmt.Println(err)
	}

	// The host's own code is a unit of work too, by the name that rules know it by.
	err = host.Registry().DoNamed(ctx, "reports", func(ctx context.Context) error {
		h, err := store.Get(ctx, "session_store")
		if err != nil {
			return err
		}
		name, err := store.Load[string](ctx, h, "session:1")
		fmt.Println("report:", name)
		return errors.Join(err, store.Save(ctx, h, "session:1", "Bob", store.DefaultTTL))
	})
	fmt.Println(store.Message(err))
	// Output:
	// Ada
	// nil	permission denied: store "session_store": access rule at example.yaml:4	denied
	// report: Ada
	// permission denied: store "session_store": no access rule allows it
}
