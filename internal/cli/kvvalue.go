package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/jsonvalue"
	"github.com/luastore/store/script"
	"github.com/luastore/store/value"
)

// What a value on the command line may take before its store, which may allow less, is asked.
const (
	valueTimeout = 5 * time.Second
	valueBytes   = 64 << 20
	valueDepth   = 1000
	valueNodes   = 1 << 24
)

// value returns the stored form of the argument VALUE.
func (a *app) value(ctx context.Context, f valueForm, text string) ([]byte, error) {
	if text == "-" {
		read, err := a.readValue(ctx)
		if err != nil {
			return nil, err
		}
		text = string(read)
	}
	limits := value.Limits{Depth: valueDepth, Nodes: valueNodes, Bytes: valueBytes}
	switch {
	case f.text:
		return value.AppendString(nil, text), nil
	case f.json:
		v, err := jsonvalue.Parse([]byte(text), limits)
		if err != nil {
			return nil, usageError("VALUE: %w", err)
		}
		return v, nil
	}
	return evaluate(ctx, text, limits)
}

// readValue reads standard input. It may never end: the wait ends with ctx, what is left of it with the process.
func (a *app) readValue(ctx context.Context) ([]byte, error) {
	type answer struct {
		text []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := io.ReadAll(io.LimitReader(a.stdin, valueBytes+1))
		done <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return nil, &failure{exitScript, fmt.Errorf("stopped while reading the value: %w", context.Cause(ctx))}
	case got := <-done:
		switch {
		case got.err != nil:
			return nil, usageError("cannot read the value from standard input: %w", got.err)
		case len(got.text) > valueBytes:
			return nil, usageError("the value on standard input has more than %d MiB", valueBytes>>20)
		}
		return got.text, nil
	}
}

// evaluate returns what an expression of Lua is, as a script that has no stores and is not trusted.
func evaluate(ctx context.Context, expression string, limits value.Limits) ([]byte, error) {
	if strings.TrimSpace(expression) == "" {
		return nil, usageError(`VALUE is empty: for the empty text give --text '', or quotes: '""'`)
	}
	program, err := script.Compile("VALUE", "return "+expression)
	if err != nil {
		return nil, noExpression(err)
	}
	reg := store.New(nil)
	results, err := script.New(reg, &script.Options{Timeout: valueTimeout, Limits: limits}).Run(ctx, program)
	err = errors.Join(err, reg.Close(context.WithoutCancel(ctx)))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, &failure{exitScript, fmt.Errorf("stopped: %w", context.Cause(ctx))}
	case errors.Is(err, context.DeadlineExceeded):
		return nil, usageError("VALUE was not computed within %v: let a script write it", valueTimeout)
	case err != nil:
		return nil, noExpression(err)
	case len(results) != 1:
		return nil, usageError("VALUE is %d values, want one: a list stands in braces, as in '{ 1, 2 }'", len(results))
	case results[0] == nil:
		return nil, isNil(expression)
	}
	return results[0], nil
}

// noExpression says why Lua makes no value of an expression. Most of those were not meant for Lua.
func noExpression(err error) error {
	return usageError("VALUE is no value of Lua: %s\n(for a text give --text, for JSON --json)", visible(err.Error()))
}

var luaName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// isNil says what to do instead of an expression that is nil: of a bare word, which Lua takes for a variable, that it was meant as a text.
func isNil(expression string) error {
	word := strings.TrimSpace(expression)
	if word != "nil" && luaName.MatchString(word) {
		return usageError(`VALUE %s is a variable of Lua that is nil: for the text give --text %s, or quotes: '"%s"'`, word, word, word)
	}
	return usageError("VALUE is nil, which no entry can hold: luastore kv delete removes one (for a text give --text)")
}
