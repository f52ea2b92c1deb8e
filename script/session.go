package script

import (
	"context"
	"errors"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
)

// A Session runs one chunk after another in one Lua state: what one sets and opens, the next one sees. It is for people who type, and
// for whoever else needs globals that last.
//
// All of it is one [store.Unit], so that a store that one line has opened works on the next: s = store.get("demo"), then s:get("a:b").
// Were each chunk a unit, every handle would be released at the end of the line that got it. The unit ends with the session; what the
// session has opened stays open until then, unless scripts release it.
//
// Each chunk has a deadline, an amount of output and of memory of its own, by the [Options] of the runner; what earlier chunks have
// left in globals does not count against it. A chunk that fails or is stopped leaves what it has done so far, and the session goes on.
// Only a panic of Go code that a chunk called makes the state unusable: the session then begins anew with fresh globals, in a new unit,
// and the [*Error], of [KindPanic], says so. os.exit, which [GrantOS] gives, ends the session: [KindExit].
//
// The state is the session's alone, and gone with it. Its methods are safe for concurrent use; chunks run one at a time. A function of the
// host that a chunk calls must not call them, as it would wait for itself.
type Session struct {
	r    *Runner
	name string
	ctx  context.Context // of all units of the session, one after the other
	end  context.CancelCauseFunc

	turn    chan struct{} // holds a token while a method has what follows
	box     *sandbox      // nil where the next chunk has to begin anew
	unit    *store.Unit
	unitCtx context.Context
	ended   error // what chunks fail with from now on
}

// errSessionEnded is what stops a chunk when its session is closed.
var errSessionEnded = errors.New("the session was closed")

// Session begins a session under a name, which the policy and observers see, and which is arg[0]. It ends with Close, which the
// caller must call, or with ctx; after that chunks fail as [KindStopped]. The error is that of [Options].Setup.
func (r *Runner) Session(ctx context.Context, name string) (*Session, error) {
	s := &Session{r: r, name: name, turn: make(chan struct{}, 1)}
	s.ctx, s.end = context.WithCancelCause(ctx)
	if err := s.begin(); err != nil {
		s.end(nil)
		return nil, err
	}
	return s, nil
}

// begin makes a state, and a unit for it.
func (s *Session) begin() (err error) {
	s.unitCtx, s.unit = s.r.reg.Begin(s.ctx, s.name)
	if s.box, err = s.r.newSandbox(s.unitCtx); err != nil {
		s.abandon()
		return err
	}
	s.box.freshGlobals(&Program{name: s.name}, nil)
	return nil
}

// abandon gives up the state, and releases what its unit holds. Whatever fails then is in the log of the registry.
func (s *Session) abandon() {
	if s.box != nil {
		s.box.close()
		s.box = nil
	}
	if s.unit != nil {
		_ = s.unit.End()
		s.unit = nil
	}
}

// ready makes a state where there is none.
func (s *Session) ready() error {
	if s.ended != nil || s.box != nil {
		return s.ended
	}
	return s.begin()
}

// Run runs a program as the next chunk and returns its results, each printed as Lua for people: strings, numbers, booleans and tables as
// literals, a table with one line for each element where it does not fit a line, all else as tostring has it where that is Go's own. No
// code of scripts runs for it. What is long or deep is cut short, as a comment or three dots say there, and nothing in it
// is a command to a terminal.
//
// When ctx ends so does the chunk, or the wait for one that another call runs, but not the session; values of ctx are not seen. Errors
// are those of [Runner.Run].
func (s *Session) Run(ctx context.Context, p *Program) (results []string, err error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	defer s.pass()
	if err := s.ready(); err != nil {
		return nil, err
	}
	u, done := s.chunk(ctx, p)
	defer done()
	if u.ctx.Err() != nil {
		return nil, stopped(u.ctx, "")
	}
	returned := false
	defer func() {
		if !returned { // runtime.Goexit in a function of the host
			s.abandon()
		}
	}()
	results, err = s.box.chunk(u)
	returned = true
	return results, s.after(err)
}

// wait waits for its turn, no longer than ctx lasts.
func (s *Session) wait(ctx context.Context) error {
	if ctx.Err() == nil {
		select {
		case s.turn <- struct{}{}:
			return nil
		case <-ctx.Done():
		}
	}
	return stopped(ctx, "")
}

// pass gives the turn to who waits for it.
func (s *Session) pass() { <-s.turn }

// chunk returns the bounds of one chunk, which done takes away.
func (s *Session) chunk(ctx context.Context, p *Program) (u unit, done func()) {
	bounded, cancel := s.unitCtx, context.CancelFunc(func() {})
	if s.r.timeout > 0 {
		bounded, cancel = context.WithTimeoutCause(bounded, s.r.timeout, passed(s.r.timeout))
	}
	bounded, stop := context.WithCancelCause(bounded)
	detach := context.AfterFunc(ctx, func() { stop(context.Cause(ctx)) })
	seat := &s.box.seat // an abandoned state is no longer s.box
	m := seat.begin(stop, time.Now())
	return unit{ctx: bounded, stop: stop, meter: m, program: p}, func() {
		seat.end()
		detach()
		stop(nil)
		cancel()
	}
}

// after sees to the state when a chunk has ended.
func (s *Session) after(err error) error {
	var failed *Error
	if !errors.As(err, &failed) {
		return err
	}
	switch failed.Kind {
	case KindPanic:
		s.abandon()
		failed.Message += "; the session begins anew: its globals are gone, and its stores are released"
	case KindExit:
		s.abandon()
		s.ended = failed
	}
	return err
}

// Names returns what completes a name at a prompt, sorted: the globals, or, where path is names with dots between them such as "s" or
// "app.cart", the fields of what that is, and of what it inherits them from by a table in __index: a table, a string, the module store, a
// store. With a colon behind it, as in "s:", only functions are named. It reads tables without any code of scripts, looks at no more than
// 10,000 names, and waits for a chunk that runs.
func (s *Session) Names(path string) []string {
	s.turn <- struct{}{}
	defer s.pass()
	if s.ready() != nil {
		return nil
	}
	return s.box.names(path)
}

// Close ends the session, and a chunk that runs: it releases what the session holds. Only the first call does anything.
func (s *Session) Close() {
	s.end(errSessionEnded)
	s.turn <- struct{}{}
	defer s.pass()
	s.abandon()
	if s.ended == nil {
		s.ended = stopped(s.ctx, "")
	}
}

// chunk runs the next program of a session and returns its results as people read them.
func (s *sandbox) chunk(u unit) (results []string, err error) {
	s.take(u)
	s.raised, s.unwritten, s.printed, s.missing, s.loading = nil, nil, 0, "", nil
	s.admit(u.program)
	th := s.thread(s.L)
	defer s.settle()
	defer func() {
		if v := recover(); v != nil {
			results, err = nil, s.failure(th, v)
		}
	}()
	if err := s.execute(th, u.program, nil, lua.MultRet); err != nil {
		return nil, err
	}
	results = s.show(th)
	if s.ctx.Err() != nil {
		return nil, s.stopped("")
	}
	s.free(th)
	return results, nil
}

// settle is the end of a chunk: what io.write holds back belongs to it, and what only a thread that failed refers to is garbage.
func (s *sandbox) settle() {
	if s.isolated {
		s.flush()
	}
	s.raised, s.L.G.CurrentThread = nil, s.L
}
