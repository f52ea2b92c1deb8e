// Command webhost is a Go program that serves HTTP with Lua: each request is one unit of work, run by the script in
// handler.lua. Try
//
//	go run ./examples/webhost
//	curl -X PUT -d 'eggs and milk' localhost:8080/notes/shopping
//	curl localhost:8080/notes/shopping
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/all"
	"github.com/luastore/store/script"
)

//go:embed handler.lua
var handler string

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	url := flag.String("store", "mem:", "where notes are kept, such as redis://localhost:6379")
	flag.Parse()
	script.LimitArrays(1 << 17)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	l, err := net.Listen("tcp", *addr)
	if err == nil {
		log.Info("listening", "addr", l.Addr().String())
		err = serve(ctx, l, *url, log)
	}
	if err != nil {
		log.Error("webhost", "error", err)
		os.Exit(1)
	}
}

// serve answers requests until ctx ends, then finishes those that are under way and closes the stores.
func serve(ctx context.Context, l net.Listener, url string, log *slog.Logger) error {
	open, err := all.Opener(url)
	if err != nil {
		return err
	}
	reg := store.New(&store.Options{Logger: log})
	if err := reg.Define("notes", store.Definition{Open: open}); err != nil {
		return err
	}
	program, err := script.Compile("handler.lua", handler)
	if err != nil {
		return err
	}
	runner := script.New(reg, &script.Options{
		Timeout: time.Second,
		Setup: func(L *lua.LState) { // what scripts may call besides the store
			L.Register("log", func(L *lua.LState) int {
				log.InfoContext(L.Context(), L.CheckString(1))
				return 0
			})
		},
	})

	server := &http.Server{Handler: &host{runner, program, log}, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(grace), reg.Close(grace))
}

// A host hands requests to the script.
type host struct {
	runner  *script.Runner
	program *script.Program
	log     *slog.Logger
}

// The request and the response as the script sees them.
type (
	request struct {
		Method string `store:"method"`
		Path   string `store:"path"`
		Body   string `store:"body"`
	}
	response struct {
		Status int    `store:"status"`
		Body   string `store:"body"`
	}
)

// ServeHTTP runs the script as one unit of work, which ends with the request. What the script returns is safe to use after it.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "the note is too large", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "cannot read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	answer := response{Status: http.StatusOK}
	results, err := h.runner.Run(r.Context(), h.program, request{Method: r.Method, Path: r.URL.Path, Body: string(body)})
	if err == nil {
		err = results.Decode(&answer)
	}
	if err != nil { // the client learns nothing of the inside
		h.log.ErrorContext(r.Context(), "handler failed", "path", r.URL.Path, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(answer.Status)
	io.WriteString(w, answer.Body)
}
