package script

import (
	"io"
	"os"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// openGranted adds what the host has granted. A state with files or the debug library serves one unit only: they hold more than
// can be taken back.
func (s *sandbox) openGranted() {
	global := s.L.G.Global
	for _, g := range s.r.grants {
		switch g {
		case GrantIO:
			s.isolated = true
			s.openIO()
			s.register(global, map[string]lua.LGFunction{"loadfile": s.loadfile, "dofile": s.dofile})
		case GrantOS:
			s.openOS()
		case GrantLoad:
			s.register(global, map[string]lua.LGFunction{"load": s.loadPieces, "loadstring": s.loadstring})
		case GrantDebug:
			s.isolated = true
			s.openStock(lua.OpenDebug)
		}
	}
}

// openStock opens a library of gopher-lua.
func (s *sandbox) openStock(open lua.LGFunction) {
	s.L.Push(s.L.NewFunction(open))
	s.L.Call(0, 0)
}

// openIO adds the library io, whose files are closed with the unit. io.popen starts processes, which is for [GrantOS] to give.
func (s *sandbox) openIO() {
	s.openStock(lua.OpenIo)
	library := s.L.G.Global.RawGetString("io").(*lua.LTable)
	if !slices.Contains(s.r.grants, GrantOS) {
		library.RawSetString("popen", lua.LNil)
	}
	for _, name := range []string{"open", "popen", "tmpfile", "output"} {
		if fn, ok := library.RawGetString(name).(*lua.LFunction); ok {
			library.RawSetString(name, s.L.NewFunction(s.opening(fn.GFunction)))
		}
	}
	for _, name := range []string{"stdout", "stderr"} {
		if file, ok := library.RawGetString(name).(*lua.LUserData); ok {
			s.files = append(s.files, file)
		}
	}
}

// opening returns a function of io that notes the file it answers with.
func (s *sandbox) opening(stock lua.LGFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		n := stock(L)
		if file, ok := L.Get(-n).(*lua.LUserData); ok && n > 0 && !slices.Contains(s.files, file) {
			s.files = append(s.files, file)
		}
		return n
	}
}

// flush writes out what the files of the unit hold back, as Lua does when it ends.
func (s *sandbox) flush() {
	th := s.newThread()
	for _, file := range s.files {
		th.Push(th.GetField(file, "flush"))
		th.Push(file)
		if raised := s.call(th, 1); raised != nil { // it is closed
			th = s.newThread()
		}
		th.SetTop(0)
	}
}

// openOS adds the rest of os to what is safe of it.
func (s *sandbox) openOS() {
	global := s.L.G.Global
	loaded := s.L.G.Registry.RawGetString("_LOADED").(*lua.LTable)
	safe := loaded.RawGetString("os").(*lua.LTable)
	loaded.RawSetString("os", lua.LNil) // or gopher-lua takes it for its own, and overwrites what is safe
	global.RawSetString("os", lua.LNil)
	s.openStock(lua.OpenOs)
	each(global.RawGetString("os").(*lua.LTable), func(k, v lua.LValue) {
		if safe.RawGet(k) == lua.LNil {
			safe.RawSet(k, v)
		}
	})
	safe.RawSetString("exit", s.L.NewFunction(s.osExit))
	global.RawSetString("os", safe)
	loaded.RawSetString("os", safe)
}

// osExit ends the unit. Nothing that the script does keeps it from ending, and everything is released.
func (s *sandbox) osExit(L *lua.LState) int {
	s.exit = &exit{L.OptInt(1, 0)}
	s.stop(s.exit)
	s.poll(L)
	return 0
}

// loadstring is that of Lua.
func (s *sandbox) loadstring(L *lua.LState) int {
	source := L.CheckString(1)
	return s.compiled(L, L.OptString(2, source), source)
}

// loadPieces is the function load of Lua, which takes the source from a function.
func (s *sandbox) loadPieces(L *lua.LState) int {
	next := L.CheckFunction(1)
	name := L.OptString(2, "=(load)")
	var source strings.Builder
	for source.Len() <= MaxSource {
		L.Push(next)
		L.Call(0, 1)
		piece := L.Get(-1)
		L.Pop(1)
		if piece == lua.LNil || piece == lua.LString("") {
			break
		}
		if !lua.LVCanConvToString(piece) {
			return loadFailed(L, "reader function must return a string")
		}
		source.WriteString(lua.LVAsString(piece))
	}
	return s.compiled(L, name, source.String())
}

// loadfile is that of Lua.
func (s *sandbox) loadfile(L *lua.LState) int {
	name := L.CheckString(1)
	source, err := readSource(name)
	if err != nil {
		return loadFailed(L, "cannot open "+err.Error())
	}
	return s.compiled(L, "@"+name, source)
}

// dofile is that of Lua.
func (s *sandbox) dofile(L *lua.LState) int {
	if s.loadfile(L) == 2 {
		L.Error(L.Get(-1), 0)
	}
	top := L.GetTop() - 1
	L.Call(0, lua.MultRet)
	return L.GetTop() - top
}

// readSource reads a file, one byte over the limit if it is longer: Compile refuses that.
func readSource(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSource+1))
	return string(b), err
}

// compiled pushes the function that a source is, or nil and what is wrong with it.
func (s *sandbox) compiled(L *lua.LState, name, source string) int {
	p, err := Compile(chunkName(name), source)
	if err != nil {
		return loadFailed(L, err.Error())
	}
	L.Push(s.load(L, p))
	return 1
}

// maxChunkName is how much of a source stands for it in messages, in bytes.
const maxChunkName = 40

// chunkName returns what a chunk is called in messages: a name after = or @, or its first line.
func chunkName(name string) string {
	if rest, ok := strings.CutPrefix(name, "="); ok {
		return rest
	}
	if rest, ok := strings.CutPrefix(name, "@"); ok {
		return rest
	}
	line, more, _ := strings.Cut(name, "\n")
	if more != "" || len(line) > maxChunkName {
		line = line[:min(len(line), maxChunkName)] + "..."
	}
	return `[string "` + line + `"]`
}

// loadFailed returns nil and a message.
func loadFailed(L *lua.LState, message string) int {
	L.Push(lua.LNil)
	L.Push(lua.LString(message))
	return 2
}
