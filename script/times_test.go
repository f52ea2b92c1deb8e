package script

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata" // for machines that have none

	lua "github.com/yuin/gopher-lua"
)

// inZone returns a state whose local time is that of a zone, and makes it so for the processes that the test starts. They get the
// rules of a POSIX zone, which need no files.
func inZone(t *testing.T, zone, rules string) *lua.LState {
	t.Helper()
	local, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TZ", rules)
	L := newLibraries(t, t.Context())
	times := &times{&guard{ctx: t.Context()}, &clock{time.Now()}, local}
	L.SetGlobal("os", L.SetFuncs(L.NewTable(), times.functions()))
	return L
}

func TestDate_Directives_AnswerAsLua51(t *testing.T) {
	zones := map[string]string{"UTC": "UTC0", "America/New_York": "EST5EDT,M3.2.0,M11.1.0", "Asia/Kathmandu": "<+0545>-5:45"}
	for zone, rules := range zones {
		t.Run(zone, func(t *testing.T) {
			var expressions []string
			for c := range 255 {
				if '1' <= c+1 && c+1 <= '9' {
					continue // glibc pads these, which stand for nothing
				}
				for _, mark := range []string{"", "!"} {
					expressions = append(expressions, fmt.Sprintf(`os.date("%s[%%\%d] %%", 1234567890)`, mark, c+1))
				}
			}
			random := rand.New(rand.NewPCG(7, 8))
			directives := "%c|%C|%D|%F|%g|%G|%h|%I|%j|%k|%l|%p|%P|%r|%u|%U|%V|%w|%W|%x|%X|%y|%z|%Z"
			fields := "t.year, t.month, t.day, t.hour, t.min, t.sec, t.wday, t.yday, t.isdst"
			for range 2000 {
				unix := 1199145600 + random.Int64N(1<<31) // from 2008 on
				expressions = append(expressions,
					fmt.Sprintf(`os.date("%%s|%s", %d)`, directives, unix),
					fmt.Sprintf(`os.date("!%s", %d)`, directives, unix-random.Int64N(1<<37)),
					fmt.Sprintf(`(function() local t = os.date("*t", %d) return %s, os.time(t) end)()`, unix, fields),
					fmt.Sprintf(`(function() local t = os.date("!*t", %d) return %s end)()`, unix, fields),
				)
			}
			agree(t, inZone(t, zone, rules), 17, expressions)
		})
	}
}

func TestDate_AnswersAsLua51(t *testing.T) {
	agree(t, inZone(t, "UTC", "UTC0"), 17, []string{
		`os.date({})`, `os.date("%c", "x")`, `os.date("%c", 0.9)`, `os.date("%c", -0.9)`, `os.date("%c", "0x10")`,
		`os.date("", 0)`, `os.date("!", 0)`, `os.date("%", 0)`, `os.date("%%%", 0)`,
		`os.date("!!%H", 0)`, `os.date("a\000%c", 0)`, `os.date("*tx", 0)`, `os.date("x*t", 0)`, `type(os.date())`,
		`type(os.date("*t"))`, `os.date("!%c", 1e15)`,
		`os.date("!%c|%Y|%y|%C|%j|%w", -1e11)`, `os.date("!%c", -1e15)`, `os.date("!%F %s", 60000000000000000)`,
		`os.date("!%Y %C %y %G %g", -62200000000)`,
		`os.date("!%Y %C %y %G %g", -62300000000)`,
		`os.difftime()`, `os.difftime(5)`, `os.difftime(5, 3)`, `os.difftime(5.9, 3.1)`, `os.difftime("9", "4")`,
		`os.difftime(1, {})`, `type(os.clock())`,
		`type(os.time())`, `type(os.time(nil))`, `os.time({})`, `os.time(1)`, `os.time({ year = 1 })`,
		`os.time({ year = 1, day = 1 })`, `os.time({ year = 1, month = 1 })`,
		`os.time({ year = 2000, month = 1, day = 1 })`, `os.time({ year = "2000", month = " 0x1", day = "1.5" })`,
		`os.time({ year = 2000, month = "x", day = 1 })`,
		`os.time({ year = 2000, month = 14, day = -40, hour = 100, min = -70, sec = 1e6 })`,
		`os.time({ year = 1969, month = 12, day = 31, hour = 23, min = 59, sec = 59 })`,
		`os.time({ year = -4000, month = 1, day = 1 })`, `os.time({ year = 2000, month = 1, day = 1, isdst = false })`,
		`os.time({ year = 2e9, month = -2e9, day = 2e9, hour = 2e9, min = 2e9, sec = 2e9 })`,
		`os.time(setmetatable({}, { __index = function(_, k) return ({ year = 2000, month = 2, day = 3 })[k] end }))`,
	})
}

