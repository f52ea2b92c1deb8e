package crashtest

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// An event is what a child says in one line of its pipe: one of the pointers and texts below.
type event struct {
	At      int64      // nanoseconds since the Unix epoch: taken before an operation is begun, and after it has ended
	Writer  int        `json:",omitempty"`
	Intent  *operation `json:",omitempty"` // what the writer is about to do
	Ack     *answer    `json:",omitempty"` // what came of its last intent
	Opening bool       `json:",omitempty"` // the store is about to be opened
	Fault   string     `json:",omitempty"` // an error that should not be
}

// The kinds of operation.
const (
	opSet        = "set"
	opDelete     = "delete"
	opTouch      = "touch"
	opSwap       = "swap"
	opIncr       = "incr" // by one, on a shared counter
	opSetMany    = "set_many"
	opDeleteMany = "delete_many"
)

// An operation is one call of a writer.
type operation struct {
	Kind string
	Keys []string      // one, but for batches
	Old  id            `json:",omitzero"`  // of swap
	New  []id          `json:",omitempty"` // of set and swap, one for each key; the zero id of swap deletes
	TTL  time.Duration `json:",omitempty"`
}

func (op operation) String() string {
	text := fmt.Sprintf("%s %q", op.Kind, op.Keys)
	if op.Kind == opSwap {
		text += fmt.Sprintf(" from %v", op.Old)
	}
	if op.New != nil {
		text += fmt.Sprintf(" to %v", op.New)
	}
	return text + fmt.Sprintf(" with ttl %v", op.TTL)
}

// An answer is what a call returned.
type answer struct {
	Yes   bool    `json:",omitempty"` // of delete and touch that it existed, of swap that it was swapped
	Count int     `json:",omitempty"` // of delete_many
	Sum   float64 `json:",omitempty"` // of incr
}

// A speaker writes events to the pipe, each in one write: what is shorter than a page no kill can tear.
type speaker struct {
	mu   sync.Mutex
	pipe io.Writer
}

// say returns when the event is in the pipe, from where the parent reads it even if this process ends now.
func (s *speaker) say(e event) error {
	e.At = time.Now().UnixNano()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.pipe.Write(append(line, '\n'))
	return err
}

// parse reads one line. What is no event, as a line that the testing package prints, is not ok.
func parse(line []byte) (e event, ok bool) {
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.At > 0
}
