package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// start serves on a free port. The function it returns asks for a page.
func start(t *testing.T) func(method, path, body string) (int, string) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, l, "mem:", slog.New(slog.DiscardHandler)) }()
	client := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		client.CloseIdleConnections()
	})
	return func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
}

func TestServe_AnswersByTheScript(t *testing.T) {
	ask := start(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/notes/shopping", "", 404, "no note shopping\n"},
		{"PUT", "/notes/shopping", "eggs", 200, "kept shopping\n"},
		{"PUT", "/notes/shopping", "eggs and milk", 200, "kept shopping\n"},
		{"GET", "/notes/shopping", "", 200, "eggs and milk (edits: 2)\n"},
		{"DELETE", "/notes/shopping", "", 200, "forgot shopping\n"},
		{"DELETE", "/notes/shopping", "", 404, "no note shopping\n"},
		{"GET", "/other", "", 404, "try /notes/NAME\n"},
		{"PUT", "/notes/long", strings.Repeat("x", 1<<17), 413, "the note is too large\n"},
	} {
		status, got := ask(c.method, c.path, c.body)
		if status != c.status || got != c.want {
			t.Errorf("%s %s: got %d %q, want %d %q", c.method, c.path, status, got, c.status, c.want)
		}
	}
}

func TestServe_BadStoreURL_FailsAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := serve(t.Context(), l, "redis://u:sec%ret@host", slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "sec") {
		t.Errorf("got %v, want an error without the password", err)
	}
}
