package pattern_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/luastore/store/script/internal/pattern"
)

// find returns the first match of a pattern, "start-end", and its captures.
func find(m *pattern.Matcher, subject, p string) (string, error) {
	p, anchored := pattern.Anchored(p)
	m.Reset(subject, p)
	var start, end int
	var err error
	if anchored {
		end, err = m.Match(0)
	} else {
		start, end, err = m.Find(0)
	}
	if err != nil || end == pattern.None {
		return "none", err
	}
	found := fmt.Sprintf("%d-%d", start, end)
	for i := range m.Captures() {
		from, to, err := m.Capture(i)
		if err != nil {
			return "", err
		}
		if to == pattern.None {
			found += fmt.Sprintf(" @%d", from)
		} else {
			found += " " + subject[from:to]
		}
	}
	return found, nil
}

func TestMatcher_Patterns_MatchAsInLua(t *testing.T) {
	m := new(pattern.Matcher) // one for all: nothing is left of the pattern before
	for _, c := range []struct{ subject, pattern, want string }{
		{"", "", "0-0"},
		{"abc", "", "0-0"},
		{"abc", "b", "1-2"},
		{"abc", "^b", "none"},
		{"abc", "c$", "2-3"},
		{"a$c", "a$c", "0-3"},
		{"abc", "$", "3-3"},
		{"a^c", "a^c", "0-3"},
		{"aaab", "a*b", "0-4"},
		{"aaab", "a-b", "0-4"},
		{"aaab", "a+", "0-3"},
		{"aaab", "a-", "0-0"},
		{"aaab", "a?b", "2-4"},
		{"aaab", ".-b", "0-4"},
		{"aaab", "(a*)(a)b", "0-4 aa a"},
		{"aaab", "(a-)(a*)b", "0-4  aaa"},
		{"aaab", "()a()", "0-1 @0 @1"},
		{"key = value", "^(%w+)%s*=%s*(%w+)$", "0-11 key value"},
		{"x=(a(b)c)d", "%b()", "2-9"},
		{"((a)", "%b()", "1-4"},
		{"|a|", "%b||", "0-3"},
		{"THE (quick) fox", "%f[%a]%a+%f[%A]", "0-3"},
		{"a\x00", "%f[%z]", "1-1"},
		{"a", "%f[%z]", "1-1"},
		{"abab", "(ab)%1", "0-4 ab"},
		{"abba", "(a)(b)%2%1", "0-4 a b"},
		{"aa", "()a%1", "none"},
		{"]", "[]]", "0-1"},
		{"a]", "[^]]", "0-1"},
		{"-", "[a-]", "0-1"},
		{"-", "[%a-z]", "0-1"},
		{"]", "[b-%%]", "0-1"},
		{"^", "[b^]", "0-1"},
		{"b", "[c-a]", "none"},
		{"a.b", "a%.b", "0-3"},
		{"\xff\x80", "[\x80-\xff]+", "0-2"},
		{"a\x00b", "%z", "1-2"},
		{"a\x00b", "[%z]b", "1-3"},
		{"ab", "a\x00[", "0-1"},
		{"\xe4", "%a", "none"},
		{"\xe4", "%W", "0-1"},
		{"q", "%q", "0-1"},
		{strings.Repeat("a", 100_000) + "b", strings.Repeat("a?", 100_000) + "b", "0-100001"},
		{strings.Repeat("ab", 1<<20), "^.*a", "0-2097151"},
	} {
		if got, err := find(m, c.subject, c.pattern); got != c.want || err != nil {
			t.Errorf("%.20q in %.20q: %v, %v, want %v", c.pattern, c.subject, got, err, c.want)
		}
	}
}

func TestMatcher_MalformedPatterns_AreErrors(t *testing.T) {
	m := new(pattern.Matcher)
	for _, c := range []struct {
		subject, pattern string
		want             error
	}{
		{"a", "%", pattern.ErrEndsWithPercent},
		{"a", "a%", pattern.ErrEndsWithPercent},
		{"b", "a%", nil}, // matching does not come there
		{"a", "[", pattern.ErrMissingBracket},
		{"a", "[]", pattern.ErrMissingBracket},
		{"a", "[^]", pattern.ErrMissingBracket},
		{"a", "[%", pattern.ErrMissingBracket},
		{"a", "[a%]", pattern.ErrMissingBracket},
		{"a", "[\x00]", pattern.ErrMissingBracket},
		{"a", "%f", pattern.ErrMissingSet},
		{"a", "%fa", pattern.ErrMissingSet},
		{"a", "%f[", pattern.ErrMissingBracket},
		{"a", "%b", pattern.ErrUnbalanced},
		{"a", "%bx", pattern.ErrUnbalanced},
		{"a", ")", pattern.ErrPatternCapture},
		{"a", "(a))", pattern.ErrPatternCapture},
		{"a", "%1", pattern.ErrCaptureIndex},
		{"a", "%0", pattern.ErrCaptureIndex},
		{"a", "(a%1)", pattern.ErrCaptureIndex},
		{"a", "(a", pattern.ErrUnfinishedCapture},
		{"a", strings.Repeat("()", pattern.MaxCaptures), nil},
		{"a", strings.Repeat("()", pattern.MaxCaptures+1), pattern.ErrTooManyCaptures},
		{strings.Repeat("a", pattern.MaxDepth+2), strings.Repeat("a?", pattern.MaxDepth+2), pattern.ErrTooComplex},
	} {
		if got, err := find(m, c.subject, c.pattern); !errors.Is(err, c.want) {
			t.Errorf("%.20q in %.20q: %v, %v, want %v", c.pattern, c.subject, got, err, c.want)
		}
	}
}

