package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/luastore/store/value"
)

// One sentinel for each cause. Every error of this module wraps one of them or is an internal one: test with [errors.Is],
// or take its [Kind].
var (
	ErrNotFound       = errors.New("key not found")               // no live entry under the key
	ErrStoreNotFound  = errors.New("store not found")             // no store of that id
	ErrInvalid        = value.ErrInvalid                          // a bad key, ttl, value or option: the caller's mistake
	ErrDenied         = errors.New("permission denied")           // by the policy, or because the store is read-only
	ErrTooLarge       = value.ErrTooLarge                         // beyond a limit on size, depth or count
	ErrFull           = errors.New("store full")                  // the store has no room and may not evict
	ErrConflict       = errors.New("conflict")                    // other writers won every time
	ErrAborted        = errors.New("aborted")                     // a function that was to give a value gave none
	ErrReleased       = errors.New("store is released")           // the handle was released, or its unit has ended
	ErrUnavailable    = errors.New("store unavailable")           // cannot be reached, or is closed; nothing was written
	ErrTimeout        = errors.New("timeout")                     // the deadline passed; nothing was written
	ErrCanceled       = errors.New("canceled")                    // the context was cancelled; nothing was written
	ErrUnknownOutcome = errors.New("unknown outcome")             // a write may or may not have been applied
	ErrCorrupt        = value.ErrCorrupt                          // stored bytes that are no valid value
	ErrNotNumber      = Errorf(ErrInvalid, "not a number")        // Incr of another value; it is an ErrInvalid
	ErrOutOfRange     = Errorf(ErrInvalid, "number beyond ±2^53") // Incr past the exact integers; it is an ErrInvalid
)

// Errorf returns an error with the text of [fmt.Errorf] that [errors.Is] matches with cause, one of the sentinels, whatever
// its text. Drivers use it to say what happened in their own words.
func Errorf(cause error, format string, args ...any) error {
	return value.Errorf(cause, format, args...)
}

// kinds pairs each cause with its kind, the more telling first.
var kinds = []struct {
	cause error
	kind  string
}{
	{ErrNotFound, "not_found"},
	{ErrUnknownOutcome, "unknown_outcome"},
	{ErrStoreNotFound, "store_not_found"},
	{ErrDenied, "denied"},
	{ErrTooLarge, "too_large"},
	{ErrFull, "full"},
	{ErrConflict, "conflict"},
	{ErrAborted, "aborted"},
	{ErrReleased, "released"},
	{ErrCorrupt, "corrupt"},
	{ErrInvalid, "invalid"},
	{ErrTimeout, "timeout"},
	{ErrCanceled, "canceled"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "canceled"},
	{ErrUnavailable, "unavailable"},
}

// Kind names the cause of an error in one word, the third result of a Lua call: not_found, store_not_found, invalid, denied,
// too_large, full, conflict, aborted, released, unavailable, timeout, canceled, unknown_outcome, corrupt, or internal for any
// other. It is "" for nil.
func Kind(err error) string {
	if err == nil {
		return ""
	}
	if kind, ok := plainKind(err); ok {
		return kind
	}
	for i := range kinds {
		if errors.Is(err, kinds[i].cause) {
			return kinds[i].kind
		}
	}
	return "internal"
}

// plainKind is Kind for the errors that come most, a bare cause and one cause with a text, in which there is nothing to search. As
// any they are looked at as they are, not at what they wrap.
func plainKind(err any) (kind string, ok bool) {
	if err == any(ErrNotFound) {
		return "not_found", true
	}
	if e, is := err.(*Error); is {
		err = e.Err
	}
	fault, is := err.(*value.Fault)
	if !is || wraps(fault.Err) {
		return "", false
	}
	for i := range kinds {
		if any(kinds[i].cause) == any(fault.Cause) {
			return kinds[i].kind, true
		}
	}
	return "", false
}

// wraps reports whether there may be more in err than its text.
func wraps(err any) bool {
	switch err.(type) {
	case interface{ Unwrap() error }, interface{ Unwrap() []error }, interface{ Is(error) bool }:
		return true
	}
	return false
}

// Kinds returns all that [Kind] answers for an error, for tables of metrics and the like.
func Kinds() []string {
	var all []string
	for _, k := range kinds {
		if !slices.Contains(all, k.kind) {
			all = append(all, k.kind)
		}
	}
	return append(all, "internal")
}

// An Error says in which store, operation and key an error came about. [ErrNotFound] and [ErrReleased] are returned bare.
type Error struct {
	Store string // id of the store
	Op    Op     // operation
	Key   string // key or prefix as the caller named it; "" where there is none
	Err   error
}

// Error returns the context and the text of Err.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "store %s: %s", quote(e.Store), e.Op)
	if e.Key != "" {
		b.WriteByte(' ')
		b.WriteString(quote(e.Key))
	}
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// maxQuoted is the length up to which names are shown whole in messages: that of the longest key.
const maxQuoted = DefaultKeyBytes

// quote returns a name in quotes, cut where a script could make a message of any length with it.
func quote(name string) string {
	if len(name) <= maxQuoted {
		return strconv.Quote(name)
	}
	return fmt.Sprintf("%q… (%d bytes)", name[:maxQuoted/8], len(name))
}

// Message returns the text of err for the caller of one operation, who knows which store and key it named: without that
// context where the mistake is the caller's, with it where something went wrong beyond.
func Message(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	switch Kind(err) {
	case "unavailable", "timeout", "canceled", "unknown_outcome", "internal":
		return e.Error()
	case "denied":
		if why, ok := strings.CutPrefix(e.Err.Error(), denied); ok {
			return fmt.Sprintf("%sstore %s: %s", denied, quote(e.Store), why)
		}
	}
	return e.Err.Error()
}

// denied is how every refusal begins.
const denied = "permission denied: "

// explain gives an error of the context package its sentinel, unless a more telling one explains it already.
func explain(err error) error {
	switch kind := Kind(err); {
	case kind == "timeout" && !errors.Is(err, ErrTimeout):
		return Errorf(ErrTimeout, "timeout: %w", err)
	case kind == "canceled" && !errors.Is(err, ErrCanceled):
		return Errorf(ErrCanceled, "canceled: %w", err)
	}
	return err
}
