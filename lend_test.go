package store

import (
	"context"
	"testing"
)

// Who has found an instance gets no lease on it once it has ended.
func TestLend_AfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(*Registry) error{
		"Remove": func(r *Registry) error { return r.Remove("s") },
		"Close":  func(r *Registry) error { return r.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			r := New(nil)
			in := &instance{id: "s", reg: r, driver: struct{ Driver }{}}
			r.stores["s"] = in
			r.live[in] = struct{}{}
			r.publish(in)
			if r.present("s") != in || !in.lend() {
				t.Fatal("no lease on an instance that serves")
			}
			r.release(t.Context(), in)
			if err := end(r); err != nil {
				t.Fatal(err)
			}
			if r.present("s") != nil || in.lend() || in.leased() != 0 {
				t.Errorf("present: %v, with %d leases", r.present("s"), in.leased())
			}
		})
	}
}
