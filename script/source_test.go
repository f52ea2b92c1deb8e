package script

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/yuin/gopher-lua/parse"

	"github.com/luastore/store/internal/boundtest"
)

func TestCompile_DeepSource_IsRefused(t *testing.T) {
	for _, c := range []struct{ before, level, after string }{
		{"x = ", "{", ""},
		{"x = ", "(", ""},
		{"x = a", "[a", ""},
		{"x = ", "- ", "1"},
		{"x = ", "not ", "1"},
		{"x = ", "#", "1"},
		{"x = 1", "+1", ""},
		{"x = a", "..a", ""},
		{"x = a", "^a", ""},
		{"x = a", "==a", ""},
		{"x = a", " or a", ""},
		{"x = a", ".a", ""},
		{"x = a", "[1]", ""},
		{"f", "()", ""},
		{"f", "{}", ""},
		{"f", "''", ""},
		{"f", ":a()", ""},
		{"", "f(", ""},
		{"", "f{", ""},
		{"", "do ", ""},
		{"", "repeat ", ""},
		{"", "while x do ", ""},
		{"", "for i = 1, 2 do ", ""},
		{"", "for k in f do ", ""},
		{"", "if x then ", ""},
		{"", "if x then else ", ""},
		{"if x then ", "elseif x then ", "end"},
		{"", "function f() ", ""},
		{"", "local function f() ", ""},
		{"x = ", "function() return ", ""},
		{"x = ", "f(function() return {a + ", ""},
		{"x = ", "{1 + ", ""},
		{"x = ", "1e\"{ ", ""},
	} {
		n := (cases(MaxSource) - len(c.before) - len(c.after)) / len(c.level)
		_, err := Compile("a.lua", c.before+strings.Repeat(c.level, n)+c.after)
		if err == nil || !strings.HasPrefix(err.Error(), "a.lua:1: ") {
			t.Errorf("%q: got %.200v", c.level, err)
		}
		if want := "nested too deeply: more than 5000 levels"; c.level != "1e\"{ " && !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: got %.200v, want %s", c.level, err, want)
		}
	}
}

func TestCompile_NestingOfRealScripts_IsTaken(t *testing.T) {
	for _, c := range []struct {
		before, open, middle, close, after string
		levels                             int
	}{
		{"x = ", "{", "", "}", "", 190},
		{"x = ", "(", "1", ")", "", 4000},
		{"x = a", "[a", "", "]", "", 190},
		{"x = 1", "+a", "", "", "", 4000},
		{"x = a", "..a", "", "", "", 4000},
		{"x = a", ".b", "", "", "", 4000},
		{"x = a", ":b()", "", "", "", 4000},
		{"x = {", "'a' .. b, ", "", "", "}", 10000},
		{"", "f(a + b .. c) x = y + z ", "", "", "", 10000},
		{"", "local x = a + b f() ", "", "", "", 190},
		{"if x then ", "elseif x == 1 then f() ", "", "", "else end", 1000},
		{"", "do ", "", "end ", "", 4000},
		{"", "function f() ", "", "end ", "", 200},
		{"", "if x then ", "", "end ", "", 2000},
		{"", "repeat ", "", "until x ", "", 2000},
		{"", "function f() return a + b end ", "", "", "", 5000},
		{"x = {", "function() return -a end, ", "", "", "}", 5000},
		{"", "if a + b then x = a .. b elseif c + d then y = a .. b else z = a .. b end ", "", "", "", 5000},
		{"", "repeat x = a + b until x < y or a ", "", "", "", 5000},
		{"", "for i = a + 1, b - 1, -1 do x = -i end ", "", "", "", 5000},
		{"", "while not x do break end ", "", "", "", 5000},
		{"", "-- } ) ] end\n --[==[ {{{ ]] ]==] x = '{{\\'{' .. [[((]] ", "", "", "", 5000},
	} {
		source := c.before + strings.Repeat(c.open, c.levels) + c.middle + strings.Repeat(c.close, c.levels) + c.after
		if _, err := Compile("a.lua", source); err != nil {
			t.Errorf("%d times %q: %.300v", c.levels, c.open, err)
		}
	}
}

func TestCompile_DeepSource_NamesTheLine(t *testing.T) {
	for _, newline := range []string{"\n", "\r", "\r\n", "\n\r"} {
		_, err := Compile("a.lua", "x = 1"+newline+"--"+newline+"x = "+strings.Repeat("{", MaxNesting+1))
		if want := "a.lua:3: nested too deeply: more than 5000 levels"; err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", newline, err, want)
		}
	}
}

