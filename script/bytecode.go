package script

import (
	"slices"

	lua "github.com/yuin/gopher-lua"
)

// maxUpvalues is how many variables of the functions around it a function can use. The compiler counts them in 8 bits.
const maxUpvalues = 255

// finish makes a compiled function, and those in it, fit to run: it refuses what the compiler got wrong where it can be told,
// mends what can be mended, puts the functions for operators in, and frees what the compiler reserved.
func finish(p *lua.FunctionProto) *Error {
	if len(p.DbgUpvalues) > maxUpvalues {
		return syntaxError("%s:%d: function uses more than %d local variables of the functions around it: put them into a table",
			p.SourceName, p.LineDefined, maxUpvalues)
	}
	for i, k := range p.Constants {
		switch k {
		case lua.LString(concatName):
			p.Constants[i] = concatFunction
		case lua.LString(concatListName):
			p.Constants[i] = concatListFunction
		case lua.LString(lengthName):
			p.Constants[i] = lengthFunction
		}
	}
	mendConstructors(p)
	p.Code, p.DbgSourcePositions = slices.Clone(p.Code), slices.Clone(p.DbgSourcePositions)
	p.DbgCalls, p.DbgLocals = slices.Clone(p.DbgCalls), slices.Clone(p.DbgLocals)
	p.Constants, p.FunctionPrototypes = slices.Clone(p.Constants), slices.Clone(p.FunctionPrototypes)
	for _, inner := range p.FunctionPrototypes {
		if err := finish(inner); err != nil {
			return err
		}
	}
	return nil
}

// The parts of an instruction.
func opcode(inst uint32) int { return int(inst >> 26) }
func argA(inst uint32) int   { return int(inst>>18) & 0xff }
func argB(inst uint32) int   { return int(inst) & 0x1ff }
func argC(inst uint32) int   { return int(inst>>9) & 0x1ff }

// keepCaller makes plain calls of the tail calls of a function, which then stays on the stack below what it calls.
func keepCaller(p *lua.FunctionProto) {
	for i, inst := range p.Code {
		if opcode(inst) == lua.OP_TAILCALL {
			p.Code[i] = inst&(1<<26-1) | uint32(lua.OP_CALL)<<26
		}
	}
}

// mendConstructors corrects table constructors whose elements end with a full instruction of them. The compiler repeats that
// instruction for each key that follows, when its registers hold other values, and puts what a last call or "..." answers over
// the elements instead of behind them.
func mendConstructors(p *lua.FunctionProto) {
	var flushed [256]int // the last instruction of elements for the table in a register
	for pc := 0; pc < len(p.Code); pc++ {
		inst := p.Code[pc]
		switch a := argA(inst); opcode(inst) {
		case lua.OP_CLOSURE:
			pc += int(p.FunctionPrototypes[int(inst&0x3ffff)].NumUpvalues)
		case lua.OP_NEWTABLE:
			flushed[a] = 0
		case lua.OP_SETLIST:
			if argC(inst) != flushed[a] {
				flushed[a] = argC(inst)
			} else if argB(inst) == lua.FieldsPerFlush {
				p.Code[pc] = uint32(lua.OP_NOP) << 26
			} else {
				p.Code[pc] += 1 << 9
			}
		}
	}
}
