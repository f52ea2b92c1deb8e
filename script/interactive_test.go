package script_test

import (
	"strings"
	"testing"

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
