package script

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/servertest"
)

const casesInBatch = 5000

// TestStrings_GeneratedCalls_AreAnsweredAsByLua compares our answers with those of Lua 5.1 itself.
func TestStrings_GeneratedCalls_AreAnsweredAsByLua(t *testing.T) {
	batches := 200
	if boundtest.Race {
		batches = 10
	}
	seed := rand.Uint64()
	g := &stringCases{Rand: rand.New(rand.NewPCG(seed, 0))}
	theirs, ours := startLua(t), newOurStrings(t)
	wrong := 0
	for range batches {
		cases := make([]stringCase, casesInBatch)
		for i := range cases {
			cases[i] = g.next()
		}
		want := theirs.answer(cases)
		for _, c := range cases {
			got := ours.answer(c)
			if want := <-want; got != want {
				t.Errorf("%v (seed %d):\n got %q\nwant %q", c, seed, got, want)
				if wrong++; wrong == 20 {
					t.FailNow()
				}
			}
		}
	}
}

// A stringCase is one call of the string library.
type stringCase struct {
	function string
	args     []any // string, float64, or the named
}

// A named argument is a value that both sides have by that name, "ni" is nil.
type named string

func (c stringCase) String() string {
	args := make([]string, len(c.args))
	for i, arg := range c.args {
		args[i] = fmt.Sprintf("%v", arg)
		if s, ok := arg.(string); ok {
			args[i] = strconv.Quote(s)
		}
	}
	return fmt.Sprintf("string.%s(%s)", c.function, strings.Join(args, ", "))
}

// A luaProcess is a process of Lua 5.1 that runs testdata/strings.lua.
type luaProcess struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func startLua(t *testing.T) *luaProcess {
	t.Helper()
	lua51, err := exec.LookPath("lua5.1")
	if err != nil {
		servertest.Missing(t, "needs lua5.1: run make test, or apt-get install lua5.1")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, lua51, "testdata/strings.lua")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if stderr.Len() > 0 {
			t.Error(&stderr)
		}
	})
	return &luaProcess{t: t, in: in, out: bufio.NewReader(out)}
}

// answer returns a channel that gets the answers, each as it comes.
func (p *luaProcess) answer(cases []stringCase) <-chan string {
	go func() {
		var b bytes.Buffer
		for _, c := range cases {
			c.write(&b)
		}
		b.WriteByte('\n')
		p.in.Write(b.Bytes()) // what fails shows when the answers are read
	}()
	answers := make(chan string, len(cases))
	go func() {
		defer close(answers)
		for range cases {
			text, err := p.read()
			if err != nil {
				p.t.Errorf("lua5.1 gave no answer: %v", err)
				return
			}
			answers <- text
		}
	}()
	return answers
}

func (p *luaProcess) read() (string, error) {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(line, "\n"))
	if err != nil {
		return "", err
	}
	text := make([]byte, n)
	_, err = io.ReadFull(p.out, text)
	return string(text), err
}

func (c stringCase) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "%s\n%d\n", c.function, len(c.args))
	for _, arg := range c.args {
		switch v := arg.(type) {
		case string:
			fmt.Fprintf(b, "s%d\n%s", len(v), v)
		case float64:
			text := strconv.FormatFloat(v, 'g', -1, 64)
			if math.IsNaN(v) && math.Signbit(v) {
				text = "-nan"
			}
			fmt.Fprintf(b, "n%s\n", text)
		case named:
			fmt.Fprintf(b, "v%s\n", v)
		}
	}
}

// ourStrings is a Lua state with our string library.
type ourStrings struct {
	L         *lua.LState
	functions map[string]*lua.LFunction
	byName    map[named]lua.LValue
}

