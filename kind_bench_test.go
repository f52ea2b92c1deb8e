package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/luastore/store"
)

// BenchmarkKind is what a Lua call that fails, and an observer, pay for the word.
func BenchmarkKind(b *testing.B) {
	for name, err := range map[string]error{
		"not_found":   store.ErrNotFound,
		"denied":      &store.Error{Store: "s", Op: store.OpGet, Key: "a:b", Err: store.Errorf(store.ErrDenied, "permission denied: %v", errors.New("no"))},
		"unavailable": &store.Error{Store: "s", Op: store.OpGet, Key: "a:b", Err: store.Errorf(store.ErrUnavailable, "store unavailable: nobody there")},
		"wrapped":     fmt.Errorf("more: %w", &store.Error{Store: "s", Op: store.OpGet, Err: store.Errorf(store.ErrTimeout, "timeout: %w", errors.New("late"))}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if store.Kind(err) == "internal" {
					b.Fatal(err)
				}
			}
		})
	}
}
