package script_test

import (
	"strings"
	"testing"
	"time"

	"github.com/luastore/store/script"
)

func TestCompileInteractive_TakesExpressionsAndStatements(t *testing.T) {
	for source, want := range map[string]string{
		`1 + 1`:                          `2`,
		`= 1, 2`:                         `1, 2`,
		`  =3`:                           `3`,
		`"a", nil`:                       `"a", nil`,
		`x = 5`:                          ``,
		`local x = 1 return x`:           `1`,
		`return 7`:                       `7`,
		`print()`:                        ``,
		`-- a comment`:                   ``,
		`#"abc"`:                         `3`,
		"#{\n1, 2\n}":                    `2`,
		"{\n1\n}":                        `{ 1 }`,
		"\ufeff1":                        `1`,
		"for i = 1, 2 do\nend":           ``,
		"(function() return 1, 2 end)()": `1, 2`,
		"f = nil; x = 2":                 ``,
		`({ pcall(error, "x") })[2]`:     `"x"`,
	} {
		newPrompt(t, nil).shows(source, want)
	}
}

func TestCompileInteractive_Mistakes(t *testing.T) {
	long := "x = {\n" + strings.Repeat("1,\n", 20_000)
	for _, c := range []struct {
		source, message string
		incomplete      bool
	}{
		{"x = = 1", `p:1: syntax error near "="`, false},
		{"1 +* 2", `p:1: syntax error near "*"`, false},
		{"foo bar", `p:1: syntax error near "bar"`, false},
		{"\nx = 1\ny y", `p:3: syntax error near "y"`, false},
		{"1 +\n+ 2", `p:2: syntax error near "+"`, false},
		{"return = 1", `p:1: syntax error near "="`, false},
		{"= x = 1", `p:1: syntax error near "="`, false},
		{"#x y", `p:1: syntax error near "y"`, false},
		{"end", `p:1: syntax error near "end"`, false},
		{"x = }", `p:1: syntax error near "}"`, false},
		{`x = "abc`, "p: unterminated string at the end", false},
		{`x = "abc\\`, "p: unterminated string at the end", false},
		{`"abc`, "p: unterminated string at the end", false},
		{"for i = 1, 3 do", "p: syntax error at the end", true},
		{"x =", "p: syntax error at the end", true},
		{"= ", "", false},
		{"1 +", "p: syntax error at the end", true},
		{"f(", "p: syntax error at the end", true},
		{"{ 1,", "p: syntax error at the end", true},
		{"function f()\nif x then", "p: syntax error at the end", true},
		{"repeat", "p: syntax error at the end", true},
		{"local", "p: syntax error at the end", true},
		{"s:get", "p: syntax error at the end", true},
		{"x = [[", "p: unterminated multiline string at the end", true},
		{"x = [==[ ]]", "p: unterminated multiline string at the end", true},
		{"--[[ a comment", "p: invalid multiline comment at the end", true},
		{`x = "abc\`, "p: unterminated string at the end", true},
		{"x = \"abc\\\n", "p: unterminated string at the end", true},
		{long, "p: syntax error at the end", true},
		{long + "}", "", false},
		{long + "}}", `p:20002: syntax error near "}"`, false},
		{strings.Repeat("x", script.MaxSource+1), "p: source longer than 1048576 bytes", false},
		{strings.Repeat("(", script.MaxNesting+1), "p:1: nested too deeply: more than 5000 levels", false},
	} {
		_, err := script.CompileInteractive("p", c.source)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if !strings.HasPrefix(message, c.message) || (message == "") != (c.message == "") || script.Incomplete(err) != c.incomplete {
			t.Errorf("%.40q: got %q, incomplete %v\nwant %q, %v", c.source, message, script.Incomplete(err), c.message, c.incomplete)
		}
	}
}

// typed returns an input of lines, which it hands out one by one as they are added.
func typed(source string, each func(in *script.Input)) *script.Input {
	in := new(script.Input)
	for line := range strings.SplitSeq(source, "\n") {
		in.Add(line)
		each(in)
	}
	return in
}

// Whoever compiles only what is not open misses nothing, and does so rarely.
func TestInput_IsOpen_WhereMoreLinesHaveToFollow(t *testing.T) {
	for source, want := range map[string]string{ // for each line, whether it is open
		"x = {\n1,\n{ 2 }\n}":                    "yyyn",
		"f(\n\n1)":                               "yyn",
		"for i = 1, 2 do\nprint(i)\nend":         "yyn",
		"if x then\nelseif y then\nelse\nend":    "yyyn",
		"repeat\nlocal x = 1\nuntil x":           "yyn",
		"function f()\nreturn 1\nend":            "yyn",
		"function f()\nreturn\nend; break":       "yyn",
		"x = [[\na ]\n]=]\n]] .. [==[\n]]\n]==]": "yyyyyn",
		"--[[ a\n(\n]] x = 1":                    "yyn",
		"-- (\n1":                                "nn",
		"x = 1 +\n2":                             "yn",
		"x =\n\n2":                               "yyn",
		"a.b\n.c = 1, -- more\n2":                "nyn",
		"x = not\n1":                             "yn",
		"return;":                                "n",
		"return":                                 "n",
		"::again::":                              "n",
		"x = nil":                                "n",
		"x = \"(\\\n(\" .. '{'":                  "nn",
		"x = \"(\n(":                             "nn",
		"f(\"(\n1)":                              "nn",
		"{ 1 } --[=x\n1":                         "nn",
		"\ufeff1":                                "n",
		"#{\n}":                                  "yn",
		"x = 1e\n2":                              "nn",
		"end":                                    "n",
		"":                                       "n",
		strings.Repeat("(", script.MaxNesting+1): "n",
		"{" + strings.Repeat("1,", script.MaxSource/2): "n",
	} {
		var got strings.Builder
		in := typed(source, func(in *script.Input) {
			if !in.Open() {
				got.WriteByte('n')
				return
			}
			got.WriteByte('y')
			if _, err := script.CompileInteractive("p", in.String()); !script.Incomplete(err) {
				t.Errorf("%.40q is open, and compiles with %v", in, err)
			}
		})
		if got.String() != want || in.String() != source {
			t.Errorf("%.40q: got %s, want %s; %.40q", source, &got, want, in)
		}
	}
}

// The time for eight times as many lines is eight times as long, and not sixty-four times.
func TestInput_CostsTheSameForEachLine(t *testing.T) {
	for _, form := range [][2]string{{"t = {", `{ id = 1, name = "x" },`}, {"x = [[", "what is a long string"}, {"--[[", "no code"}, {"x = f", ".. 1 .."}} {
		took := func(lines int) time.Duration {
			best := time.Hour
			for range 5 {
				begin := time.Now()
				typed(form[0]+strings.Repeat("\n"+form[1], lines), func(in *script.Input) { in.Open() })
				best = min(best, time.Since(begin))
			}
			return best
		}
		var few, many time.Duration
		for range 5 { // the machine may be busy with something else
			if few, many = took(2_000), took(16_000); many <= 32*few {
				break
			}
		}
		if many > 32*few {
			t.Errorf("%s: 2,000 lines took %v, 16,000 lines %v", form[0], few, many)
		}
	}
}

func TestIncomplete_OfFiles(t *testing.T) {
	for source, want := range map[string]bool{"x =": true, "x = }": false, "x = 1": false, "if x then": true} {
		if _, err := script.Compile("p", source); script.Incomplete(err) != want {
			t.Errorf("%s: got %v", source, err)
		}
	}
	if script.Incomplete(nil) || script.Incomplete(t.Context().Err()) {
		t.Error("no error is incomplete")
	}
}

// An error in what an expression calls last has a place and a traceback as anywhere else.
func TestCompileInteractive_LastCallHasItsPlace(t *testing.T) {
	p := newPrompt(t, nil)
	p.shows("function f(x)\nreturn x.y.z\nend", ``)
	failed := p.fails(`f({})`, script.KindError)
	if !strings.HasSuffix(failed.Traceback, "prompt:2: in function 'f'\n\tprompt:1: in main chunk") {
		t.Errorf("got %s", failed.Traceback)
	}
	if failed := p.fails(`error("x")`, script.KindError); failed.Message != "prompt:1: x" {
		t.Errorf("got %s", failed.Message)
	}
}