func newOurStrings(t *testing.T) *ourStrings {
	L := lua.NewState(lua.Options{SkipOpenLibs: true})
	t.Cleanup(L.Close)
	s := &ourStrings{L: L, functions: map[string]*lua.LFunction{}}
	for name, f := range stringFunctions(&guard{ctx: t.Context()}) {
		s.functions[name] = L.NewFunction(f)
	}
	gmatch := s.functions["gmatch"]
	s.functions["gmatch"] = L.NewFunction(func(L *lua.LState) int { return gmatchAll(L, gmatch) })
	s.byName = namedValues(L)
	return s
}

// gmatchAll returns what the iterator of testdata/strings.lua would.
func gmatchAll(L *lua.LState, gmatch *lua.LFunction) int {
	n := L.GetTop()
	L.Insert(gmatch, 1)
	L.Call(n, 1)
	for range 30 {
		top := L.GetTop()
		L.Push(L.Get(1))
		L.Call(0, lua.MultRet)
		if L.GetTop() == top {
			break
		}
		L.Push(lua.LString("/"))
	}
	return L.GetTop() - 1
}

// namedValues are those of testdata/strings.lua.
func namedValues(L *lua.LState) map[named]lua.LValue {
	function := func(f func(a, b lua.LValue) lua.LValue) lua.LValue {
		return L.NewFunction(func(L *lua.LState) int {
			L.Push(f(L.Get(1), L.Get(2)))
			return 1
		})
	}
	t1, t2, t3, meta := L.NewTable(), L.NewTable(), L.NewTable(), L.NewTable()
	for key, v := range map[string]lua.LValue{"a": lua.LString("X"), "b": lua.LFalse, "ab": lua.LString("%1"), "": lua.LString("E")} {
		t1.RawSetString(key, v)
	}
	t1.RawSetInt(1, lua.LString("one"))
	t1.RawSetInt(2, lua.LNumber(2.5))
	meta.RawSetString("__index", function(func(_, key lua.LValue) lua.LValue { return lua.LString("<" + key.String() + ">") }))
	L.SetMetatable(t2, meta)
	t3.RawSetString("a", L.NewTable())
	t3.RawSetInt(3, lua.LTrue)
	return map[named]lua.LValue{
		"t1": t1, "t2": t2, "t3": t3, "ni": lua.LNil,
		"f1": function(func(a, _ lua.LValue) lua.LValue { return a }),
		"f2": function(func(_, b lua.LValue) lua.LValue { return b }),
		"f3": function(func(_, _ lua.LValue) lua.LValue { return lua.LFalse }),
		"f4": function(func(a, _ lua.LValue) lua.LValue {
			if a == lua.LString("b") {
				return L.NewFunction(func(*lua.LState) int { return 0 })
			}
			return lua.LNumber(7.5)
		}),
		"f5": function(func(a, _ lua.LValue) lua.LValue {
			if a == lua.LString("b") {
				L.Error(lua.LString("raised"), 0)
			}
			return lua.LNil
		}),
	}
}

// answer returns what a call returns or raises, as testdata/strings.lua writes it.
func (s *ourStrings) answer(c stringCase) string {
	L := s.L
	L.SetTop(0)
	L.Push(s.functions[c.function])
	for _, arg := range c.args {
		switch v := arg.(type) {
		case string:
			L.Push(lua.LString(v))
		case float64:
			L.Push(lua.LNumber(v))
		case named:
			L.Push(s.byName[v])
		}
	}
	if err := L.PCall(len(c.args), lua.MultRet, nil); err != nil {
		var failed *lua.ApiError
		if !errors.As(err, &failed) || failed.Type != lua.ApiErrorRun {
			return err.Error()
		}
		return "raises " + written(failed.Object)
	}
	values := make([]string, L.GetTop())
	for i := range values {
		values[i] = written(L.Get(i + 1))
	}
	return "returns " + strings.Join(values, " ")
}

func written(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return fmt.Sprintf("s%d:%s", len(v), string(v))
	case lua.LNumber:
		text := strconv.FormatFloat(float64(v), 'g', -1, 64)
		return fmt.Sprintf("n%d:%s", len(text), text)
	}
	return v.String()
}
