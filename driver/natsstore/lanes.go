package natsstore

import (
	"context"
	"sync"
)

// lanes are queues, one for each subject that somebody changes by reading it first: callers of one process wait for their turn rather
// than undo each other's work. Whoever waits obeys its own context.
type lanes struct {
	mu        sync.Mutex
	bySubject map[string]*lane
}

// A lane is the queue of one subject.
type lane struct {
	turn  chan struct{} // holds something while it is somebody's turn
	users int           // who wait or have their turn; guarded by lanes.mu
}

func newLanes() *lanes { return &lanes{bySubject: map[string]*lane{}} }

// enter waits for a turn with a subject, which ends when leave is called. It returns nil when ctx ends first.
func (ls *lanes) enter(ctx context.Context, subject string) (leave func()) {
	l := ls.join(subject)
	select {
	case l.turn <- struct{}{}:
		return func() {
			<-l.turn
			ls.quit(subject, l)
		}
	case <-ctx.Done():
		ls.quit(subject, l)
		return nil
	}
}

func (ls *lanes) join(subject string) *lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.bySubject[subject]
	if l == nil {
		l = &lane{turn: make(chan struct{}, 1)}
		ls.bySubject[subject] = l
	}
	l.users++
	return l
}

// quit takes a user out of a lane, which goes with the last.
func (ls *lanes) quit(subject string, l *lane) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(ls.bySubject, subject)
	}
}