func TestTime_Fields_AnswerAsLua51(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	expressions := make([]string, 5000)
	for i := range expressions {
		expressions[i] = fmt.Sprintf(`os.time({ year = %d, month = %d, day = %d, hour = %d, min = %d, sec = %d%s })`,
			2008+random.IntN(100), random.IntN(30)-6, random.IntN(90)-30, 4+random.IntN(20), random.IntN(60), random.IntN(60),
			[]string{"", ", isdst = false", ", isdst = true"}[random.IntN(3)])
	}
	agree(t, inZone(t, "America/New_York", "EST5EDT,M3.2.0,M11.1.0"), 17, expressions)
}

func TestTime_IsdstWhereNoneIs_IsAnHourOff(t *testing.T) {
	L := inZone(t, "UTC", "UTC0")
	const day = `os.time({ year = 2000, month = 1, day = 1, isdst = %v })`
	got := evaluate(L, 17, fmt.Sprintf(day+"-"+day+","+day+"-"+day, "nil", true, false, "nil"))
	if got != "3600 0" {
		t.Errorf("got %s", got)
	}
}

func TestTime_BeyondWhatCanBe_IsAnError(t *testing.T) {
	L := newLibraries(t, t.Context())
	for _, huge := range []string{"1e300", "-1e300", "1/0", "-1/0", "2^63", "-2^63", "2^56", "-2^57"} {
		for _, expression := range []string{`os.date("%%c", %s)`, `os.date("!*t", %s)`, `os.date("!%%s", %s)`} {
			expression = fmt.Sprintf(expression, huge)
			if got := evaluate(L, 17, expression); got != `error "case:1: date result cannot be represented in this installation"` {
				t.Errorf("%s: got %s", expression, got)
			}
		}
		for _, field := range []string{"year", "month", "day", "hour", "min", "sec"} {
			const call = `(function() local t = { year = 1, month = 1, day = 1 } t.%s = %s return os.time(t) end)()`
			expression := fmt.Sprintf(call, field, huge)
			if got := evaluate(L, 17, expression); got != fmt.Sprintf(`error "case:1: field '%s' is out-of-bound"`, field) {
				t.Errorf("%s: got %s", expression, got)
			}
		}
	}
	got := evaluate(L, 17, `os.time({ year = 2^31 - 1, month = 2^31 - 1, day = 1 })`)
	if got != `error "case:1: time result cannot be represented in this installation"` {
		t.Errorf("got %s", got)
	}
}

func TestClock_BeginsWithTheUnit(t *testing.T) {
	c := &clock{}
	L := newLibraries(t, t.Context())
	L.SetGlobal("os", L.SetFuncs(L.NewTable(), osFunctions(&guard{ctx: t.Context()}, c)))
	c.began = time.Now().Add(-time.Hour)
	before := evaluate(L, 17, `os.clock() >= 3600 and os.clock() < 3660`)
	c.began = time.Now()
	if after := evaluate(L, 17, `os.clock() >= 0 and os.clock() < 60`); before != "true" || after != "true" {
		t.Errorf("got %s, %s", before, after)
	}
}
