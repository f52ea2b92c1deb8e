package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/luastore/store"
)

// maxErrors is how many mistakes of one file are told: what comes after is mostly their consequence.
const maxErrors = 20

// An Error is one mistake in a file. [errors.Is] finds [store.ErrInvalid], and what Unwrap returns. It holds no value that came from
// ${NAME} or ${file:path}.
type Error struct {
	File    string // as the caller named it
	Line    int    // from 1; 0 where the whole file is meant
	Column  int    // from 1, in characters
	Message string
	// Source is the line as the file has it, cut to a width that terminals show, without what could be a secret. It is "" where nothing
	// of the line can be shown.
	Source string

	caret int   // characters of Source before the place
	cause error // nil, or the error of the opener, whose text is in Message
}

// Error returns the place and the message, and below them the line with a mark under the place.
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	head := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
	if e.Source == "" {
		return head
	}
	number := strconv.Itoa(e.Line)
	margin := strings.Repeat(" ", len(number))
	return fmt.Sprintf("%s\n  %s | %s\n  %s | %s^", head, number, e.Source, margin, strings.Repeat(" ", e.caret))
}

// Is reports whether target is [store.ErrInvalid].
func (e *Error) Is(target error) bool { return target == store.ErrInvalid }

// Unwrap returns the error of the opener that refused a URL, nil for other mistakes.
func (e *Error) Unwrap() error { return e.cause }

// Errors are all mistakes of a file, in the order of their places. [errors.As] finds it in what [Load], [Parse], [Open] and
// [Host.Reload] return.
type Errors struct {
	List []*Error // at least one, at most 20
	More int      // how many there are beyond
}

// Error returns the mistakes one after the other.
func (e *Errors) Error() string {
	told := make([]string, len(e.List), len(e.List)+1)
	for i, mistake := range e.List {
		told[i] = mistake.Error()
	}
	switch {
	case e.More == 1:
		told = append(told, "and 1 more mistake")
	case e.More > 1:
		told = append(told, fmt.Sprintf("and %d more mistakes", e.More))
	}
	return strings.Join(told, "\n")
}

// Unwrap returns the mistakes.
func (e *Errors) Unwrap() []error {
	all := make([]error, len(e.List))
	for i, mistake := range e.List {
		all[i] = mistake
	}
	return all
}

// joined returns mistakes as one error, nil for none.
func joined(mistakes []*Error) error {
	if len(mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(mistakes, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	told := mistakes[:min(len(mistakes), maxErrors)]
	return &Errors{List: told, More: len(mistakes) - len(told)}
}

// errPolicy answers a host that brings a policy of its own: which of the two would decide could not be seen from either.
var errPolicy = store.Errorf(store.ErrInvalid, "config: Options.Registry.Policy must be nil: access rules are those of the file")

// unreadable is the error of a file that cannot be read at all.
func unreadable(path string, err error) error {
	return store.Errorf(store.ErrInvalid, "cannot read %s: %w", path, bare(err))
}

// bare returns what is below the names of operation and file that package os adds.
func bare(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
