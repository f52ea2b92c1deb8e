// Command luastore runs Lua scripts against key-value stores: see luastore --help.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/luastore/store/internal/cli"
	"github.com/luastore/store/script"
)

func main() {
	script.LimitArrays(1 << 17) // 2 MB for t[131072]=1, instead of gigabytes for larger keys
	signal.Ignore(syscall.SIGPIPE)
	process := &cli.Process{
		Executable: os.Executable, Args: os.Args[1:], Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	os.Exit(process.Main())
}
