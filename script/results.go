package script

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

// Results are the values that a script returned, in order, each in the stored form of package value, a Lua nil as a nil slice. They
// belong to the caller. [store.Handle] takes the non-nil ones as they are.
type Results [][]byte

// unbounded reads values that were within the limits of the runner when they were encoded.
var unbounded = value.Limits{Depth: 1 << 30, Nodes: 1 << 30, Bytes: 1 << 30}

// Decode reads the first results into what the pointers point to, as [value.Unmarshal] does. A nil pointer skips a result; what
// stands for a nil, or for a result that was not returned, is left as it is. The error names the result.
func (r Results) Decode(ptrs ...any) error {
	for i, ptr := range ptrs {
		if i >= len(r) || r[i] == nil || ptr == nil {
			continue
		}
		if err := value.Unmarshal(r[i], ptr, unbounded); err != nil {
			return fmt.Errorf("result %d: %w", i+1, err)
		}
	}
	return nil
}

// encodeArguments returns the stored forms of arguments, nil for nil, before anything has started.
func encodeArguments(args []any, limits value.Limits) ([][]byte, error) {
	encoded := make([][]byte, len(args))
	for i, arg := range args {
		if arg == nil {
			continue
		}
		b, err := value.Marshal(arg, limits)
		if err != nil {
			return nil, store.Errorf(store.ErrInvalid, "argument %d: %w", i+1, err)
		}
		encoded[i] = b
	}
	return encoded, nil
}

// arguments returns the arguments as Lua values.
func (s *sandbox) arguments(encoded [][]byte) ([]lua.LValue, error) {
	if len(encoded) == 0 {
		return nil, nil
	}
	args := make([]lua.LValue, len(encoded))
	for i, b := range encoded {
		args[i] = lua.LNil
		if b == nil {
			continue
		}
		v, err := storelua.Decode(s.L, b, s.r.limits)
		if err != nil {
			return nil, store.Errorf(store.ErrInvalid, "argument %d: %w", i+1, err)
		}
		args[i] = v
	}
	return args, nil
}

// maxResults is how many bytes all results of a unit may have.
const maxResults = MaxString

// results returns the values on the stack of a thread.
func (s *sandbox) results(th *lua.LState, name string) (Results, error) {
	n := th.GetTop()
	if n == 0 {
		return nil, nil
	}
	results, size := make(Results, n), 0
	for i := range n {
		if s.ctx.Err() != nil {
			return nil, s.stopped("")
		}
		v := th.Get(i + 1)
		if v == lua.LNil {
			continue
		}
		b, err := storelua.Encode(v, s.r.limits)
		if size += len(b); err == nil && size > maxResults {
			err = store.Errorf(store.ErrInvalid, "results of more than %d bytes", maxResults)
		}
		if err != nil {
			return nil, &Error{Kind: KindResult, Message: fmt.Sprintf("%s: result %d: %v", name, i+1, err), Cause: err}
		}
		results[i] = b
	}
	return results, nil
}
