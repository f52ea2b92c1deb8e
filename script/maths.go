package script

import (
	"math"
	"math/rand/v2"

	lua "github.com/yuin/gopher-lua"
)

// A randomness is what math.random draws from, that of one unit. Nobody else's numbers change by it, and nobody else changes them.
type randomness struct {
	source rand.PCG
	seeded bool
	drawn  *rand.Rand // reads source
}

// reset forgets the seed between two units.
func (r *randomness) reset() { r.seeded = false }

// seed makes the numbers that follow repeat those after the same seed.
func (r *randomness) seed(a, b uint64) {
	r.source.Seed(a, b)
	r.seeded = true
}

// draw returns the source of numbers. It begins where nobody can tell, unless the script chose a seed.
func (r *randomness) draw() *rand.Rand {
	if !r.seeded {
		r.seed(rand.Uint64(), rand.Uint64())
	}
	if r.drawn == nil {
		r.drawn = rand.New(&r.source)
	}
	return r.drawn
}

// mathFunctions returns the library math, without pi and huge.
func mathFunctions(r *randomness) map[string]lua.LGFunction {
	functions := map[string]lua.LGFunction{
		"atan2": binary("atan2", math.Atan2), "fmod": binary("fmod", math.Mod), "mod": binary("mod", math.Mod),
		"pow":   binary("pow", math.Pow),
		"frexp": frexp, "ldexp": ldexp, "max": largest, "min": smallest, "modf": modf,
		"random": r.random, "randomseed": r.randomseed,
	}
	for name, f := range map[string]func(float64) float64{
		"abs": math.Abs, "acos": math.Acos, "asin": math.Asin, "atan": math.Atan, "ceil": math.Ceil, "cos": math.Cos,
		"cosh": math.Cosh, "deg": degrees, "exp": math.Exp, "floor": math.Floor, "log": math.Log,
		"log10": log10, "rad": radians, "sin": math.Sin,
		"sinh": math.Sinh, "sqrt": math.Sqrt, "tan": math.Tan, "tanh": math.Tanh,
	} {
		functions[name] = unary(name, f)
	}
	return functions
}

// unary makes a function of Lua of one that takes a number.
func unary(name string, f func(float64) float64) lua.LGFunction {
	return func(L *lua.LState) int {
		L.Push(lua.LNumber(f(checkNumber(L, 1, name))))
		return 1
	}
}

// binary makes a function of Lua of one that takes two numbers.
func binary(name string, f func(x, y float64) float64) lua.LGFunction {
	return func(L *lua.LState) int {
		x := checkNumber(L, 1, name)
		L.Push(lua.LNumber(f(x, checkNumber(L, 2, name))))
		return 1
	}
}

// degrees and radians multiply and divide by the same number as Lua 5.1, for the same last digit.
func degrees(x float64) float64 { return x / (math.Pi / 180) }
func radians(x float64) float64 { return x * (math.Pi / 180) }

// log10 is exact where the result is an integer. math.Log10(1000) is less than 3.
func log10(x float64) float64 {
	y := math.Log10(x)
	if n := math.Round(y); math.Abs(n) < 400 && math.Pow10(int(n)) == x {
		return n
	}
	return y
}

// frexp returns a fraction of at least a half and an exponent of 2.
func frexp(L *lua.LState) int {
	fraction, exponent := math.Frexp(checkNumber(L, 1, "frexp"))
	L.Push(lua.LNumber(fraction))
	L.Push(lua.LNumber(exponent))
	return 2
}

// ldexp takes exponents of any size, where Lua 5.1 cuts them to 32 bits.
func ldexp(L *lua.LState) int {
	fraction := checkNumber(L, 1, "ldexp")
	L.Push(lua.LNumber(math.Ldexp(fraction, checkInt(L, 2, "ldexp"))))
	return 1
}

// modf leaves a fraction of 0 for infinity, as C does.
func modf(L *lua.LState) int {
	x := checkNumber(L, 1, "modf")
	whole, fraction := math.Modf(x)
	if math.IsInf(x, 0) {
		fraction = math.Copysign(0, x)
	}
	L.Push(lua.LNumber(whole))
	L.Push(lua.LNumber(fraction))
	return 2
}

// largest is math.max. What is no number is neither larger nor smaller than any.
func largest(L *lua.LState) int {
	largest := checkNumber(L, 1, "max")
	for i := 2; i <= L.GetTop(); i++ {
		if x := checkNumber(L, i, "max"); x > largest {
			largest = x
		}
	}
	L.Push(lua.LNumber(largest))
	return 1
}

// smallest is math.min.
func smallest(L *lua.LState) int {
	smallest := checkNumber(L, 1, "min")
	for i := 2; i <= L.GetTop(); i++ {
		if x := checkNumber(L, i, "min"); x < smallest {
			smallest = x
		}
	}
	L.Push(lua.LNumber(smallest))
	return 1
}

// random takes limits as large as integers of Lua are, where Lua 5.1 cuts them to 32 bits.
func (r *randomness) random(L *lua.LState) int {
	low, high := 1, 0
	switch L.GetTop() {
	case 0:
		L.Push(lua.LNumber(r.draw().Float64()))
		return 1
	case 1:
		high = checkInt(L, 1, "random")
	case 2:
		low, high = checkInt(L, 1, "random"), checkInt(L, 2, "random")
	default:
		raise(L, "wrong number of arguments")
	}
	if low > high {
		argumentError(L, L.GetTop(), "random", "interval is empty")
	}
	L.Push(lua.LNumber(low + r.draw().IntN(high-low+1)))
	return 1
}

// randomseed tells all numbers apart, fractions too.
func (r *randomness) randomseed(L *lua.LState) int {
	r.seed(math.Float64bits(checkNumber(L, 1, "randomseed")), 0)
	return 0
}