func TestMatcher_ReusedForOnePattern_AllocatesNothing(t *testing.T) {
	m := new(pattern.Matcher)
	subject := strings.Repeat("some text, ", 10)
	if n := testing.AllocsPerRun(10, func() {
		m.Reset(subject, "([%a]+)%s*(.-),()[^ ]?%f[%d]")
		if _, end, err := m.Find(0); end != pattern.None || err != nil {
			t.Fatal(end, err)
		}
		m.Forget()
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// stop is what a poll panics with that ends a match.
type stop struct{}

// stopAfter makes m stop at a poll, and run fails if it goes on for long after that.
func stopAfter(m *pattern.Matcher, polls int) (run func(f func()) (stopped bool)) {
	m.Poll = func() {
		if polls--; polls < 0 {
			panic(stop{})
		}
	}
	return func(f func()) (stopped bool) {
		defer func() {
			if v := recover(); v != nil {
				if _, ok := v.(stop); !ok {
					panic(v)
				}
				stopped = true
			}
		}()
		f()
		return false
	}
}

func TestMatcher_PollThatPanics_EndsTheMatch(t *testing.T) {
	m := new(pattern.Matcher)
	run := stopAfter(m, 100)
	subject, p := strings.Repeat("a", 28), strings.Repeat("a?", 28)+strings.Repeat("a", 28)
	if !run(func() { find(m, subject, p) }) {
		t.Error("2^28 steps passed without a hundred polls")
	}
	m.Poll = nil
	if got, err := find(m, "abc", "b"); got != "1-2" || err != nil {
		t.Errorf("used again: %v, %v", got, err)
	}
}

func FuzzFind(f *testing.F) {
	for _, seed := range []struct{ subject, pattern string }{
		{"key = value", "^(%w+)%s*=%s*(%w+)$"}, {"((a)", "%b()"}, {"THE fox", "%f[%a]%a+"}, {"abab", "(ab)%1"},
		{"a]", "[^]%-a-c]*$"}, {"aaab", "((a-)()(a?)b+)"}, {"a\x00", "[%z]"}, {"a", "%"}, {"a", "[a%"},
	} {
		f.Add(seed.subject, seed.pattern, 0)
	}
	f.Fuzz(func(t *testing.T, subject, p string, from int) {
		from = min(max(from, 0), len(subject))
		m := new(pattern.Matcher)
		run := stopAfter(m, 20)
		p, _ = pattern.Anchored(p)
		run(func() {
			m.Reset(subject, p)
			start, end, err := m.Find(from)
			checkFound(t, m, subject, from, start, end, err)
			if end != pattern.None {
				checkFirst(t, m, from, start, end)
			}
		})
	})
}

// checkFound checks that a match and its captures lie in the subject.
func checkFound(t *testing.T, m *pattern.Matcher, subject string, from, start, end int, err error) {
	t.Helper()
	if end == pattern.None {
		return
	}
	if err != nil || start < from || end < start || end > len(subject) {
		t.Errorf("found %d to %d from %d of %d: %v", start, end, from, len(subject), err)
	}
	for i := range m.Captures() {
		if from, to, err := m.Capture(i); err == nil && to != pattern.None && (from < start || to < from || to > end) {
			t.Errorf("capture %d from %d to %d of a match from %d to %d", i, from, to, start, end)
		}
	}
}

// checkFirst checks that there is no match before the one that was found, and the same there.
func checkFirst(t *testing.T, m *pattern.Matcher, from, start, end int) {
	t.Helper()
	for s := from; s <= start; s++ {
		got, err := m.Match(s)
		if want := end; err != nil || s == start && got != want || s < start && got != pattern.None {
			t.Errorf("match at %d of %d: %d, %v", s, start, got, err)
		}
	}
}
