package script

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestMath_AnswersAsLua51(t *testing.T) {
	expressions := []string{
		`math.max()`, `math.max(1)`, `math.max(1, 3, 2)`, `math.max(1, "9")`, `math.max(1, {})`, `math.max(0/0, 1)`,
		`math.max(1, 0/0)`, `math.min()`, `math.min(3, 1, 2)`,
		`math.min(0/0, 1)`, `math.min("x")`, `math.modf(1/0)`, `math.modf(-1/0)`, `math.modf(0/0)`, `math.modf(-3.7)`,
		`math.modf(5)`, `math.modf(-5)`, `math.modf(-0.0)`,
		`math.frexp(0)`, `math.frexp(1/0)`, `math.frexp(-3.5)`, `math.frexp(5e-324)`, `math.ldexp(1, 4)`, `math.ldexp(1, 1e4)`,
		`math.ldexp(1, -1e4)`, `math.ldexp(0.5, "3")`,
		`math.ldexp(1)`, `math.ldexp(3, 1.9)`, `math.fmod(5)`, `math.fmod(5, 1/0)`, `math.fmod(1/0, 5)`, `math.fmod(5, 0)`,
		`math.fmod(-5, 3)`, `math.fmod(5, -3)`, `math.fmod(1e308, 3e-308)`,
		`math.mod(-5, 3)`, `math.pow(2, 0.5)`, `math.pow(-8, 1/3)`, `math.pow(0, -1)`, `math.pow(0/0, 0)`, `math.atan2(0, -1)`,
		`math.atan2(-0.0, -1)`, `math.atan2(1)`,
		`math.abs()`, `math.abs("x")`, `math.abs("-0x10")`, `math.floor({})`, `math.floor(-0.5)`, `math.ceil(-0.5)`,
		`math.floor(1e300)`, `math.floor(1/0)`, `math.sqrt(-1)`,
		`math.log(0)`, `math.log(-1)`, `math.log10(0)`, `math.exp(1000)`, `math.deg(math.atan2(0, -1))`, `math.rad(180)`,
		`math.cosh(1000)`, `math.tan(1e22)`,
		`math.random(0)`, `math.random(0.5)`, `math.random(-1)`, `math.random(2, 1)`, `math.random(1, 2, 3)`,
		`math.random("x")`, `math.random(1)`, `math.random(7, 7)`, `math.random(-3, -3)`,
		`math.random(1, {})`, `math.random(0/0)`, `math.randomseed()`, `math.randomseed("x")`, `math.randomseed(1)`,
		`math.random(1.9, 1.1)`,
	}
	for i := -20; i <= 308; i++ {
		expressions = append(expressions, fmt.Sprintf("math.log10(1e%d)", i))
	}
	random := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		names := strings.Fields("abs acos asin atan ceil cos cosh deg exp floor log log10 rad sin sinh sqrt tan tanh modf frexp")
		x, y := (random.Float64()-0.5)*float64(random.IntN(100)), random.NormFloat64()*10
		expressions = append(expressions, fmt.Sprintf("math.%s(%v)", names[random.IntN(len(names))], x),
			fmt.Sprintf("math.%s(%v, %v)", []string{"fmod", "pow", "atan2", "max", "min"}[random.IntN(5)], x, y))
	}
	agree(t, newLibraries(t, t.Context()), 13, expressions)
}

func TestRandom_StaysInTheInterval(t *testing.T) {
	L := newLibraries(t, t.Context())
	if err := L.DoString(`
		local function within(low, high, ...)
			for _ = 1, 1000 do
				local n = math.random(...)
				assert(low <= n and n <= high, n)
				assert(select("#", ...) == 0 or n == math.floor(n), n)
			end
		end
		within(0, 0.9999999999999999)
		within(1, 3, 3)
		within(-2, 2, -2, 2)
		within(1, 2^53, 2^53)
		within(1, 2^53, 1/0)
		within(-2^53, 2^53, -1e300, 1e300)
		within(-2^53, 2^53, -2^53, 2^53)
		local seen = {}
		for _ = 1, 1000 do seen[math.random(4)] = true end
		assert(#seen == 4)
	`); err != nil {
		t.Error(err)
	}
}

func TestRandomseed_IsOfOneUnit(t *testing.T) {
	draw := func(r *randomness, seed uint64) [3]float64 {
		if seed > 0 {
			r.seed(seed, 0)
		}
		return [3]float64{r.draw().Float64(), r.draw().Float64(), r.draw().Float64()}
	}
	var a, b randomness
	if draw(&a, 1) != draw(&b, 1) {
		t.Error("the same seed draws other numbers")
	}
	if draw(&a, 1) == draw(&b, 2) {
		t.Error("another seed draws the same numbers")
	}
	seeded := draw(&a, 1)
	a.reset()
	if draw(&a, 0) == seeded || draw(&a, 0) == draw(&b, 0) {
		t.Error("the seed of one unit reached the next")
	}
}

func TestRandomseed_MakesNumbersAgain(t *testing.T) {
	L := newLibraries(t, t.Context())
	if err := L.DoString(`
		for _, seed in ipairs { 0, 1, -1, 1.5, 1e300, 1/0, "7" } do
			math.randomseed(seed)
			local a, b = math.random(), math.random(100)
			math.randomseed(seed)
			assert(a == math.random() and b == math.random(100))
		end
	`); err != nil {
		t.Error(err)
	}
}
