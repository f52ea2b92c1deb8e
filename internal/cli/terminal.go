package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// terminal returns the file that a stream is, if that is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && f != nil && term.IsTerminal(int(f.Fd()))
}

// A palette colours text, or leaves it as it is.
type palette struct{ on bool }

// colours returns the palette for what is written to a stream: colours on a terminal only, and not where NO_COLOR is set
// (https://no-color.org) or the terminal is dumb.
func (a *app) colours(stream any) palette {
	_, ok := terminal(stream)
	noColour, _ := a.lookupEnv("NO_COLOR")
	kind, _ := a.lookupEnv("TERM")
	return palette{ok && noColour == "" && kind != "dumb"}
}

func (p palette) red(text string) string    { return p.in("31", text) }
func (p palette) green(text string) string  { return p.in("32", text) }
func (p palette) yellow(text string) string { return p.in("33", text) }
func (p palette) bold(text string) string   { return p.in("1", text) }
func (p palette) dim(text string) string    { return p.in("2", text) }

// in puts text between the codes of ECMA-48 that begin and end a rendition.
func (p palette) in(code, text string) string {
	if !p.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// lookupEnv returns a variable of the environment.
func (a *app) lookupEnv(name string) (value string, ok bool) {
	for _, entry := range a.env {
		if v, found := strings.CutPrefix(entry, name+"="); found {
			value, ok = v, true
		}
	}
	return value, ok
}

// confirm asks whether to go on with something that cannot be undone, unless yes says so already. Only a person at a terminal can be
// asked; without one it is a mistake of the command line.
func (a *app) confirm(ctx context.Context, question string, yes bool) error {
	if yes {
		return nil
	}
	if _, ok := terminal(a.stdin); !ok {
		return usageError("%s Give --yes to say so where nobody can be asked", question)
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answered := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.stdin).ReadString('\n')
		answered <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return &failure{exitScript, context.Cause(ctx)}
	case line := <-answered:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return nil
		}
		return &failure{exitScript, errors.New("nothing was changed")}
	}
}