// worstSources are as long as a source may be, and cost the parser or the compiler most for what they say.
func worstSources() map[string]string {
	longest := cases(MaxSource)
	fill := func(before, unit, after string) string {
		return before + strings.Repeat(unit, (longest-len(before)-len(after))/len(unit)) + after
	}
	counted := func(before, unit, after string) string {
		var b strings.Builder
		b.WriteString(before)
		for i := 0; b.Len()+len(unit)+len(after)+8 < longest; i++ {
			fmt.Fprintf(&b, unit, i)
		}
		return b.String() + after
	}
	locals := strings.Repeat("local a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t ", 9)
	return map[string]string{
		"assignments":          fill("", "a=1 ", ""),
		"calls":                fill("", "f()", ""),
		"concatenations":       fill("", "a=b..c ", ""),
		"long concatenations":  fill("", "a="+strings.Repeat("b..", 4000)+"c ", ""),
		"swaps":                fill("", "a,b=b,a ", ""),
		"targets":              fill("", "a[b],c=d ", ""),
		"elements":             fill("a={", "1,", "}"),
		"functions":            fill("", "f(function()end)", ""),
		"functions and rest":   fill(strings.Repeat("f(function()end)", cases(maxFunctions)-10), "a=b..c ", ""),
		"blocks":               fill("", "do end ", ""),
		"branches":             fill("", "if a then end ", ""),
		"words":                fill("", "a ", ""),
		"lines":                fill("", "\n", ""),
		"long string":          fill("a='", "\\1", "'"),
		"long number":          fill("a=", "9", ""),
		"arguments":            fill("f(", "a,", "a)"),
		"globals":              counted("", "a%d=1 ", ""),
		"constants":            counted("f(", "%d)f(", "1)"),
		"strings":              counted("f(", "'"+strings.Repeat("s", 80)+"%d')f(", "1)"),
		"folded constants":     counted("", "a=1+%d a=2+1 ", ""),
		"no numbers":           fill("", "f(1ex)", ""),
		"labels":               counted("", "::a%d::", ""),
		"gotos":                counted("", "goto a%[1]d ::a%[1]d::", ""),
		"sums":                 fill("", "a="+strings.Repeat("b+", 4000)+"c ", ""),
		"short sums":           fill("", "a="+strings.Repeat("b+", 250)+"c ", ""),
		"minus":                fill("", "a="+strings.Repeat("- ", 4000)+"c ", ""),
		"numbers in sums":      fill("", "a=b"+strings.Repeat("+"+strings.Repeat("9", 100), 100)+" ", ""),
		"elseifs":              fill("", "if a then "+strings.Repeat("elseif a then a=1 ", 4000)+"end ", ""),
		"nested blocks":        fill("", strings.Repeat("do ", 4900)+"a=1 "+strings.Repeat("end ", 4900), ""),
		"names in nested ones": fill(strings.Repeat("function f() "+locals, 100), "a1=1 ", strings.Repeat("end ", 100)),
		"nested functions":     fill("", strings.Repeat("function f() ", 2000)+strings.Repeat("end ", 2000), ""),
	}
}

func TestCompile_WorstSources_AreBoundedInTime(t *testing.T) {
	for name, source := range worstSources() {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, _ = Compile("a.lua", source) // both are right
			if took, most := time.Since(start), boundtest.Scale(10*time.Second); took > most {
				t.Errorf("took %v, want at most %v", took, most)
			}
		})
	}
}

func TestScanner_SplitsAsTheParserDoes(t *testing.T) {
	pieces := []string{
		"a", "b1", "_", "end", "and", " ", "  ", "\t", "\n", "\r", "\r\n", "\n\r",
		"1", "0", "00", "0x1F", "0X", "1e5", "1E+5", "2e-", "1e", ".5", "5.",
		".", "..", "...", "=", "==", "~=", "~", "<", "<=", ">", ">=", ":", "::", ",", ";",
		"+", "-", "--", "---", "*", "/", "%", "^", "#", "(", ")",
		"{", "}", "[", "]", "[[", "]]", "[=[", "]=]", "[==[", "]==]", "--[[", "--[=[", "--[",
		"'", "\"", "\\", "\\n", "\\'", "\\\"", "\\065", "\\\n",
		"\\\r\n", "'x'", "\"y\"", "[[z]]", "é", "\x00", "@",
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range cases(50000) {
		var b strings.Builder
		for range 1 + random.IntN(12) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		checkScanner(t, b.String())
	}
}

// checkScanner compares the tokens of a source up to the first that the parser does not know.
func checkScanner(t *testing.T, source string) {
	t.Helper()
	theirs := parse.NewScanner(strings.NewReader(source), "test.lua")
	s := scanner{source: source}
	var lexer parse.Lexer
	for {
		tok, err := theirs.Scan(&lexer)
		if err != nil {
			return
		}
		got := s.next()
		if tok.Type < 0 {
			if got != "" {
				t.Errorf("%q: got token %q, want the end", source, got)
			}
			return
		}
		want := tok.Str
		if tok.Type == parse.TString || tok.Type == parse.TNumber { // not written as in the source
			want = got
		}
		if tok.Type == '.' {
			want = "."
		}
		quoted := got != "" && strings.ContainsRune("'\"[", rune(got[0])) && got != "["
		if got != want || quoted != (tok.Type == parse.TString) {
			t.Errorf("%q: got token %q, want %q", source, got, want)
			return
		}
	}
}

func FuzzRewrite(f *testing.F) {
	g := grammar{rand.New(rand.NewPCG(3, 3))}
	for range 20 {
		f.Add(concatPrelude + g.statement())
		f.Add(g.program())
	}
	for _, seed := range []string{"goto a ::a::", "x = 1e\"{", "for i=1,2 do local function f() return i end end"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		checkScanner(t, source)
		p, err := Compile("a.lua", source)
		if (p == nil) == (err == nil) {
			t.Errorf("got %v and %v", p, err)
		}
		if p != nil && hasConcat(p.proto) {
			t.Error("a concat instruction is left")
		}
	})
}
