// Command gopherlualibs is a peer of the benchmarks: it runs the programs that are posted to it in gopher-lua, with module storage of
// gopher-lua-libs. Each connection has a Lua state of its own; all share one storage.
//
// It is a module of its own for what gopher-lua-libs requires beside its storage, such as the SDK of AWS, which nobody should download for the
// other benchmarks. Its go.sum has what this program is built with; go mod tidy would add all the rest.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/vadv/gopher-lua-libs/storage"
	lua "github.com/yuin/gopher-lua"
)

// An interpreter is one Lua state, with the programs that it has compiled.
type interpreter struct {
	state    *lua.LState
	programs map[string]lua.LValue
}

// interpreterKey is the key of a connection's interpreter in its context.
type interpreterKey struct{}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gopherlualibs ADDRESS")
	}
	log.Fatal(listen(os.Args[1]))
}

// listen serves until it fails.
func listen(address string) error {
	// A deadline far away: what the scripts of the other peers in gopher-lua run under.
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	server := &http.Server{
		Addr:    address,
		Handler: http.HandlerFunc(serve),
		ConnContext: func(connection context.Context, _ net.Conn) context.Context {
			return context.WithValue(connection, interpreterKey{}, newInterpreter(ctx))
		},
	}
	return server.ListenAndServe()
}

func newInterpreter(ctx context.Context) *interpreter {
	in := &interpreter{state: lua.NewState(), programs: make(map[string]lua.LValue)}
	in.state.SetContext(ctx)
	in.state.SetGlobal("VERSION", lua.LString(versions()))
	storage.Preload(in.state)
	return in
}

// versions names the modules that this program was built with.
func versions() string {
	var named []string
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			named = append(named, path.Base(dep.Path)+" "+dep.Version)
		}
	}
	return strings.Join(named, ", ")
}

func serve(w http.ResponseWriter, r *http.Request) {
	in := r.Context().Value(interpreterKey{}).(*interpreter)
	result, err := in.answer(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	io.WriteString(w, result)
}

func (in *interpreter) answer(r *http.Request) (string, error) {
	source, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		return "", fmt.Errorf("want ?n=NUMBER: %w", err)
	}
	return in.run(string(source), n)
}

// run calls the function that a program returns, and returns what that does.
func (in *interpreter) run(source string, n int) (string, error) {
	program, ok := in.programs[source]
	if !ok {
		if err := in.state.DoString(source); err != nil {
			return "", err
		}
		program = in.state.Get(-1)
		in.state.Pop(1)
		in.programs[source] = program
	}
	if err := in.state.CallByParam(lua.P{Fn: program, NRet: 1, Protect: true}, lua.LNumber(n)); err != nil {
		return "", err
	}
	defer in.state.Pop(1)
	return lua.LVAsString(in.state.Get(-1)), nil
}
