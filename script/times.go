package script

import (
	"math"
	"strconv"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// A clock is what os.clock reads: it begins with the unit, which tells scripts nothing about the host.
type clock struct{ began time.Time }

// times are the functions of the library os that reach nothing but the clock.
type times struct {
	g     *guard
	clock *clock
	local *time.Location
}

// osFunctions returns what scripts have of the library os.
func osFunctions(g *guard, c *clock) map[string]lua.LGFunction {
	return (&times{g, c, time.Local}).functions()
}

func (t *times) functions() map[string]lua.LGFunction {
	return map[string]lua.LGFunction{"clock": t.elapsed, "date": t.date, "difftime": difftime, "time": t.time}
}

// elapsed is os.clock: the seconds since the unit began, where Lua has the processor time of the host.
func (t *times) elapsed(L *lua.LState) int {
	L.Push(lua.LNumber(time.Since(t.clock.began).Seconds()))
	return 1
}

// difftime cuts both times to seconds, as C has them.
func difftime(L *lua.LState) int {
	to, from := checkNumber(L, 1, "difftime"), 0.0
	if L.Get(2) != lua.LNil {
		from = checkNumber(L, 2, "difftime")
	}
	L.Push(lua.LNumber(math.Trunc(to) - math.Trunc(from)))
	return 1
}

// time is os.time of Lua. A table is read with its metamethods; what its fields exceed is carried over.
func (t *times) time(L *lua.LState) int {
	if L.Get(1) == lua.LNil {
		L.Push(lua.LNumber(time.Now().Unix()))
		return 1
	}
	table := checkTable(L, 1, "time")
	second, minute, hour := dateField(L, table, "sec", 0), dateField(L, table, "min", 0), dateField(L, table, "hour", 12)
	day, month, year := dateField(L, table, "day", -1), dateField(L, table, "month", -1), dateField(L, table, "year", -1)
	when := time.Date(year, time.Month(month), day, hour, minute, second, 0, t.local)
	if summer := L.GetField(table, "isdst"); summer != lua.LNil {
		when = otherwise(when, lua.LVAsBool(summer))
	}
	unix := when.Unix()
	switch {
	case !representable(unix):
		raise(L, "time result cannot be represented in this installation")
	case unix == -1: // how mktime of C says that there is no result
		L.Push(lua.LNil)
	default:
		L.Push(lua.LNumber(unix))
	}
	return 1
}

// dateField returns a field of the table that os.time takes. A negative number in place of one that is missing means that it must
// be there.
func dateField(L *lua.LState, table *lua.LTable, name string, without int) int {
	f, ok := toNumber(L.GetField(table, name))
	switch {
	case !ok && without < 0:
		raise(L, "field '%s' missing in date table", name)
	case !ok:
		return without
	case math.Abs(f) > math.MaxInt32:
		raise(L, "field '%s' is out-of-bound", name)
	}
	return integerPart(f)
}

// otherwise returns the time at which clocks show the same as at t, if summer time is then as the script says: as if the clocks of
// another part of the year were in use, or those of another zone, an hour off, where that has none.
func otherwise(t time.Time, summer bool) time.Time {
	if t.IsDST() == summer {
		return t
	}
	_, offset := t.Zone()
	for months := 1; months <= 12; months++ {
		for _, other := range []time.Time{t.AddDate(0, -months, 0), t.AddDate(0, months, 0)} {
			if other.IsDST() == summer {
				_, otherOffset := other.Zone()
				return t.Add(time.Duration(offset-otherOffset) * time.Second)
			}
		}
	}
	if summer {
		return t.Add(-time.Hour)
	}
	return t.Add(time.Hour)
}

// maxUnix is the last second of a year that C can hold, give or take a day.
const maxUnix = 67768036191676799

// representable reports whether C could hold the year. Go counts on, and begins anew beyond its own limits.
func representable(unix int64) bool { return -maxUnix <= unix && unix <= maxUnix }

// date is os.date of Lua. What C calls no date, and Lua 5.1 answers with nil, is an error as in later versions.
func (t *times) date(L *lua.LState) int {
	format, unix := optString(L, 1, "date", "%c"), time.Now().Unix()
	if L.Get(2) != lua.LNil {
		unix = int64(max(min(checkNumber(L, 2, "date"), maxUnix*2), -maxUnix*2))
	}
	if !representable(unix) {
		raise(L, "date result cannot be represented in this installation")
	}
	format, _, _ = strings.Cut(format, "\x00")
	m := moment{Time: time.Unix(unix, 0).In(t.local), local: t.local}
	if rest, utc := strings.CutPrefix(format, "!"); utc {
		m.Time, m.utc, format = m.UTC(), true, rest
	}
	if format == "*t" {
		L.Push(m.table(L))
	} else {
		L.Push(lua.LString(m.format(L, t.g, format)))
	}
	return 1
}

// A moment is a time as it is printed.
type moment struct {
	time.Time
	utc   bool
	local *time.Location
}

// table is what os.date returns for "*t".
func (m *moment) table(L *lua.LState) *lua.LTable {
	fields := L.CreateTable(0, 9)
	for name, n := range map[string]int{
		"sec": m.Second(), "min": m.Minute(), "hour": m.Hour(), "day": m.Day(), "month": int(m.Month()), "year": m.Year(),
		"wday": int(m.Weekday()) + 1, "yday": m.YearDay(),
	} {
		fields.RawSetString(name, lua.LNumber(n))
	}
	fields.RawSetString("isdst", lua.LBool(m.IsDST()))
	return fields
}

// format is strftime of C in the locale of that name, but each directive is one letter long, as in Lua.
func (m *moment) format(L *lua.LState, g *guard, format string) string {
	var b []byte
	p := pace{g: g}
	for {
		text, rest, found := strings.Cut(format, "%")
		if len(b)+len(text) > MaxString {
			g.room(L, len(b)+len(text))
		}
		b = append(b, text...)
		if !found {
			return string(b)
		}
		if rest == "" {
			return string(append(b, '%'))
		}
		b = m.directive(b, rest[0])
		format = rest[1:]
		p.step(L, 64)
	}
}

// composites are directives that stand for several others.
var composites = map[byte]string{
	'c': "%a %b %e %H:%M:%S %Y", 'D': "%m/%d/%y", 'F': "%Y-%m-%d", 'R': "%H:%M", 'T': "%H:%M:%S", 'X': "%H:%M:%S", 'h': "%b",
	'r': "%I:%M:%S %p", 'x': "%m/%d/%y",
}

// directive appends what one directive stands for: those of the C library of GNU. An unknown one stands for itself.
func (m *moment) directive(b []byte, directive byte) []byte {
	if composite, ok := composites[directive]; ok {
		for i := 0; i < len(composite); i++ {
			if composite[i] == '%' {
				i++
				b = m.directive(b, composite[i])
			} else {
				b = append(b, composite[i])
			}
		}
		return b
	}
	if n, width, pad := m.number(directive); width > 0 {
		return appendPadded(b, n, width, pad)
	}
	if text, ok := m.text(directive); ok {
		return append(b, text...)
	}
	return append(b, '%', directive)
}

// number returns what a directive that stands for a number does, and how it is padded to which width. The width is 0 for others.
func (m *moment) number(directive byte) (n, width int, pad byte) {
	switch directive {
	case 'H':
		return m.Hour(), 2, '0'
	case 'I':
		return (m.Hour()+11)%12 + 1, 2, '0'
	case 'k':
		return m.Hour(), 2, ' '
	case 'l':
		return (m.Hour()+11)%12 + 1, 2, ' '
	case 'M':
		return m.Minute(), 2, '0'
	case 'S':
		return m.Second(), 2, '0'
	case 's':
		return int(m.sinceEpoch()), 1, '0'
	}
	return m.dayNumber(directive)
}

// dayNumber is number for the directives that tell the day.
func (m *moment) dayNumber(directive byte) (n, width int, pad byte) {
	isoYear, isoWeek := m.ISOWeek()
	switch directive {
	case 'C': // not padded, nor is a year: so does the C library
		return floorDiv(m.Year(), 100), 1, '0'
	case 'd':
		return m.Day(), 2, '0'
	case 'e':
		return m.Day(), 2, ' '
	case 'G':
		return isoYear, 1, '0'
	case 'g':
		return isoYear - 100*floorDiv(isoYear, 100), 2, '0'
	case 'j':
		return m.YearDay(), 3, '0'
	case 'm':
		return int(m.Month()), 2, '0'
	case 'U': // weeks that begin with a Sunday
		return (m.YearDay() + 6 - int(m.Weekday())) / 7, 2, '0'
	case 'u':
		return (int(m.Weekday())+6)%7 + 1, 1, '0'
	case 'V':
		return isoWeek, 2, '0'
	case 'W': // weeks that begin with a Monday
		return (m.YearDay() + 6 - (int(m.Weekday())+6)%7) / 7, 2, '0'
	case 'w':
		return int(m.Weekday()), 1, '0'
	case 'Y':
		return m.Year(), 1, '0'
	case 'y':
		return m.Year() - 100*floorDiv(m.Year(), 100), 2, '0'
	}
	return 0, 0, 0
}

// text returns what a directive that stands for text does.
func (m *moment) text(directive byte) (text string, ok bool) {
	switch directive {
	case 'A':
		return m.Weekday().String(), true
	case 'a':
		return m.Weekday().String()[:3], true
	case 'B':
		return m.Month().String(), true
	case 'b':
		return m.Month().String()[:3], true
	case 'n':
		return "\n", true
	case 'P':
		return m.Format("pm"), true
	case 'p':
		return m.Format("PM"), true
	case 't':
		return "\t", true
	case 'Z':
		return m.zone(), true
	case 'z':
		return m.Format("-0700"), true
	case '%':
		return "%", true
	}
	return "", false
}

// zone returns the zone's name. C calls by another name than Go what is the same.
func (m *moment) zone() string {
	if m.utc {
		return "GMT"
	}
	name, _ := m.Zone()
	return name
}

// sinceEpoch returns the seconds since 1970, for C those until local clocks show this time even where it is that of UTC.
func (m *moment) sinceEpoch() int64 {
	if !m.utc {
		return m.Unix()
	}
	return time.Date(m.Year(), m.Month(), m.Day(), m.Hour(), m.Minute(), m.Second(), 0, m.local).Unix()
}

// floorDiv rounds down, so that years before the year 0 have the same two last digits as those after.
func floorDiv(n, by int) int { return int(math.Floor(float64(n) / float64(by))) }

// appendPadded appends a number with its sign, filled up to a width.
func appendPadded(b []byte, n, width int, pad byte) []byte {
	if n < 0 {
		b, n, width = append(b, '-'), -n, width-1
	}
	digits := strconv.Itoa(n)
	for range width - len(digits) {
		b = append(b, pad)
	}
	return append(b, digits...)
}
